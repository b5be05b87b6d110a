"""Finding secrets in Vault: the walk over folders, what it costs, and how it ends."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from vault_harness import MOUNT, doubled

from rotator.errors import StoreDenied, StoreUnavailable
from rotator.model import Document, Found
from rotator.stores.vault import DEEPEST, SIDE_BY_SIDE, VaultSecretStore

if TYPE_CHECKING:
    from vault_harness import DoubledVault

__all__ = ["doubled"]

NAMES = ["app", "team/app-1", "team/app-2", "team/apple/a", "team/apple/deep/er/b", "team/b", "teams/app"]


@pytest.fixture
def store(doubled: DoubledVault) -> VaultSecretStore:
    store = VaultSecretStore("main", doubled.session(), MOUNT)
    for name in NAMES:
        store.compare_and_swap(name, Document({}), expected=None, write_id="w")
    doubled.double.seen.clear()
    return store


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("", NAMES),
        ("/", NAMES),
        ("t", NAMES[1:]),
        ("team", NAMES[1:]),
        ("team/", NAMES[1:6]),
        ("//team//", NAMES[1:6]),
        ("team/app", NAMES[1:5]),
        ("team/app-", NAMES[1:3]),
        ("team/apple/", NAMES[3:5]),
        ("team/apple/deep/er/b", NAMES[4:5]),
        ("team/apple/deep/er/b/", []),
        ("app/", []),
        ("nowhere/", []),
        ("team/..", []),
    ],
)
def test_a_prefix_leads_into_folders(store: VaultSecretStore, prefix: str, expected: list[str]) -> None:
    """Whatever lies below the prefix is found, however deep, wherever in a name the prefix ends."""
    assert sorted(store.find(prefix, {})) == expected


def test_a_search_reads_metadata_of_what_it_may_find(store: VaultSecretStore, doubled: DoubledVault) -> None:
    """It costs a listing for each folder below the prefix and a read for each secret there, and no value is read."""
    assert len(store.find("team/app", {})) == 4
    calls = Counter(seen.path for seen in doubled.double.seen if seen.path.startswith("secret/"))
    folders = ["team", "team/apple", "team/apple/deep", "team/apple/deep/er"]
    assert calls == Counter([f"secret/metadata/{path}" for path in (*folders, *NAMES[1:5])])


@pytest.mark.parametrize("prefix", ["../", "a/../b", "./x", "team/./"])
def test_a_prefix_that_clients_would_resolve_is_never_sent(
    store: VaultSecretStore, doubled: DoubledVault, prefix: str
) -> None:
    """A prefix with folders of dots finds nothing and asks for nothing."""
    assert store.find(prefix, {}) == {}
    assert doubled.double.seen == []


@pytest.mark.parametrize("name", ["with space", "per%20cent", "hash#", "quest?ion", "Zoë", "...", "a.b"])
def test_what_is_found_under_an_odd_name_can_be_read(store: VaultSecretStore, name: str) -> None:
    """A name is found as it is, in folders as well, and leads to its secret."""
    for secret in (name, f"{name}/{name}"):
        written = store.compare_and_swap(secret, Document({}), expected=None, write_id="w")
        assert store.find(secret, {})[secret] == Found(secret, written.identity, "1", {})
        assert store.read(secret) == written


def test_a_name_that_clients_would_resolve_is_left_out(store: VaultSecretStore, doubled: DoubledVault) -> None:
    """What is listed as dots or as nothing is not asked for."""
    doubled.double.fail(200, path="secret/metadata/team", text='{"data": {"keys": ["..", "../", "", "/", "app-1"]}}')
    assert set(store.find("team/", {})) == {"team/app-1"}
    assert [seen.path for seen in doubled.double.seen][-2:] == ["secret/metadata/team", "secret/metadata/team/app-1"]


def test_what_is_gone_is_not_found(store: VaultSecretStore, doubled: DoubledVault) -> None:
    """Deleted and destroyed secrets, settings without a version, and what went after the listing are left out."""
    act = doubled.double.act
    act("DELETE", "secret/data/team/app-1")
    act("POST", "secret/destroy/team/app-2", {"versions": [1]})
    act("POST", "secret/metadata/team/app-3", {"custom_metadata": {"rotator": "auth0"}})
    doubled.double.fail(404, path="secret/metadata/team/apple/a", text='{"errors": []}')
    assert set(store.find("team/app", {})) == {"team/apple/deep/er/b"}


def test_labels_last_while_versions_come_and_go(store: VaultSecretStore, doubled: DoubledVault) -> None:
    """Custom metadata belongs to the path: a write leaves it, and null is none."""
    doubled.double.act("POST", "secret/metadata/app", {"custom_metadata": {"rotator": "auth0"}})
    store.compare_and_swap("app", Document({"n": 2}), expected="1", write_id="w-2")
    assert [(one.version, one.labels) for one in store.find("app", {"rotator": ""}).values()] == [
        ("2", {"rotator": "auth0"})
    ]
    doubled.double.act("POST", "secret/metadata/app", {"custom_metadata": None})
    assert store.find("app", {"rotator": ""}) == {}
    assert store.find("app", {})["app"].labels == {}


def test_a_folder_that_may_not_be_listed_is_named(store: VaultSecretStore, doubled: DoubledVault) -> None:
    """One folder without the right to list ends the search: what it holds must not pass for gone."""
    doubled.double.accounts.policies["most"] = {
        "secret/metadata/": frozenset({"list", "read"}),
        "secret/metadata/team/apple": frozenset(),
    }
    token = doubled.double.accounts.issue("most").text
    partly = VaultSecretStore("main", doubled.session(token=token), MOUNT)
    assert set(partly.find("team/b", {})) == {"team/b"}
    with pytest.raises(StoreDenied, match="secret/team/apple"):
        partly.find("team/", {})


def test_a_search_ends_at_the_first_request_without_an_answer(store: VaultSecretStore, doubled: DoubledVault) -> None:
    """A Vault that is down costs one timeout, in a listing and in a read."""
    for path, requests in (("secret/metadata/team", 1), ("secret/metadata/team/app-1", 2)):
        doubled.double.seen.clear()
        doubled.double.fail(503, path=path)
        with pytest.raises(StoreUnavailable):
            store.find("team/app-1", {})
        assert doubled.double.seen[-1].path == path
        assert len(doubled.double.seen) == requests


def test_a_failure_among_many_reads_ends_them(store: VaultSecretStore, doubled: DoubledVault) -> None:
    """When the metadata reads begin to fail, no more follow than were on their way, and the failure is raised."""
    for number in range(50):
        doubled.double.act("POST", f"secret/data/many/{number}", {"data": {}})
    doubled.double.fail(503, path="secret/metadata/many/", times=50)
    with pytest.raises(StoreUnavailable, match="secret/many/"):
        store.find("many/", {})
    asked = [seen for seen in doubled.double.seen if seen.path.startswith("secret/metadata/many/")]
    assert 1 <= len(asked) <= SIDE_BY_SIDE


def test_folders_without_end_are_left(store: VaultSecretStore, doubled: DoubledVault) -> None:
    """Something that answers every listing with one more folder does not lead the search for ever."""
    doubled.double.fail(200, path="secret/metadata", text='{"data": {"keys": ["a/"]}}', times=10_000)
    with pytest.raises(StoreUnavailable, match=f"more than {DEEPEST} folders"):
        store.find("", {})


@pytest.mark.parametrize("text", ["{}", '{"data": {}}', '{"data": {"keys": {}}}'])
def test_a_listing_in_another_form_is_no_empty_folder(
    store: VaultSecretStore, doubled: DoubledVault, text: str
) -> None:
    """A 200 that has not the form of a listing is StoreUnavailable."""
    doubled.double.fail(200, path="secret/metadata/team", text=text)
    with pytest.raises(StoreUnavailable):
        store.find("team/", {})
