"""The Vault secret store: the contract, and what is Vault's own."""

from __future__ import annotations

import itertools
import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

import pytest
from vault_harness import MOUNT, DoubledVault, Vault, closed_address, doubled, vault

from rotator.errors import (
    SecretNotFound,
    StoreDenied,
    StoreMissing,
    StoreRejected,
    StoreUnavailable,
    StoreWriteInDoubt,
    VersionConflict,
)
from rotator.model import Document
from rotator.stores.vault import VaultSecretStore
from rotator.testing.contracts import SecretStoreContract, SecretStoreHarness, cannot_show

if TYPE_CHECKING:
    from rotator.ports import SecretStore

__all__ = ["doubled", "vault"]

TOKENS = Document({"refresh_token": "rt-1"})
NEWER = Document({"refresh_token": "rt-2", "access_token": "at-2"})


class Harness(SecretStoreHarness):
    """Everything below one folder of one Vault."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.store = self.reopened()
        self._numbers = itertools.count()

    def new_name(self) -> str:
        return f"{self.vault.folder}/team/app-{next(self._numbers)}"

    def raw_set(self, secret: str, content: str | bytes) -> None:
        self.vault.raw("POST", f"{MOUNT}/data/{secret}", {"data": json.loads(content)})

    def raw_get(self, secret: str) -> str:
        return json.dumps(self.vault.raw("GET", f"{MOUNT}/data/{secret}")["data"]["data"])

    def raw_delete(self, secret: str) -> None:
        self.vault.raw("DELETE", f"{MOUNT}/data/{secret}")

    def raw_label(self, secret: str, labels: dict[str, str]) -> None:
        self.vault.raw("POST", f"{MOUNT}/metadata/{secret}", {"custom_metadata": labels})

    def reopened(self) -> SecretStore:
        return VaultSecretStore("vault", self.vault.session(), MOUNT)

    def damage(self, secret: str) -> NoReturn:
        cannot_show("Vault itself decodes what it stores")

    def refused_document(self) -> Document:
        return Document({"refresh_token": math.nan})

    def missing_store(self) -> SecretStore:
        return VaultSecretStore("vault", self.vault.session(), "no-such-mount")

    def denied_store(self) -> SecretStore:
        return VaultSecretStore("vault", self.vault.session(token=self.vault.token_without_rights()), MOUNT)

    def unreachable_store(self) -> SecretStore:
        return VaultSecretStore("vault", self.vault.session(address=closed_address()), MOUNT)


class TestVaultSecretStore(SecretStoreContract):
    text_supported = "KV version 2 holds JSON objects only"
    binary_supported = "KV version 2 holds JSON objects only"
    empty_supported = "KV version 2 holds JSON objects only"
    deletion_fences_supported = "a soft deletion leaves the number that check-and-set compares with"

    @pytest.fixture
    def harness(self, vault: Vault) -> Harness:
        return Harness(vault)


@pytest.fixture
def store(doubled: DoubledVault) -> VaultSecretStore:
    return VaultSecretStore("main", doubled.session(), MOUNT)


def create(store: VaultSecretStore, secret: str = "app", document: Document = TOKENS) -> str:
    return store.compare_and_swap(secret, document, expected=None, write_id="w-1").version


# ------------------------------------------------------------------------------------------------------ reading


def test_the_identity_names_address_namespace_mount_and_path(doubled: DoubledVault) -> None:
    """However address, namespace, mount and path are spelled, one secret has one identity."""
    doubled.double.mount("kv/apps", namespace="team/a")
    port = doubled.address.rsplit(":", 1)[1]
    spelled = VaultSecretStore(
        "main", doubled.session(address=f"HTTP://127.0.0.1:{port}/", namespace="/team/a/"), "/kv/apps/"
    )
    version = spelled.compare_and_swap("//x//app/", TOKENS, expected=None, write_id="w-1")
    plain = VaultSecretStore("main", doubled.session(namespace="team/a"), "kv/apps")
    assert plain.read("x/app").identity == version.identity == f"vault:http://127.0.0.1:{port}|team/a|kv/apps/x/app"


def test_the_creation_time_is_read_to_the_microsecond(store: VaultSecretStore, doubled: DoubledVault) -> None:
    """Vault's nanoseconds are cut to an aware UTC instant."""
    doubled.clock.advance(0.25)
    create(store)
    assert store.read("app").created_at == datetime(2026, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)


