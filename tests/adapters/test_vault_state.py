"""The Vault state store: the contract, and what is Vault's own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from vault_harness import MOUNT, DoubledVault, Vault, closed_address, doubled, vault

from rotator.errors import StoreCorrupt, StoreDenied, StoreMissing, StoreUnavailable, StoreWriteInDoubt, VersionConflict
from rotator.state.vault import VaultStateStore
from rotator.testing.contracts import StateStoreContract, StateStoreHarness

if TYPE_CHECKING:
    from rotator.ports import StateStore

__all__ = ["doubled", "vault"]


class Harness(StateStoreHarness):
    """Records in one folder of one Vault."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.path = f"{vault.folder}/state"
        self.store = self.reopened()

    def reopened(self) -> StateStore:
        return VaultStateStore(self.vault.session(), MOUNT, self.path)

    def damage(self, key: str) -> None:
        segment = quote(quote(key, safe=":"), safe="")
        self.vault.raw("POST", f"{MOUNT}/data/{self.path}/{segment}", {"data": {"record": '{"cut'}})

    def refused_body(self) -> dict[str, Any]:
        return {"number": math.nan}

    def missing_store(self) -> StateStore:
        return VaultStateStore(self.vault.session(), "no-such-mount", self.path)

    def denied_store(self) -> StateStore:
        return VaultStateStore(self.vault.session(token=self.vault.token_without_rights()), MOUNT, self.path)

    def unreachable_store(self) -> StateStore:
        return VaultStateStore(self.vault.session(address=closed_address()), MOUNT, self.path)


class TestVaultStateStore(StateStoreContract):
    @pytest.fixture
    def harness(self, vault: Vault) -> Harness:
        return Harness(vault)


@pytest.fixture
def store(doubled: DoubledVault) -> VaultStateStore:
    return VaultStateStore(doubled.session(), MOUNT, "/rotator//state/")


@pytest.mark.parametrize("key", [".", "..", "...", "a.b", " ", "ends with a space "])
def test_a_key_of_dots_or_spaces_is_a_record_like_any_other(store: VaultStateStore, key: str) -> None:
    """Segments that clients or Vault would resolve or trim are encoded."""
    store.compare_and_swap(key, {"n": 1}, expected=0)
    assert store.read(key) == ({"n": 1}, 1)
    assert store.keys("") == [key]


def test_every_record_is_one_segment_below_the_path(store: VaultStateStore, doubled: DoubledVault) -> None:
    """A key with slashes makes no folders."""
    store.compare_and_swap("secret/vault:https://v:8200||kv/a", {"n": 1}, expected=0)
    listed = doubled.double.act("LIST", "secret/metadata/rotator/state")
    assert listed.body == {"data": {"keys": ["secret%2Fvault:https:%2F%2Fv:8200%7C%7Ckv%2Fa"]}}


def test_entries_of_others_are_no_keys(store: VaultStateStore, doubled: DoubledVault) -> None:
    """Folders, and names that the encoding does not produce, are left out."""
    store.compare_and_swap("secret/a", {"n": 1}, expected=0)
    for foreign in ("folder/entry", "with space", "%61"):
        doubled.double.act("POST", f"secret/data/rotator/state/{foreign}", {"data": {}})
    assert store.keys("") == ["secret/a"]


def test_a_deleted_record_is_none_at_its_revision(store: VaultStateStore, doubled: DoubledVault) -> None:
    """After a deletion the next write has to expect Vault's version, not zero."""
    store.compare_and_swap("secret/a", {"n": 1}, expected=0)
    doubled.double.act("DELETE", "secret/data/rotator/state/secret%2Fa")
    assert store.read("secret/a") == (None, 1)
    with pytest.raises(VersionConflict):
        store.compare_and_swap("secret/a", {"n": 2}, expected=0)
    assert store.compare_and_swap("secret/a", {"n": 2}, expected=1) == 2
    assert store.read("secret/a") == ({"n": 2}, 2)


def test_a_record_that_vault_is_going_to_delete_is_refused(store: VaultStateStore, doubled: DoubledVault) -> None:
    """Under `delete_version_after` claims would be forgotten: reading says so at once."""
    doubled.double.act("POST", "secret/config", {"delete_version_after": "3600s"})
    store.compare_and_swap("secret/a", {"n": 1}, expected=0)
    with pytest.raises(StoreCorrupt) as caught:
        store.read("secret/a")
    assert "delete_version_after" in caught.value.hint


@pytest.mark.parametrize("data", [{}, {"record": 17}, {"record": "[]"}, {"record": None}])
def test_what_others_wrote_in_place_of_a_record_is_corrupt(
    store: VaultStateStore, doubled: DoubledVault, data: dict[str, Any]
) -> None:
    """An entry that is no JSON object in `record` is StoreCorrupt."""
    doubled.double.act("POST", "secret/data/rotator/state/secret%2Fa", {"data": data})
    with pytest.raises(StoreCorrupt):
        store.read("secret/a")


def test_a_write_whose_answer_is_lost_is_in_doubt_and_conflicts_afterwards(
    store: VaultStateStore, doubled: DoubledVault
) -> None:
    """A lost answer is StoreWriteInDoubt; the record tells whether it was applied."""
    store.compare_and_swap("secret/a", {"n": 1}, expected=0)
    doubled.double.drop(path="secret/data", method="POST", applied=True)
    with pytest.raises(StoreWriteInDoubt):
        store.compare_and_swap("secret/a", {"n": 2}, expected=1)
    assert store.read("secret/a") == ({"n": 2}, 2)
    doubled.double.drop(path="secret/data", method="POST", applied=False)
    with pytest.raises(StoreWriteInDoubt):
        store.compare_and_swap("secret/a", {"n": 3}, expected=2)
    assert store.read("secret/a") == ({"n": 2}, 2)


def test_the_proof_asks_for_create_and_update(doubled: DoubledVault) -> None:
    """A token that may update but not create cannot make the record of a new credential."""
    doubled.double.accounts.policies["half"] = {"secret/data/state/": frozenset({"read", "update"})}
    doubled.double.accounts.policies["whole"] = {"secret/data/state/": frozenset({"read", "create", "update"})}
    half = VaultStateStore(doubled.session(token=doubled.double.accounts.issue("half").text), MOUNT, "state")
    whole = VaultStateStore(doubled.session(token=doubled.double.accounts.issue("whole").text), MOUNT, "state")
    with pytest.raises(StoreDenied) as caught:
        half.prove_writable()
    assert "create on secret/data/state/probe" in str(caught.value)
    whole.prove_writable()
    assert whole.compare_and_swap("secret/a", {"n": 1}, expected=0) == 1


def test_the_proof_leaves_nothing_behind(store: VaultStateStore) -> None:
    """After a proof there is no record."""
    store.prove_writable()
    assert store.keys("") == []


def test_a_version_1_mount_is_missing(doubled: DoubledVault) -> None:
    """Without check-and-set there is no state: every verb is StoreMissing."""
    doubled.double.mount("old", version=1)
    store = VaultStateStore(doubled.session(), "old", "state")
    for verb in (
        lambda: store.read("secret/a"),
        lambda: store.compare_and_swap("secret/a", {}, expected=0),
        lambda: store.keys(""),
        store.prove_writable,
    ):
        with pytest.raises(StoreMissing):
            verb()


def test_a_listing_in_another_form_is_no_listing(store: VaultStateStore, doubled: DoubledVault) -> None:
    """A 200 without keys is StoreUnavailable, not an empty state."""
    doubled.double.fail(200, path="secret/metadata", text="{}")
    with pytest.raises(StoreUnavailable):
        store.keys("")
