"""The SQLite file that the local store and the local state share: opening it, and naming what goes wrong.

One file may serve as both, and does by default, so it has one schema. It is made for one machine: several threads and
processes, no network file system (https://www.sqlite.org/wal.html, "all processes must be on the same host").
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from rotator.errors import StoreCorrupt, StoreDenied, StoreMissing, StoreRejected, StoreUnavailable, StoreWriteInDoubt
from rotator.private_files import create_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.errors import StoreError

BUSY_TIMEOUT_S: Final = 5.0
"""How long to wait for another writer. A write takes some milliseconds; five seconds is a process that hangs."""

_APPLICATION_ID: Final = 0x726F7461  # "rota"
_SCHEMA_VERSION: Final = 1
_SCHEMA: Final = f"""
PRAGMA journal_mode = WAL;
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_SCHEMA_VERSION};
CREATE TABLE secret (
    name TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    created_at TEXT NOT NULL,  -- RFC 3339, UTC
    sealed TEXT NOT NULL,      -- the document, sealed
    write_id TEXT NOT NULL,    -- of the write that made this version,
    replaced INTEGER           -- and the version that it expected
);
CREATE TABLE record (
    key TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    body TEXT NOT NULL         -- JSON
);
"""

_Result = TypeVar("_Result")


class SqliteFile:
    """One database file, its folder made with mode 0700 and itself with 0600 at the first write.

    A connection lives as long as one transaction. One per thread was rejected: it would write on into a file that an
    operator has replaced from a backup, could not cross a fork, and nobody would close it when its thread ends. The
    price is one opening, well under a millisecond against the fsync of the commit.

    Args:
        path: Where the file is, or will be.
        busy_timeout_s: How long to wait for another writer.
    """

    def __init__(self, path: str | Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.path = Path(path).absolute()
        self._busy_timeout_s = busy_timeout_s

    def reading(self, query: Callable[[sqlite3.Connection], _Result], *, absent: _Result) -> _Result:
        """Return what `query` finds, or `absent` while there is no file; a reader never makes one.

        Raises:
            StoreError: What `named` tells apart.
        """
        try:
            if not self._is_there():
                return absent
            with contextlib.closing(self._connect()) as connection:
                return query(connection)
        except (sqlite3.Error, OSError) as error:
            raise named(error, self.path) from None

    def writing(self, change: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Run `change` in one transaction that no other writer gets into, and return what it returns.

        Durable on return. What `change` raises passes through; then nothing is changed.

        Raises:
            StoreWriteInDoubt: The commit failed half-way.
            StoreError: What `named` tells apart; nothing was changed.
        """
        try:
            if not self._is_there():
                create_once(self.path, _create)
            with contextlib.closing(self._connect()) as connection:  # closing without a commit undoes
                connection.execute("BEGIN IMMEDIATE")
                result = change(connection)
                _commit(connection, self.path)
            return result
        except (sqlite3.Error, OSError) as error:
            raise named(error, self.path) from None

    def _is_there(self) -> bool:
        try:
            self.path.stat()
        except FileNotFoundError:
            return False
        return True  # `exists` would say False as well when a part of the path is a file

    def _connect(self) -> sqlite3.Connection:
        # mode=rw: a file that vanished meanwhile must not come back as an empty one of somebody else's mode.
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw", uri=True, timeout=self._busy_timeout_s, isolation_level=None
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")  # in WAL mode, FULL is what makes a commit durable
            (application_id,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if (application_id, version) != (_APPLICATION_ID, _SCHEMA_VERSION):
                raise StoreCorrupt(
                    f"{self.path} is no database of this rotator", hint="name another path, or upgrade rotator"
                )
        except BaseException:
            connection.close()
            raise
        return connection


def _create(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(_SCHEMA)


def _commit(connection: sqlite3.Connection, path: Path) -> None:
    try:
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        # It may have reached the disk before what follows it failed.
        failure = named(error, path)
        raise StoreWriteInDoubt(failure.message, hint=failure.hint) from None


# ------------------------------------------------------------------------------------------------ foreign errors

_FREE_DISK: Final = "free space on the disk"
_READ_ONLY: Final = "the file system is read-only: mount it writable, or name another path"
_PERMISSIONS: Final = "check the owner and the permissions of the file and of its folder; both must be writable"
_BY_CODE: Final[dict[int, tuple[type[StoreError], str]]] = {
    sqlite3.SQLITE_BUSY: (StoreUnavailable, "another process holds it; find out which one hangs"),
    sqlite3.SQLITE_LOCKED: (StoreUnavailable, "another process holds it; find out which one hangs"),
    sqlite3.SQLITE_FULL: (StoreUnavailable, _FREE_DISK),
    sqlite3.SQLITE_IOERR: (StoreUnavailable, "check the disk"),
    sqlite3.SQLITE_READONLY: (StoreDenied, _PERMISSIONS),
    sqlite3.SQLITE_PERM: (StoreDenied, _PERMISSIONS),
    sqlite3.SQLITE_TOOBIG: (StoreRejected, "SQLite holds no single text of that size"),
    sqlite3.SQLITE_CORRUPT: (StoreCorrupt, "restore the file from a backup"),
    sqlite3.SQLITE_NOTADB: (StoreCorrupt, "it is no SQLite database: name another path"),
    sqlite3.SQLITE_ERROR: (StoreCorrupt, "its tables are not rotator's: restore the file from a backup"),
}
_BY_ERRNO: Final[dict[int | None, tuple[type[StoreError], str]]] = {
    errno.EACCES: (StoreDenied, _PERMISSIONS),
    errno.EPERM: (StoreDenied, _PERMISSIONS),
    errno.EROFS: (StoreDenied, _READ_ONLY),
    errno.ENOTDIR: (StoreMissing, "a part of the path is a file, not a folder: name another path"),
    errno.EEXIST: (StoreMissing, "a part of the path is a file, not a folder: name another path"),
    errno.ENOENT: (StoreMissing, "a part of the path is a link to nowhere"),
    errno.ENOSPC: (StoreUnavailable, _FREE_DISK),
    errno.EDQUOT: (StoreUnavailable, _FREE_DISK),
}


def named(error: sqlite3.Error | OSError, path: Path) -> StoreError:
    """Return the error of rotator's that says what a foreign one means for the file at `path`.

    Its text holds the path and the foreign error's name, never the foreign text.
    """
    if isinstance(error, OSError):
        kind, hint = _BY_ERRNO.get(error.errno, (StoreUnavailable, "check the disk"))
        return kind(f"{path}: {error.strerror}", hint=hint)
    what = f"{path}: {getattr(error, 'sqlite_errorname', type(error).__name__)}"
    code = _primary(error)
    if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY} and _on_read_only_disk(path):
        return StoreDenied(what, hint=_READ_ONLY)
    if code == sqlite3.SQLITE_CANTOPEN:
        return _not_opened(what, path)
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHMSIZE:
        return StoreUnavailable(what, hint=_FREE_DISK)  # not SQLITE_FULL: the shared memory beside the file cannot grow
    if isinstance(error, sqlite3.OperationalError) and not code:
        # Not SQLite's own error but the module's: a text that is no UTF-8. It stays so however often it is read.
        return StoreCorrupt(f"{what}: a text in it is not UTF-8", hint="restore the file from a backup")
    kind, hint = _BY_CODE.get(code, (StoreUnavailable, "run again"))
    return kind(what, hint=hint)


def _not_opened(what: str, path: Path) -> StoreError:
    """SQLite says that it cannot open the file, not why: look."""
    if not path.is_file():
        return StoreMissing(what, hint="a folder, or a link to nowhere, stands there: name a file")
    writable = os.access(path, os.R_OK | os.W_OK, effective_ids=True)
    if writable and os.access(path.parent, os.W_OK | os.X_OK, effective_ids=True):
        return StoreUnavailable(what, hint="the process may have too many files open")
    return StoreDenied(what, hint=_PERMISSIONS)


def _on_read_only_disk(path: Path) -> bool:
    try:
        return bool(os.statvfs(path.parent).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _primary(error: sqlite3.Error) -> int:
    """Return the primary result code: the low byte of the extended one (https://www.sqlite.org/rescode.html)."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
