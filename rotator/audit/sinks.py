"""Where audit events go: a file of JSON lines, or a stream; and how an event looks as a line."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import select
import stat
import threading
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from rotator.audit.appended_file import AppendedFile
from rotator.audit.chain import BEGINNING, CHAIN_DEPTH, chained, link_of
from rotator.errors import AuditUnavailable, RotatorError
from rotator.private_files import flush, write_all
from rotator.redact import MASK, Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping
    from pathlib import Path
    from typing import TextIO

    from rotator.audit.events import AuditEvent
    from rotator.audit.formats import Format


# ----------------------------------------------------------------------------------------------------- lines


def rfc3339(instant: datetime) -> str:
    """Return an aware instant in UTC, with microseconds: `2026-01-01T00:00:00.000000Z` (RFC 3339 section 5.6)."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def shown(value: object) -> Any:
    """Return a JSON form of what JSON does not know; for `json.dumps(default=…)`, of events and of logs.

    Secrets are masked by their type. A type that nobody thought of is shown by its name: its `repr` could hold
    anything, and failing would keep an event from being recorded.
    """
    match value:
        case Secret():
            return MASK
        case datetime():
            return rfc3339(value)
        case Mapping():
            return {str(key): item for key, item in value.items()}
        case AbstractSet():
            return sorted(value, key=str)
        case RotatorError() | PurePath():
            return str(value)
        case _:
            return f"<{type(value).__name__}>"


def render(event: AuditEvent, form: Format = "rotator") -> bytes:
    """Return the event as one line of JSON in ASCII, its line feed included.

    In rotator's own format the common fields come first and always in the same order; a detail cannot take the place of
    one. What is None is left out. The others are made from that line, so that nothing reaches them unmasked.
    """
    line: str = _as_line().info(event.event, audited=event)
    if form != "rotator":
        from rotator.audit.formats import MAPPINGS  # noqa: PLC0415 - on use: most trails are in rotator's own format

        line = json.dumps(MAPPINGS[form](json.loads(line)))
    return f"{line}\n".encode()


def _fields_of(_: object, __: str, logged: MutableMapping[str, Any]) -> dict[str, Any]:
    event: AuditEvent = logged["audited"]
    common = {
        "event": event.event,
        "ts": event.ts,
        "event_id": event.event_id,
        "credential": event.credential,
        "provider": event.provider,
        "store": event.store,
        "actor": event.actor,
        "rotation_id": event.rotation_id,
    }
    return common | {name: value for name, value in event.details.items() if name not in common}