@pytest.mark.parametrize("path", ["", "/", "../other", "a/./b", ".."])
def test_a_path_that_clients_would_resolve_is_refused(
    store: VaultSecretStore, doubled: DoubledVault, path: str
) -> None:
    """A path with dots or nothing in it is SecretNotFound and never sent."""
    with pytest.raises(SecretNotFound):
        store.read(path)
    assert doubled.double.seen == []


def test_a_path_that_is_none_does_not_spoil_the_listing(store: VaultSecretStore) -> None:
    """Among others, a path with dots in it is left out of the versions like a secret that does not exist."""
    create(store)
    assert set(store.versions(["../other", "app"])) == {"app"}


def test_a_deleted_secret_comes_with_the_command_that_brings_it_back(
    store: VaultSecretStore, doubled: DoubledVault
) -> None:
    """The hint for a soft-deleted secret is the command that undeletes its version."""
    create(store)
    doubled.double.act("DELETE", "secret/data/app")
    with pytest.raises(SecretNotFound) as caught:
        store.read("app")
    assert caught.value.hint == "vault kv undelete -mount=secret -versions=1 app"


def test_a_destroyed_secret_is_not_found(store: VaultSecretStore, doubled: DoubledVault) -> None:
    """A destroyed newest version is SecretNotFound, and left out of the versions."""
    create(store)
    doubled.double.act("POST", "secret/destroy/app", {"versions": [1]})
    with pytest.raises(SecretNotFound):
        store.read("app")
    assert store.versions(["app"]) == {}


def test_an_undeleted_secret_is_back(store: VaultSecretStore, doubled: DoubledVault) -> None:
    """After an undeletion the same version is read again."""
    version = create(store)
    doubled.double.act("DELETE", "secret/data/app")
    doubled.double.act("POST", "secret/undelete/app", {"versions": [1]})
    assert store.read("app").version == version
    assert store.versions(["app"])["app"].version == version


def test_a_deletion_that_is_still_to_come_hides_nothing(store: VaultSecretStore, doubled: DoubledVault) -> None:
    """Under `delete_version_after` a version is there until its time has come, for reads and listings alike."""
    doubled.double.act("POST", "secret/config", {"delete_version_after": "100s"})
    version = create(store)
    assert store.read("app").content == TOKENS
    assert store.versions(["app"])["app"].version == version
    doubled.clock.advance(100)
    assert store.versions(["app"]) == {}
    with pytest.raises(SecretNotFound):
        store.read("app")


def test_metadata_alone_is_no_secret(store: VaultSecretStore, doubled: DoubledVault) -> None:
    """A path that has settings but no version can be created, and does not exist before."""
    doubled.double.act("POST", "secret/metadata/app", {"max_versions": 3})
    with pytest.raises(SecretNotFound):
        store.read("app")
    assert store.versions(["app"]) == {}
    assert create(store) == "1"


def test_pruning_leaves_the_newest_version(store: VaultSecretStore, doubled: DoubledVault) -> None:
    """When Vault drops old versions, writing and reading go on."""
    doubled.double.act("POST", "secret/metadata/app", {"max_versions": 2})
    version = create(store)
    for number in range(5):
        document = Document({"refresh_token": f"rt-{number}"})
        version = store.compare_and_swap("app", document, expected=version, write_id=f"w-{number}").version
    assert store.read("app").version == version == "6"
    assert doubled.double.act("GET", "secret/data/app?version=4").status == 404


# --------------------------------------------------------------------------------------------- the wrong engine


@pytest.mark.parametrize("leftover", [False, True], ids=["empty", "with an old write through data"])
def test_a_version_1_mount_is_named_as_such_and_never_written(doubled: DoubledVault, leftover: bool) -> None:
    """Version 1 has no check-and-set: every verb is StoreMissing with the command that upgrades the mount."""
    doubled.double.mount("old", version=1)
    if leftover:
        doubled.double.act("POST", "old/data/app", {"data": {"refresh_token": "theirs"}})
    before = doubled.double.act("GET", "old/data/app")
    store = VaultSecretStore("main", doubled.session(), "old")
    for verb in (
        lambda: store.read("app"),
        lambda: create(store),
        lambda: store.compare_and_swap("app", NEWER, expected="1", write_id="w-2"),
        lambda: store.versions(["app"]),
        lambda: store.prove_writable("app"),
    ):
        with pytest.raises(StoreMissing) as caught:
            verb()
        assert caught.value.hint.endswith("vault kv enable-versioning old")
    assert doubled.double.act("GET", "old/data/app") == before


