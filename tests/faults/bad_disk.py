"""A disk under some folders that goes bad at its k-th call, and is mended when a test says so.

Injected where Python hands a call to the system, for no disk at hand fails on demand at one given call:
`test_full_disk.py` has a real one. SQLite reaches the disk past Python, so its statements fail as its own manual says
that they do when the disk does (https://www.sqlite.org/rescode.html).
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytest

Sort = Literal["ENOSPC", "EROFS", "EIO", "EIO once"]
SORTS: tuple[Sort, ...] = ("ENOSPC", "EROFS", "EIO", "EIO once")
"""A full disk takes nothing new, a read-only one no change, a broken one nothing at all, or fails a single call."""

IN_SQLITE = {
    "ENOSPC": (sqlite3.SQLITE_FULL, "SQLITE_FULL"),
    "EROFS": (sqlite3.SQLITE_READONLY, "SQLITE_READONLY"),
    "EIO": (sqlite3.SQLITE_IOERR_FSYNC, "SQLITE_IOERR_FSYNC"),
}
CHANGING = ("INSERT", "COMMIT")
GROWING_CALLS = frozenset({"create", "write", "mkdir", "link", "SQL"})
CHANGING_CALLS = GROWING_CALLS | {"write in place", "replace", "unlink", "open for writing"}


@dataclass
class BadDisk:
    """Counts the calls that reach some paths and lets them fail from the k-th on, or the k-th alone.

    Args:
        paths: Folders, or files with what SQLite puts beside them.
        at: Which call is the first to fail; None is none.
    """

    paths: Sequence[Path]
    sort: Sort
    at: int | None = None
    calls: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    refused_at: list[Path] = field(default_factory=list)
    mended: bool = False

    def install(self, patched: pytest.MonkeyPatch) -> None:
        """Put this disk between rotator and the system."""
        real = {name: getattr(os, name) for name in ("open", "write", "fsync", "mkdir", "link", "replace", "unlink")}
        real_open, real_listdir, real_connect = io.open, os.listdir, sqlite3.connect

        def opened(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            self._call(path, _sort_of_opening(path, flags))
            return int(real["open"](path, flags, *args, **kwargs))

        def on_descriptor(name: str) -> Callable[..., Any]:
            def call(descriptor: int, *args: Any) -> Any:
                grows = name != "write" or _grows(descriptor, len(args[0]))
                self._call(f"/proc/self/fd/{descriptor}", name if grows else "write in place")
                # No power is cut here, and thousands of real flushes would be all that the tests do.
                return None if name == "fsync" else real[name](descriptor, *args)

            return call

        def on_path(name: str) -> Callable[..., Any]:
            def call(path: Any, *args: Any, **kwargs: Any) -> Any:
                self._call(path, name)
                return real[name](path, *args, **kwargs)

            return call

        def read(path: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            self._call(path, "read")
            return real_open(path, mode, *args, **kwargs)

        def listed(path: Any = ".") -> list[str]:
            self._call(path, "list")
            return real_listdir(path)

        def connected(database: Any, *args: Any, **kwargs: Any) -> sqlite3.Connection:
            place = self.place_of(str(database).removeprefix("file://").partition("?")[0])
            return real_connect(database, *args, factory=_connection(self, place), **kwargs)

        patched.setattr(os, "open", opened)
        patched.setattr(io, "open", read)
        patched.setattr(os, "listdir", listed)
        patched.setattr(sqlite3, "connect", connected)
        for name in ("write", "fsync"):
            patched.setattr(os, name, on_descriptor(name))
        for name in ("mkdir", "link", "replace", "unlink"):
            patched.setattr(os, name, on_path(name))

    def mend(self) -> None:
        """Let everything work again."""
        self.mended = True

    def hit(self, path: Path, call: str) -> bool:
        """Count a call that this sort of trouble can touch; return whether it fails."""
        if self.mended or not self._touches(call):
            return False
        number = len(self.calls)
        self.calls.append(call)
        fails = self.at is not None and (number == self.at if self.sort == "EIO once" else number >= self.at)
        if fails:
            self.failed.append(call)
            self.refused_at.append(path)
        return fails

    @property
    def name(self) -> str:
        return self.sort.partition(" ")[0]

    def _touches(self, call: str) -> bool:
        verb = call.partition(":")[0]
        if self.name == "EIO":
            return True
        if verb == "SQL" and not call.partition(": ")[2].startswith(CHANGING):
            return False
        return verb in (GROWING_CALLS if self.name == "ENOSPC" else CHANGING_CALLS)

    def place_of(self, path: Any) -> Path | None:
        """Return which of this disk's paths a path belongs to."""
        text = str(path)
        if text.startswith("/proc/self/fd/"):
            text = str(Path(text).readlink())
        for own in self.paths:
            if text == str(own) or text.startswith((f"{own}/", f"{own}-", f"{own}.")):
                return own
        return None

    def _call(self, path: Any, what: str) -> None:
        place = None if isinstance(path, int) else self.place_of(path)
        if place and self.hit(place, what):
            number = getattr(errno, self.name)
            raise OSError(number, os.strerror(number))


def _sort_of_opening(path: Any, flags: int) -> str:
    if flags & os.O_CREAT and not Path(path).exists():
        return "create"
    return "open for writing" if flags & (os.O_WRONLY | os.O_RDWR) else "read"


def _grows(descriptor: int, size: int) -> bool:
    """Return whether a write needs room that the file has not yet."""
    appends = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
    return bool(appends) or os.lseek(descriptor, 0, os.SEEK_CUR) + size > os.fstat(descriptor).st_size


def _connection(disk: BadDisk, path: Path | None) -> type[sqlite3.Connection]:
    class Connection(sqlite3.Connection):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            super().execute("PRAGMA synchronous = OFF")  # as said above of flushes

        def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
            if sql.startswith("PRAGMA synchronous"):
                return super().execute("SELECT 1")
            if path is None:
                return super().execute(sql, *args)
            committing = sql == "COMMIT"
            if disk.hit(path, f"SQL: {sql}"):
                raise _error(disk.name)
            cursor = super().execute(sql, *args)
            # A commit may reach the disk and fail in what follows it.
            if committing and disk.name == "EIO" and disk.hit(path, "SQL: after COMMIT"):
                raise _error(disk.name)
            return cursor

    return Connection


def _error(name: str) -> sqlite3.OperationalError:
    code, text = IN_SQLITE[name]
    error = sqlite3.OperationalError(f"injected for {name}")
    error.sqlite_errorcode, error.sqlite_errorname = code, text  # type: ignore[misc]  # set by the module otherwise
    return error
