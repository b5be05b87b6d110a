"""The local store and the local state keep the contract, and their file is as promised."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from local_parts import A_DOCUMENT, KEY, local_store, seed, sql, without_permission

from rotator.errors import (
    ConfigError,
    Problem,
    SecretNotFound,
    StoreCorrupt,
)
from rotator.model import Document
from rotator.seal import AesSeal
from rotator.state.local import LocalStateStore
from rotator.stores.local import LocalSecretStore
from rotator.testing.contracts import (
    SecretStoreContract,
    SecretStoreHarness,
    StateStoreContract,
    StateStoreHarness,
    cannot_show,
    shown,
)
from rotator.testing.memory import EPOCH, SequentialIds, VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NO_LIMIT = "SQLite holds a gigabyte in one text"


class Denied:
    """A store whose every call runs without permission."""

    def __init__(self, store: object, folder: Path) -> None:
        self._store, self._folder = store, folder

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named_arguments: Any) -> Any:
            with without_permission(self._folder):
                return getattr(self._store, verb)(*arguments, **named_arguments)

        return call


class OnDisk:
    """What both harnesses share: a file, and somebody who holds it for himself."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "var" / "rotator.db"
        self._blocker: sqlite3.Connection | None = None

    def block(self) -> None:
        self._blocker = sqlite3.connect(self.path, isolation_level=None)
        self._blocker.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._blocker.execute("BEGIN EXCLUSIVE")

    def close(self) -> None:
        if self._blocker:
            self._blocker.close()


class SecretsOnDisk(OnDisk, SecretStoreHarness):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.store = local_store(self.path)
        self.seal = AesSeal(lambda: KEY)
        self.ids = SequentialIds()

    def new_name(self) -> str:
        return f"oauth/{self.ids.new_id()}"

    def raw_set(self, secret: str, content: str | bytes) -> None:
        if not self.path.exists():
            LocalStateStore(self.path).prove_writable()
        plain = content if isinstance(content, bytes) else content.encode()
        sql(
            self.path,
            "INSERT INTO secret VALUES (?, 1, ?, ?, 'somebody else', NULL) ON CONFLICT DO UPDATE SET"
            " version = version + 1, sealed = excluded.sealed, write_id = 'somebody else', replaced = NULL",
            secret,
            EPOCH.isoformat(),
            self.seal.seal(plain, f"secret:{secret}"),
        )

    def raw_get(self, secret: str) -> bytes:
        ((sealed,),) = sql(self.path, "SELECT sealed FROM secret WHERE name = ?", secret)
        return self.seal.open(sealed, f"secret:{secret}")

    def raw_delete(self, secret: str) -> None:
        sql(self.path, "DELETE FROM secret WHERE name = ?", secret)

    def raw_label(self, secret: str, labels: dict[str, str]) -> NoReturn:
        cannot_show("the local store has no labels")

    def damage(self, secret: str) -> None:
        sql(self.path, "UPDATE secret SET sealed = substr(sealed, 5) WHERE name = ?", secret)

    def reopened(self) -> LocalSecretStore:
        return local_store(self.path)

    def refused_document(self) -> NoReturn:
        cannot_show(NO_LIMIT)

    def missing_store(self) -> LocalSecretStore:
        self.path.parent.parent.joinpath("file").touch()
        return local_store(self.path.parent.parent / "file" / "rotator.db")

    def denied_store(self) -> Any:
        return Denied(self.store, self.path.parent)

    def unreachable_store(self) -> LocalSecretStore:
        self.raw_set("other", "{}")
        self.block()
        return local_store(self.path, busy_timeout_s=0.01)