def test_an_upgrade_to_version_2_is_waited_for(store: VaultSecretStore, doubled: DoubledVault) -> None:
    """While Vault upgrades a mount it answers 400, which is StoreUnavailable and not a refusal."""
    text = '{"errors": ["Upgrading from non-versioned to versioned data. This backend will be unavailable"]}'
    doubled.double.fail(400, path="secret/data", text=text)
    with pytest.raises(StoreUnavailable):
        store.read("app")


@pytest.mark.parametrize("text", ['{"data": {"data": []}}', '{"data": {"metadata": {}, "data": {}}}', "{}"])
def test_an_answer_in_another_form_is_no_document(store: VaultSecretStore, doubled: DoubledVault, text: str) -> None:
    """A 200 that has not the form of KV version 2 is StoreUnavailable for each reading verb."""
    create(store)
    doubled.double.fail(200, path="secret/", text=text, times=2)
    with pytest.raises(StoreUnavailable):
        store.read("app")
    with pytest.raises(StoreUnavailable):
        store.versions(["app"])


@pytest.mark.parametrize("text", ["{}", "[]", "<html>", '{"data": {}}'])
def test_an_answer_in_another_form_leaves_a_write_in_doubt(
    store: VaultSecretStore, doubled: DoubledVault, text: str
) -> None:
    """A 200 to a write that does not name the new version leaves the write in doubt."""
    doubled.double.fail(200, path="secret/data", method="POST", text=text)
    with pytest.raises(StoreWriteInDoubt):
        create(store)


def test_an_unreadable_creation_time_is_unknown(store: VaultSecretStore, doubled: DoubledVault) -> None:
    """A version whose creation time is no instant has none."""
    text = '{"data": {"data": {}, "metadata": {"version": 1, "created_time": "yesterday"}}}'
    doubled.double.fail(200, path="secret/data", text=text)
    assert store.read("app").created_at is None


# ------------------------------------------------------------------------------------------------------ writing


def test_creating_what_is_only_marked_deleted_conflicts(store: VaultSecretStore, doubled: DoubledVault) -> None:
    """Vault counts on after a soft deletion: a creation conflicts, says why, and leaves the version to undelete."""
    create(store)
    doubled.double.act("DELETE", "secret/data/app")
    with pytest.raises(VersionConflict) as caught:
        store.compare_and_swap("app", NEWER, expected=None, write_id="w-2")
    assert "undelete" in str(caught.value)
    doubled.double.act("POST", "secret/undelete/app", {"versions": [1]})
    assert store.read("app").content == TOKENS


@pytest.mark.parametrize("cut", [False, True], ids=["dropped", "cut"])
def test_a_write_whose_answer_is_lost_can_be_repeated(
    store: VaultSecretStore, doubled: DoubledVault, cut: bool
) -> None:
    """A lost answer is StoreWriteInDoubt; the repetition returns the version that the first call made."""
    version = create(store)
    if cut:
        doubled.double.cut(path="secret/data/app", method="POST")
    else:
        doubled.double.drop(path="secret/data/app", method="POST", applied=True)
    with pytest.raises(StoreWriteInDoubt):
        store.compare_and_swap("app", NEWER, expected=version, write_id="w-2")
    again = store.compare_and_swap("app", NEWER, expected=version, write_id="w-2")
    assert again == store.read("app")
    assert (again.version, again.content) == ("2", NEWER)


def test_a_creation_whose_answer_is_lost_can_be_repeated(store: VaultSecretStore, doubled: DoubledVault) -> None:
    """The same for the write that creates the secret."""
    doubled.double.drop(path="secret/data/app", method="POST", applied=True)
    with pytest.raises(StoreWriteInDoubt):
        create(store)
    assert create(store) == "1"


def test_a_repetition_that_cannot_be_checked_stays_in_doubt(store: VaultSecretStore, doubled: DoubledVault) -> None:
    """When the re-read after a mismatch has no answer, the write is in doubt and not surely unapplied."""
    create(store)
    doubled.double.fail(503, path="secret/data/app", method="GET")
    with pytest.raises(StoreWriteInDoubt):
        create(store)


