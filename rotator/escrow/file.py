"""The escrow in files, for a machine whose disk outlives the run: one sealed file per entry.

Writing is: temporary file, flush to disk, rename, flush the folder. A crash between any two of these leaves either the
old entry or the new one, and at most a temporary file that nobody reads. SQLite was rejected: an escrow must still
take an entry when the local state's database is the very thing that fails.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import os
import re
import threading
import uuid
import weakref
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter

from rotator.errors import EscrowCorrupt, EscrowUnavailable
from rotator.private_files import flush, write_all
from rotator.record_bodies import FORMAT
from rotator.record_changes import stays
from rotator.records import SealedEntry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rotator.ports import Ids, RecordWriter
    from rotator.records import StateRecord

PLACE_FILE: Final = "place"

LEFTOVER_AGE_S: Final = 3600.0
"""A temporary file lives for milliseconds. After an hour its writer is dead, or so long asleep that it may as well
be told `EscrowUnavailable` when its rename fails."""

RESERVED_BYTES: Final = 16 * 1024
"""Larger than any sealed token set, so that an entry fits into the room that was reserved for it."""

_ENTRY: Final = re.compile(r"[0-9a-f]{32}-[0-9a-f]{32}\.json")
_LEFTOVER: Final = re.compile(r"\.(place|reserved|[0-9a-f]{32}-[0-9a-f]{32}\.json)\..+\.tmp")

_HINTS: Final = {
    errno.ENOSPC: "free space on that disk",
    errno.EDQUOT: "free space or raise the quota of rotator's user",
    errno.EROFS: "mount that disk writable, or set `escrow.path` to a folder on another one",
    errno.EACCES: "let rotator's user read, write and search that folder",
    errno.EPERM: "let rotator's user write to that folder, and choose a file system that has hard links",
    errno.ENOTDIR: "a part of that path is a file: set `escrow.path` to a folder",
    errno.EIO: "the disk or its network path fails: see the kernel's log",
}


class FileEscrow:
    """Keeps entries in a folder of this machine: `<sha256(identity)>-<sha256(parent)>.json`, 32 hex digits each.

    The names are digests, so that neither a strange identity nor a strange parent can leave the folder. The content is
    the entry as JSON, its tokens sealed. See `rotator.ports.Escrow`. Safe for many threads and processes.

    Args:
        folder: Created with mode 0700, its parents too, when it is first written to.
        ids: For the place's id and for the names of temporary files.
    """

    def __init__(self, folder: Path, ids: Ids) -> None:
        self._folder = folder
        self._ids = ids
        self._of_thread = threading.local()
        self.shared = False

    @functools.cached_property
    def place(self) -> str:
        """`file:` and the id kept in the folder; the first use creates it, and of several processes the first wins.

        Raises:
            EscrowUnavailable: The folder cannot be read or made.
            EscrowCorrupt: The file with the id holds none.
        """
        with _mapped(f"escrow folder {self._folder}: the id of the place cannot be kept"):
            self._make_folder()
            while (place := self._place_on_disk()) is None:
                self._offer_place()
            # By everybody, not only by the creator: that one may have died before its own flush.
            flush(self._folder)
        return place

    def waiting(self, record: StateRecord) -> tuple[SealedEntry, ...]:
        """Return the entries of the record's secret, oldest first; opens no other file.

        Raises:
            EscrowUnavailable: The folder cannot be read, or is no longer the one that this process began with.
            EscrowCorrupt: An entry of this secret cannot be decoded.
        """
        return self._entries(f"{_digest(record.identity)}-")

    def keep(self, entry: SealedEntry, writer: RecordWriter) -> None:  # noqa: ARG002 - the port: not every escrow needs the record
        """Write the entry's file, into the room that this thread reserved if it did; flush it and the folder to disk.

        Raises:
            EscrowUnavailable: It is not durable.
        """
        fields = {"format": FORMAT, **_adapter().dump_python(entry, mode="json")}
        name = _name(entry.identity, entry.parent)
        with _mapped(f"escrow folder {self._folder}: the new tokens of {entry.credential} were not kept"):
            self._make_folder()
            if self._keeps(self._folder / name, entry):
                return
            target = self._folder / name
            replaces = target.exists()
            # A new entry gets its name before the slow flush: a process that is killed meanwhile leaves it for the next
            # run to find. One that replaces another is flushed first, or a power cut could take both.
            with self._temporary(name) as temporary:
                temporary.fill(json.dumps(fields).encode(), flushed=replaces)
                temporary.path.replace(target)
            if not replaces:
                flush(target)
            flush(self._folder)

    @staticmethod
    def _keeps(path: Path, new: SealedEntry) -> bool:
        try:
            before = _read(path)
        except EscrowCorrupt:
            return new.kind == "reply"  # whatever it is, it is worth more than that
        return before is not None and stays(before, new)

    def without(self, record: StateRecord, parents: frozenset[str]) -> StateRecord:  # noqa: ARG002 - the port: nothing of ours is in the record
        """Return the record as it is."""
        return record

    def clear(self, identity: str, parents: frozenset[str]) -> None:
        """Remove the entries' files, and temporary files that a crash left behind.

        Raises:
            EscrowUnavailable: They are not removed for good.
        """
        with _mapped(f"escrow folder {self._folder}: the entries of {identity} were not removed"):
            for parent in parents:
                with contextlib.suppress(FileNotFoundError):
                    (self._folder / _name(identity, parent)).unlink()
            with contextlib.suppress(FileNotFoundError):  # no folder: nothing was ever kept
                self._remove_leftovers()
                flush(self._folder)

    def all_waiting(self) -> tuple[SealedEntry, ...]:
        """Return the entries of all secrets, oldest first.

        Raises:
            EscrowUnavailable: As in `waiting`.
            EscrowCorrupt: An entry cannot be decoded; the message names its file.
        """
        return self._entries("")

    def prove_writable(self) -> None:
        """Write and flush a file as large as an entry, and hold it as the room for this thread's next entry.

        Between this and the answer a request takes seconds, and the disk is often the one of the store and the state.
        A probe that gives its room back was rejected: a disk that filled up meanwhile cost the received tokens.

        Raises:
            EscrowUnavailable: It could not be written.
        """
        with _mapped(f"escrow folder {self._folder}: nothing can be kept in it"):
            self._make_folder()
            self._of_thread.reserved = None  # not needed by an earlier rotation; it proves nothing about the disk now
            reserved = self._new_temporary("reserved")
            try:
                reserved.fill(bytes(RESERVED_BYTES))
                flush(self._folder)
            except BaseException:
                reserved.remove()
                raise
            self._of_thread.reserved = reserved

    # ---------------------------------------------------------------------------------------------- reading

    def _entries(self, prefix: str) -> tuple[SealedEntry, ...]:
        with _mapped(f"escrow folder {self._folder}: what waits there cannot be read"):
            names = [name for name in self._names(_ENTRY) if name.startswith(prefix)]
            found = [entry for name in names if (entry := _read(self._folder / name))]
            if not found:
                self._require_same_place()
        return tuple(sorted(found, key=lambda entry: (entry.at, entry.identity, entry.parent)))

    def _names(self, pattern: re.Pattern[str]) -> list[str]:
        try:
            return [path.name for path in self._folder.iterdir() if pattern.fullmatch(path.name)]
        except FileNotFoundError:  # made at the first write
            return []

    def _require_same_place(self) -> None:
        """Do not take an unmounted or replaced folder for one in which nothing waits.

        A claim that names this place would then be believed to have no successor, and its token be spent again.
        """
        known = vars(self).get("place")  # only if it was asked for; asking would make the folder
        if known is not None and self._place_on_disk() != known:
            raise EscrowUnavailable(
                f"escrow folder {self._folder}: it is not the folder that this process began with ({known})",
                hint="mount the disk that holds it again; if it was replaced on purpose, start rotator anew",
            )

    def _place_on_disk(self) -> str | None:
        path = self._folder / PLACE_FILE
        try:
            return f"file:{uuid.UUID(path.read_text(encoding='ascii').strip())}"
        except FileNotFoundError:
            return None
        except ValueError:
            raise EscrowCorrupt(
                f"{path} holds no id",
                hint="restore it from a backup; without one, remove it when no rotation is in doubt",
            ) from None

    # ---------------------------------------------------------------------------------------------- writing

    def _make_folder(self) -> None:
        missing = [path for path in (self._folder, *self._folder.parents) if not path.exists()]
        if missing:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in missing:
            flush(path.parent)

    def _offer_place(self) -> None:
        # A link, unlike a rename, never replaces: the first id stays, and it is complete before it has its name.
        content = f"{self._ids.new_id()}\n".encode()
        with self._temporary(PLACE_FILE) as temporary, contextlib.suppress(FileExistsError):
            temporary.fill(content)
            os.link(temporary.path, self._folder / PLACE_FILE)

    @contextlib.contextmanager
    def _temporary(self, name: str) -> Iterator[_Temporary]:
        """Yield a temporary file, for an entry the reserved one; removes what the caller did not rename."""
        reserved: _Temporary | None = getattr(self._of_thread, "reserved", None) if name != PLACE_FILE else None
        temporary = reserved or self._new_temporary(name)
        if reserved:
            self._of_thread.reserved = None
        try:
            yield temporary
        finally:
            temporary.remove()

    def _new_temporary(self, name: str) -> _Temporary:
        return _Temporary(self._folder / f".{name}.{self._ids.new_id()}.tmp")

    def _remove_leftovers(self) -> None:
        # Removing an entry has just set the folder's time from the file system's own clock. Where nothing was removed
        # it is older, and only makes the files look younger.
        now_s = self._folder.stat().st_mtime
        for name in self._names(_LEFTOVER):
            path = self._folder / name
            with contextlib.suppress(OSError):  # another process was first; nobody needs it gone
                if now_s - path.stat().st_mtime > LEFTOVER_AGE_S:
                    path.unlink()


class _Temporary:
    """A file that is removed when nobody holds it any more, or the process ends; after a kill it is a leftover."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.remove = weakref.finalize(self, _remove, path)

    def fill(self, content: bytes, *, flushed: bool = True) -> None:
        """Write the content in the place of what is there."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            write_all(descriptor, content)
            os.ftruncate(descriptor, len(content))  # not before the write: that would give reserved room back
            if flushed:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # renamed; or left behind, which does no harm
        path.unlink()


def _name(identity: str, parent: str) -> str:
    return f"{_digest(identity)}-{_digest(parent)}.json"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _read(path: Path) -> SealedEntry | None:
    """Return the entry, or None when it was cleared since the folder was listed.

    An empty file is none, either: named, and not yet flushed when the power went, so `keep` never returned.
    """
    try:
        content = path.read_bytes()
        if not content:
            return None
        fields: Any = json.loads(content)
        if not isinstance(fields, dict) or fields.pop("format", None) != FORMAT:
            raise ValueError("unknown format")
        entry = _adapter().validate_python(fields)
        if path.name != _name(entry.identity, entry.parent):
            raise ValueError("another entry's content")
    except FileNotFoundError:
        return None
    except (ValueError, OverflowError, RecursionError) as error:
        # pydantic's ValidationError is a ValueError; its text quotes the content.
        raise EscrowCorrupt(
            f"the escrow entry {path} cannot be read: {type(error).__name__}",
            hint="it may be the only copy of a refresh token, so it stays: restore it from a backup, "
            "or log in again and then move it away",
        ) from None
    return entry


@functools.cache
def _adapter() -> TypeAdapter[SealedEntry]:
    return TypeAdapter(SealedEntry)


@contextlib.contextmanager
def _mapped(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        hint = _HINTS.get(error.errno or 0, "see the reason; nothing is kept there until it is gone")
        raise EscrowUnavailable(f"{what}: {reason}", hint=hint) from error
