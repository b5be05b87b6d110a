"""What goes wrong on a disk is named for what it is: permissions, space, damage, other writers."""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from local_parts import A_DOCUMENT, NOBODY, limited, local_store, seed, sql, without_permission

from rotator.errors import (
    StoreCorrupt,
    StoreDenied,
    StoreError,
    StoreMissing,
    StoreRejected,
    StoreUnavailable,
    StoreWriteInDoubt,
)
from rotator.model import Document
from rotator.sqlite import SqliteFile, named
from rotator.state.local import LocalStateStore
from rotator.testing.contracts import (
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.model import Versioned


def every_verb(path: Path) -> list[Callable[[], object]]:
    store, state = local_store(path, busy_timeout_s=0.01), LocalStateStore(path, busy_timeout_s=0.01)
    return [
        lambda: store.read("a"),
        lambda: store.versions(["a"]),
        lambda: store.prove_writable("a"),
        lambda: store.compare_and_swap("a", A_DOCUMENT, expected=None, write_id="w"),
        lambda: state.read("a"),
        lambda: state.keys(""),
        state.prove_writable,
        lambda: state.compare_and_swap("a", {}, expected=0),
        lambda: raised(store.read_many(["a"])["a"]),
    ]


def raised(answer: Versioned | StoreError) -> Versioned:
    if isinstance(answer, StoreError):
        raise answer
    return answer


def with_text(path: Path) -> None:
    path.write_text("no database at all, but a text that is long enough " * 100)


def with_another_database(path: Path) -> None:
    sql(path, "CREATE TABLE secret (name)")


def with_a_newer_schema(path: Path) -> None:
    seed(path)
    sql(path, "PRAGMA user_version = 2")


def with_a_lost_table(path: Path) -> None:
    seed(path)
    sql(path, "DROP TABLE secret")
    sql(path, "DROP TABLE record")


def with_a_damaged_page(path: Path) -> None:
    seed(path)
    bytes_ = bytearray(path.read_bytes())
    bytes_[4096:] = b"\xff" * (len(bytes_) - 4096)
    path.write_bytes(bytes_)


@pytest.mark.parametrize(
    "broken", [with_text, with_another_database, with_a_newer_schema, with_a_lost_table, with_a_damaged_page]
)
def test_a_file_that_is_not_ours_is_corrupt_and_stays_as_it_is(tmp_path: Path, broken: Callable[[Path], None]) -> None:
    """A text, a foreign or newer database and a damaged one are StoreCorrupt, name the path, and are not touched."""
    path = tmp_path / "rotator.db"
    broken(path)
    before = path.read_bytes()
    verbs = every_verb(path)
    if broken in {with_a_lost_table, with_a_damaged_page}:
        del verbs[6]  # proving the state writable looks at no table
    for verb in verbs:
        with pytest.raises(StoreCorrupt) as caught:
            verb()
        assert str(path) in str(caught.value)
        assert caught.value.hint
    assert path.read_bytes() == before


def test_a_folder_in_the_place_of_the_file_is_missing(tmp_path: Path) -> None:
    """Where a folder stands, or a link to nowhere, writing is StoreMissing with the path."""
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for path in (tmp_path, tmp_path / "link"):
        with pytest.raises(StoreMissing, match=str(path)):
            LocalStateStore(path).compare_and_swap("a", {}, expected=0)


def test_a_folder_that_may_not_be_made_is_denied(tmp_path: Path) -> None:
    """Where the folder cannot be made for lack of permission, a write is StoreDenied with the path."""
    with without_permission(tmp_path), pytest.raises(StoreDenied, match=r"rotator\.db"):
        seed(tmp_path / "var" / "rotator.db")


def test_a_file_that_may_not_be_opened_is_denied() -> None:
    """A file of another owner, in a folder that everybody may enter, is StoreDenied for every verb."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "rotator.db"
        seed(path)
        user = os.geteuid()
        path.parent.chmod(0o777)
        if user == 0:
            os.seteuid(NOBODY)
        else:
            path.chmod(0)
        try:
            for verb in every_verb(path):
                with pytest.raises(StoreDenied, match="permissions"):
                    verb()
        finally:
            os.seteuid(user)


def test_too_many_open_files_is_unavailable(tmp_path: Path) -> None:
    """When the process may open no further file, every verb is StoreUnavailable and not a question of permissions."""
    path = tmp_path / "rotator.db"
    seed(path)
    with limited(resource.RLIMIT_NOFILE, 3):
        for verb in every_verb(path):
            with pytest.raises(StoreUnavailable):
                verb()
    assert local_store(path).read("a").version == "1"


def test_a_writer_that_waits_too_long_is_unavailable_and_readers_go_on(tmp_path: Path) -> None:
    """While another process writes, a write is StoreUnavailable after the busy timeout; a read is answered."""
    path = tmp_path / "rotator.db"
    seed(path)
    store = local_store(path, busy_timeout_s=0.01)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="another process"):
            store.compare_and_swap("a", Document({}), expected="1", write_id="w2")
        assert store.read("a").content == A_DOCUMENT
    assert store.compare_and_swap("a", Document({}), expected="1", write_id="w2").version == "2"


def test_a_disk_that_fails_at_the_commit_leaves_the_write_in_doubt(tmp_path: Path) -> None:
    """A write error at the commit is StoreWriteInDoubt; here the old version is still there."""
    path = tmp_path / "rotator.db"
    seed(path)
    large = Document({"refresh_token": "canary-token" * 20_000})
    with limited(resource.RLIMIT_FSIZE, 64 * 1024), pytest.raises(StoreWriteInDoubt) as caught:
        local_store(path).compare_and_swap("a", large, expected="1", write_id="w2")
    assert str(path) in str(caught.value)
    assert "canary-token" not in shown(caught.value)
    assert local_store(path).read("a").version == "1"


def test_a_disk_that_fails_at_the_creation_leaves_no_file(tmp_path: Path) -> None:
    """A write error while the file is made is StoreUnavailable, and no half of a file is left."""
    with limited(resource.RLIMIT_FSIZE, 512), pytest.raises(StoreUnavailable):
        seed(tmp_path / "rotator.db")
    assert not (tmp_path / "rotator.db").exists()


def error_of(path: Path, *statements: str, limit: int | None = None) -> sqlite3.Error:
    """Return the error that SQLite itself raises for the last statement."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if limit:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, limit)
        for statement in statements[:-1]:
            connection.execute(statement)
        with pytest.raises(sqlite3.Error) as caught:
            connection.execute(statements[-1])
    return caught.value


def test_a_full_disk_is_unavailable(tmp_path: Path) -> None:
    """SQLITE_FULL is StoreUnavailable and tells to free space."""
    path = tmp_path / "rotator.db"
    seed(path)
    error = error_of(path, "PRAGMA max_page_count = 1", "INSERT INTO record VALUES ('a', 1, hex(zeroblob(90000)))")
    assert error.sqlite_errorname == "SQLITE_FULL"
    assert isinstance(named(error, path), StoreUnavailable)
    assert "free space" in str(named(error, path))


def test_a_read_only_database_is_denied(tmp_path: Path) -> None:
    """SQLITE_READONLY is StoreDenied."""
    path = tmp_path / "rotator.db"
    seed(path)
    error = error_of(path, "PRAGMA query_only = ON", "DELETE FROM record")
    assert error.sqlite_errorname == "SQLITE_READONLY"
    assert isinstance(named(error, path), StoreDenied)


def test_a_text_that_is_too_long_is_rejected(tmp_path: Path) -> None:
    """SQLITE_TOOBIG is StoreRejected: trying again cannot help."""
    path = tmp_path / "rotator.db"
    error = error_of(path, "SELECT hex(zeroblob(900))", limit=100)
    assert error.sqlite_errorname == "SQLITE_TOOBIG"
    assert isinstance(named(error, path), StoreRejected)


def test_an_error_without_a_meaning_of_its_own_is_unavailable(tmp_path: Path) -> None:
    """An error of SQLite or of the system that is not in the tables is StoreUnavailable and names the path."""
    path = tmp_path / "rotator.db"
    for error in (error_of(path, "SELECT json('{')"), sqlite3.ProgrammingError("x"), OSError(5, "Input/output error")):
        assert isinstance(named(error, path), StoreUnavailable | StoreCorrupt)
        assert str(path) in str(named(error, path))
    assert isinstance(named(sqlite3.ProgrammingError("x"), path), StoreUnavailable)


def test_a_change_that_raises_is_undone(tmp_path: Path) -> None:
    """What the callback of a transaction raises passes through, and its statements have no effect."""
    file = SqliteFile(tmp_path / "rotator.db")

    def change(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO record VALUES ('a', 1, '{}')")
        raise LookupError

    with pytest.raises(LookupError):
        file.writing(change)
    assert LocalStateStore(file.path).keys("") == []