def test_a_write_between_the_check_and_the_write_conflicts(store: VaultSecretStore, doubled: DoubledVault) -> None:
    """What comes in after the store's own look at the version is judged by Vault's check-and-set."""
    version = create(store)
    mismatch = '{"errors": ["check-and-set parameter did not match the current version"]}'
    doubled.double.fail(400, path="secret/data/app", method="POST", text=mismatch)
    with pytest.raises(VersionConflict):
        store.compare_and_swap("app", NEWER, expected=version, write_id="w-2")
    doubled.double.fail(400, path="secret/data/new", method="POST", text=mismatch)
    with pytest.raises(VersionConflict):
        create(store, "new")


def test_an_equal_document_that_came_later_is_no_repetition(store: VaultSecretStore) -> None:
    """Only the version right after the expected one can be ours; when somebody wrote since, it is a conflict."""
    create(store)
    store.compare_and_swap("app", NEWER, expected="1", write_id="w-2")
    store.compare_and_swap("app", TOKENS, expected="2", write_id="w-3")
    with pytest.raises(VersionConflict):
        create(store)
    with pytest.raises(VersionConflict):
        store.compare_and_swap("app", TOKENS, expected="1", write_id="w-4")


def test_a_repetition_tells_true_from_one(store: VaultSecretStore) -> None:
    """A document that differs from the stored one only in a value's type is no repetition."""
    create(store, document=Document({"flag": 1}))
    with pytest.raises(VersionConflict):
        create(store, document=Document({"flag": True}))


@pytest.mark.parametrize(
    ("status", "text"), [(413, "too large"), (500, "put failed due to value being too large; max")]
)
def test_what_is_too_large_is_rejected(store: VaultSecretStore, doubled: DoubledVault, status: int, text: str) -> None:
    """A request or an entry that is too large is refused for good, also where Vault calls it an internal error."""
    doubled.double.fail(status, path="secret/data", method="POST", text=json.dumps({"errors": [text]}))
    with pytest.raises(StoreRejected):
        create(store)


def test_the_double_refuses_a_large_body(vault: Vault) -> None:
    """A body beyond the server's limit is StoreRejected and writes nothing."""
    if not isinstance(vault, DoubledVault):
        pytest.skip("the limit of the real server is not known")
    store = VaultSecretStore("main", vault.session(), MOUNT)
    with pytest.raises(StoreRejected):
        create(store, document=Document({"refresh_token": "r" * 200_000}))
    with pytest.raises(SecretNotFound):
        store.read("app")


# ---------------------------------------------------------------------------------------------- rights and listing


def test_a_policy_for_reading_and_updating_one_path_suffices(doubled: DoubledVault) -> None:
    """Reading, proving and replacing an existing secret need nothing beyond read and update on its data."""
    create(VaultSecretStore("main", doubled.session(), MOUNT))
    doubled.double.accounts.policies["one"] = {"secret/data/app": frozenset({"read", "update"})}
    store = VaultSecretStore("main", doubled.session(token=doubled.double.accounts.issue("one").text), MOUNT)
    store.prove_writable("app")
    assert store.compare_and_swap("app", NEWER, expected="1", write_id="w-2").version == "2"
    with pytest.raises(StoreDenied):
        store.versions(["app"])


def test_the_proof_names_the_right_that_is_lacking(doubled: DoubledVault) -> None:
    """A token that may only read is StoreDenied, with the policy line that would do."""
    create(VaultSecretStore("main", doubled.session(), MOUNT))
    doubled.double.accounts.policies["reader"] = {"secret/data/": frozenset({"read"})}
    store = VaultSecretStore("main", doubled.session(token=doubled.double.accounts.issue("reader").text), MOUNT)
    with pytest.raises(StoreDenied) as caught:
        store.prove_writable("app")
    assert "update on secret/data/app" in str(caught.value)
    assert caught.value.hint.startswith('path "secret/data/app"')


@pytest.mark.parametrize("text", ["{}", '{"data": {}}'])
def test_a_proof_without_an_answer_proves_nothing(store: VaultSecretStore, doubled: DoubledVault, text: str) -> None:
    """When Vault does not say what the token may do, the proof is StoreUnavailable."""
    create(store)
    doubled.double.fail(200, path="sys/capabilities-self", text=text)
    with pytest.raises(StoreUnavailable):
        store.prove_writable("app")


def test_a_listing_ends_at_the_first_request_without_an_answer(store: VaultSecretStore, doubled: DoubledVault) -> None:
    """`versions` does not go on asking a Vault that is down."""
    create(store)
    doubled.double.fail(503, path="secret/metadata")
    with pytest.raises(StoreUnavailable):
        store.versions(["app", "other", "third"])
    assert sum(seen.path.startswith("secret/metadata") for seen in doubled.double.seen) == 1