class TestLocalSecretStore(SecretStoreContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Iterator[SecretsOnDisk]:
        harness = SecretsOnDisk(tmp_path)
        yield harness
        harness.close()


class StateOnDisk(OnDisk, StateStoreHarness):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.store = LocalStateStore(self.path)

    def reopened(self) -> LocalStateStore:
        return LocalStateStore(self.path)

    def damage(self, key: str) -> None:
        sql(self.path, "UPDATE record SET body = substr(body, 2) WHERE key = ?", key)

    def refused_body(self) -> NoReturn:
        cannot_show(NO_LIMIT)

    def missing_store(self) -> LocalStateStore:
        self.path.parent.parent.joinpath("file").touch()
        return LocalStateStore(self.path.parent.parent / "file" / "rotator.db")

    def denied_store(self) -> Any:
        return Denied(self.store, self.path.parent)

    def unreachable_store(self) -> LocalStateStore:
        self.store.prove_writable()
        self.block()
        return LocalStateStore(self.path, busy_timeout_s=0.01)


class TestLocalStateStore(StateStoreContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Iterator[StateOnDisk]:
        harness = StateOnDisk(tmp_path)
        yield harness
        harness.close()

    def test_a_body_that_is_no_object_is_corrupt(self, tmp_path: Path) -> None:
        """A record whose JSON is not an object is StoreCorrupt."""
        store = LocalStateStore(tmp_path / "rotator.db")
        store.compare_and_swap("secret/a", {}, expected=0)
        sql(tmp_path / "rotator.db", "UPDATE record SET body = '[]'")
        with pytest.raises(StoreCorrupt, match="no JSON object"):
            store.read("secret/a")

    def test_a_text_that_is_no_utf_8_does_not_stop_the_others(self, tmp_path: Path) -> None:
        """Among many, a body of bytes that SQLite hands to nobody is StoreCorrupt, and the others are read."""
        store = LocalStateStore(tmp_path / "rotator.db")
        revisions = {key: store.compare_and_swap(key, {}, expected=0) for key in ("secret/a", "secret/b")}
        sql(tmp_path / "rotator.db", "UPDATE record SET body = CAST(x'ff' AS TEXT) WHERE key = 'secret/b'")
        found = store.read_many(["secret/a", "secret/b", "secret/c"])
        assert found["secret/a"] == ({}, revisions["secret/a"])
        assert isinstance(found["secret/b"], StoreCorrupt)
        assert found["secret/c"] == (None, 0)


# ------------------------------------------------------------------------------------------------------- the file


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_file_and_its_folder_are_for_their_owner_alone(tmp_path: Path) -> None:
    """Whatever the umask, the folder is made with mode 0700 and the file with 0600, and nothing else is left there."""
    before = os.umask(0)
    try:
        seed(tmp_path / "var" / "rotator.db")
    finally:
        os.umask(before)
    assert (mode(tmp_path / "var"), mode(tmp_path / "var" / "rotator.db")) == (0o700, 0o600)
    assert [file.name for file in (tmp_path / "var").iterdir()] == ["rotator.db"]


def test_a_folder_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    """Only a folder that rotator makes gets rotator's mode."""
    tmp_path.chmod(0o755)
    seed(tmp_path / "rotator.db")
    assert mode(tmp_path) == 0o755


def test_reading_makes_no_file(tmp_path: Path) -> None:
    """Reads and listings of a store and a state that nobody wrote yet leave no trace."""
    path = tmp_path / "var" / "rotator.db"
    assert local_store(path).versions(["a"]) == {}
    assert LocalStateStore(path).read("a") == (None, 0)
    assert LocalStateStore(path).keys("") == []
    assert list(tmp_path.iterdir()) == []


def test_no_document_stands_in_the_file_in_clear(tmp_path: Path) -> None:
    """The bytes on disk do not contain a token."""
    seed(tmp_path / "rotator.db")
    assert b"canary-token" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


def test_the_store_and_the_state_can_share_a_file(tmp_path: Path) -> None:
    """One path serves both, whichever comes first; neither sees the other's entries."""
    for name, first_store in (("a.db", True), ("b.db", False)):
        state = LocalStateStore(tmp_path / name)
        if first_store:
            seed(tmp_path / name)
        state.compare_and_swap("secret/a", {"n": 1}, expected=0)
        if not first_store:
            seed(tmp_path / name)
        assert local_store(tmp_path / name).read("a").content == A_DOCUMENT
        assert state.keys("") == ["secret/a"]
        assert local_store(tmp_path / name).versions(["secret/a"]) == {}


def test_the_identity_is_the_absolute_path_and_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path counts from the working directory at the start and gives the same identity."""
    monkeypatch.chdir(tmp_path)
    store = local_store(Path("rotator.db"))
    monkeypatch.chdir("/")
    written = store.compare_and_swap("a", A_DOCUMENT, expected=None, write_id="w")
    assert written.identity == f"local:{tmp_path}/rotator.db#a"


@pytest.mark.parametrize("name", ["with space.db", "per%20cent.db", "q?mode=ro.db", "hash#.db", "Zoë.db"])
def test_every_file_name_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    """A path with characters that mean something in a URI names that file."""
    seed(tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert local_store(tmp_path / name).read("a").content == A_DOCUMENT


def test_the_file_can_be_moved(tmp_path: Path) -> None:
    """What was sealed opens at another path."""
    seed(tmp_path / "old.db")
    (tmp_path / "old.db").rename(tmp_path / "new.db")
    assert local_store(tmp_path / "new.db").read("a").content == A_DOCUMENT


def test_a_document_opens_under_its_own_name_only(tmp_path: Path) -> None:
    """A sealed document that somebody moved to another secret does not open there."""
    path = tmp_path / "rotator.db"
    seed(path)
    sql(path, "UPDATE secret SET name = 'b'")
    with pytest.raises(StoreCorrupt):
        local_store(path).read("b")


def test_another_seal_key_is_named_as_the_cause(tmp_path: Path) -> None:
    """With another key a read is StoreCorrupt, names secret and path, hints at the key, and shows no content."""
    path = tmp_path / "rotator.db"
    seed(path)
    with pytest.raises(StoreCorrupt, match="seal key") as caught:
        local_store(path, key=bytes(32)).read("a")
    assert str(path) in str(caught.value)
    assert "canary-token" not in shown(caught.value)


def test_a_key_that_cannot_be_loaded_stops_a_write_before_the_file_is_touched(tmp_path: Path) -> None:
    """Without a key `compare_and_swap` is the key's ConfigError, and no file is made."""

    def no_key() -> bytes:
        raise ConfigError([Problem("seal", "no key")])

    store = LocalSecretStore("dev", tmp_path / "rotator.db", AesSeal(no_key), VirtualClock())
    with pytest.raises(ConfigError):
        store.compare_and_swap("a", A_DOCUMENT, expected=None, write_id="w")
    assert list(tmp_path.iterdir()) == []


def test_half_a_surrogate_pair_survives(tmp_path: Path) -> None:
    """A field that JSON can hold and UTF-8 cannot comes back equal."""
    document = Document(json.loads('{"refresh_token": "r", "cut": "\\ud83d"}'))
    store = local_store(tmp_path / "rotator.db")
    store.compare_and_swap("a", document, expected=None, write_id="w")
    assert store.read("a").content == document


# --------------------------------------------------------------------------------------------------- many secrets


def test_a_batch_is_one_opening_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many secrets as `batch` says are read in one opening, and one more in two."""
    seed(tmp_path / "rotator.db")
    store = local_store(tmp_path / "rotator.db")
    openings: list[object] = []
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: openings.append(a) or connect(*a, **k))  # type: ignore[func-returns-value]
    store.read_many(["a", *map(str, range(store.batch - 1))])
    assert len(openings) == 1
    store.read_many(["a", *map(str, range(store.batch))])
    assert len(openings) == 3


@pytest.mark.parametrize("column", ["created_at = 'yesterday'", "sealed = CAST(x'ff' AS TEXT)", "sealed = 'cut'"])
def test_a_row_that_is_damaged_spoils_no_other(tmp_path: Path, column: str) -> None:
    """Whatever is wrong with a row, it alone is StoreCorrupt, with the error of a read, and the others are read."""
    path = tmp_path / "rotator.db"
    store = local_store(path)
    for name in "abc":
        store.compare_and_swap(name, A_DOCUMENT, expected=None, write_id="w")
    sql(path, f"UPDATE secret SET {column} WHERE name = 'b'")
    answers = store.read_many("abc")
    assert (answers["a"], answers["c"]) == (store.read("a"), store.read("c"))
    with pytest.raises(StoreCorrupt) as caught:
        store.read("b")
    assert (type(answers["b"]), str(answers["b"])) == (StoreCorrupt, str(caught.value))


def test_reading_many_makes_no_file(tmp_path: Path) -> None:
    """Of a file that nobody wrote yet, each secret is SecretNotFound, and the folder stays empty."""
    answers = local_store(tmp_path / "var" / "rotator.db").read_many(["a", "b"])
    assert [type(answer) for answer in answers.values()] == [SecretNotFound] * 2
    assert list(tmp_path.iterdir()) == []


def test_names_that_begin_alike_are_found_and_their_neighbours_are_not(tmp_path: Path) -> None:
    """Wherever a prefix ends, exactly the names that begin so are found, characters at the ends of Unicode included."""
    names = ["A/1", "a", "a-1", "a/", "a/1", "a/\U0010ffff", "a/é", "a0", "a\uffff", "b", "é"]
    names.sort()
    store = local_store(tmp_path / "rotator.db")
    for name in reversed(names):
        store.compare_and_swap(name, A_DOCUMENT, expected=None, write_id="w")
    for prefix in ("", "A", "a", "a/", "a/\U0010ffff", "b", "c", "é", "\U0010ffff"):
        assert list(store.find(prefix, {})) == [name for name in names if name.startswith(prefix)]


def test_whoever_asks_for_a_label_finds_nothing(tmp_path: Path) -> None:
    """The local store has no labels, so no secret carries one."""
    seed(tmp_path / "rotator.db")
    store = local_store(tmp_path / "rotator.db")
    assert set(store.find("", {})) == {"a"}
    assert store.find("", {"rotator": ""}) == {}
    assert local_store(tmp_path / "nothing.db").find("", {}) == {}
    assert [file.name for file in tmp_path.iterdir()] == ["rotator.db"]