def _without_none(_: object, __: str, fields: MutableMapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


@functools.cache
def _as_line() -> Any:
    import structlog  # noqa: PLC0415 - on use: dear to import, and most passes have no event

    return structlog.BoundLogger(
        # A logger that hands the line back, with its own processors: structlog's global configuration, which a program
        # that embeds rotator may set, has no say in what the audit trail looks like.
        structlog.ReturnLogger(),
        processors=(_fields_of, _without_none, structlog.processors.JSONRenderer(default=shown)),
        context={},
    )


# ----------------------------------------------------------------------------------------------------- sinks


class JsonlFileSink:
    """Appends one line per event to a file; it is flushed to disk before `record` returns, with others' at once.

    Several processes may append to one file: a line is one `write` with O_APPEND, under a lock. A file that was moved
    away (log rotation) is noticed before the next event and made anew. Thread-safe.

    Args:
        path: The file; made with mode 0600. Its folder is not made: a trail that quietly goes to a mistyped or
            unmounted folder is lost when it is asked for. A pipe or device works, but has nothing to flush.
        form: What a line looks like (`rotator.audit.formats`).
    """

    def __init__(self, path: Path, form: Format = "rotator") -> None:
        self._path = path
        self._form: Format = form
        self._lock = threading.Lock()
        self._file: AppendedFile | None = None
        self._size = -1
        self._link = BEGINNING

    def warm_up(self) -> None:
        """Load what renders events."""
        _as_line()

    def record(self, event: AuditEvent) -> None:
        """Append the event, with its place in the file's chain (`rotator.audit.chain`).

        Raises:
            AuditUnavailable: The line may not be on disk; a part of it may be, as a broken line.
        """
        line = render(event, self._form)
        with self._told():
            with self._lock:
                file = self._ensure_open()
                file.use()
            try:
                if self._append(file, line):
                    file.flush()
            except OSError:
                self._forget(file)
                raise
            finally:
                file.let_go()

    def prove_writable(self) -> None:
        """Open the file, making it if it is missing.

        Raises:
            AuditUnavailable: It cannot be opened.
        """
        with self._told(), self._lock:
            self._ensure_open()

    def close(self) -> None:
        """Close the file; the next event opens it again."""
        self._forget(self._file)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise AuditUnavailable(
                f"audit file {self._path}: {error.strerror or type(error).__name__}",
                hint="its folder must exist, with free space, and rotator's user must be allowed to write there",
            ) from error

    def _append(self, file: AppendedFile, line: bytes) -> bool:
        """Write the line; return whether there is something to flush."""
        descriptor = file.descriptor
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            with self._lock:
                write_all(descriptor, line)
            return False
        with self._lock, _locked(descriptor):
            size = os.fstat(descriptor).st_size
            if size != self._size or file is not self._file:  # somebody else has written, or it is another file
                self._link = _last_link(descriptor, size)
            line, link = chained(line, self._link, CHAIN_DEPTH[self._form])
            # A full disk or a dead machine leaves half a line, which must not swallow this one.
            broken = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            self._size = -1  # until it is written whole
            write_all(descriptor, b"\n" + line if broken else line)
            self._size, self._link = size + broken + len(line), link
        return True

    def _ensure_open(self) -> AppendedFile:
        if self._file is None or not self._is_current(self._file.descriptor):
            before, self._file = self._file, None
            if before is not None:
                before.let_go()
            self._file, self._size = AppendedFile(self._open()), -1
        return self._file

    def _forget(self, file: AppendedFile | None) -> None:
        """Open the file anew for the next event: a descriptor that failed once is not believed again."""
        with self._lock:
            if file is not None and file is self._file:
                self._file = None
                file.let_go()

    def _open(self) -> int:
        # Pipes and devices are opened for writing only: with a reader of its own, a pipe never breaks, it blocks.
        special = self._path.exists() and not self._path.is_file()
        access = os.O_WRONLY if special else os.O_RDWR
        descriptor = os.open(self._path, access | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not special:
                flush(self._path.resolve().parent)  # else a new file's name is lost with the power
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(descriptor))
        except FileNotFoundError:
            return False


class StreamSink:
    """Writes one line per event to a text stream and flushes it: for `path: "-"`, stderr. Thread-safe.

    What becomes of the line then is up to whoever reads the stream.

    Args:
        form: What a line looks like (`rotator.audit.formats`).
    """

    def __init__(self, stream: TextIO, form: Format = "rotator") -> None:
        self._stream = stream
        self._form: Format = form
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Load what renders events."""
        _as_line()

    def record(self, event: AuditEvent) -> None:
        """Write the event.

        Raises:
            AuditUnavailable: The stream is closed, or nobody reads it.
        """
        line = render(event, self._form).decode()
        with self._lock:
            try:
                self._stream.write(line)
                self._stream.flush()
            except (OSError, ValueError) as error:  # ValueError: closed
                name = getattr(self._stream, "name", "stream")
                raise AuditUnavailable(
                    f"audit to {name}: {type(error).__name__}",
                    hint="keep the stream open and read, or set the `path` of this sink of `audit` to a file",
                ) from None

    def prove_writable(self) -> None:
        """See whether the stream is open.

        Raises:
            AuditUnavailable: It is closed.
        """
        if self._stream.closed:
            raise AuditUnavailable(
                "the stream of the audit trail is closed", hint="set the `path` of `audit` to a file"
            )


LOCK_TRIES = 100
LOCK_PAUSE_S = 0.01


@contextlib.contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    """Hold the other writers off: a line that is being written grows page by page and looks like half a line.

    Where the file system has no locks, or another program does not let go of its own, a line is still one `write`, and
    the worst is an empty line too many. Rotations do not wait for whoever holds the trail.
    """
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            select.select([], [], [], LOCK_PAUSE_S)
        except OSError:
            break
        else:
            break
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)


TAIL_BYTES = 1 << 16
"""An event has some hundred bytes, and few kilobytes at most."""


def _last_link(descriptor: int, size: int) -> str:
    """Return the digest of the last line that is in the file's chain."""
    tail = os.pread(descriptor, TAIL_BYTES, max(0, size - TAIL_BYTES))
    for line in reversed(tail.splitlines()):
        link = link_of(line)
        if link is not None:
            return link.own
    return BEGINNING
