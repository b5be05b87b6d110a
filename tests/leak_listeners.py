"""Where the leak hunt listens: the functions that every secret passes on its way in, and every text on its way out."""

from __future__ import annotations

import base64
import contextlib
import io
import logging
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import pytest

from rotator import logs, seal
from rotator.audit import sinks
from rotator.errors import RotatorError
from rotator.redact import Secret
from rotator.testing.memory import MemoryAudit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Listener: TypeAlias = tuple[Any, str, "Callable[..., Any]"]
"""The owner of a function, its name, and what takes its place."""

SHORTEST = 12
"""A shorter text is no secret that could be told from an ordinary word."""


class Ear(Protocol):
    """What the listeners tell."""

    new_secrets: set[str]

    def saw(self, place: str, text: str | bytes | None) -> None:
        """Take a text that came out."""


def listeners(hunt: Ear) -> Iterator[Listener]:
    """Yield all of them."""
    yield from _of_secrets(hunt)
    yield from _of_errors(hunt)
    yield from _of_logs(hunt)
    yield from _of_audit(hunt)
    yield pytest.CaptureFixture, "readouterr", _of_captured(hunt)
    yield from _of_processes(hunt)


def _of_secrets(hunt: Ear) -> Iterator[Listener]:
    wrapped, key_checked = Secret.__init__, seal._checked

    def wrap(self: Secret, text: str) -> None:
        wrapped(self, text)
        if len(text) >= SHORTEST:
            hunt.new_secrets.add(text)

    def check_key(key: bytes, what: str) -> bytes:
        hunt.new_secrets |= {key.hex(), base64.b64encode(key).decode()}
        return key_checked(key, what)

    yield Secret, "__init__", wrap
    yield seal, "_checked", check_key


def _of_errors(hunt: Ear) -> Iterator[Listener]:
    made, caught = RotatorError.__init__, pytest.ExceptionInfo.fill_unfilled

    def make(self: RotatorError, *arguments: Any, **named: Any) -> None:
        made(self, *arguments, **named)
        hunt.saw("error", f"{self.message}\n{self.hint}")

    def catch(self: Any, exc_info: Any) -> None:
        caught(self, exc_info)
        hunt.saw("exception", as_printed(exc_info[1]))

    yield RotatorError, "__init__", make
    yield pytest.ExceptionInfo, "fill_unfilled", catch


def as_printed(error: BaseException | None) -> str:
    """Return the texts that a traceback would show: the error's own and those of its causes."""
    texts: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        texts.append(f"{error}\n{error!r}\n{getattr(error, '__notes__', '')}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(texts)


def _of_logs(hunt: Ear) -> Iterator[Listener]:
    handled = logging.Logger.handle

    def handle(self: logging.Logger, record: logging.LogRecord) -> None:
        with contextlib.suppress(TypeError, ValueError):  # its arguments do not fit, which is the handler's to tell
            hunt.saw("log", record.getMessage())
        if isinstance(record.exc_info, tuple) and isinstance(record.exc_info[1], RotatorError):
            hunt.saw("log", as_printed(record.exc_info[1]))
        handled(self, record)

    def format_line(self: logging.Handler, record: logging.LogRecord) -> str:
        line = logging.Handler.format(self, record)
        hunt.saw("log line", line)
        return line

    yield logging.Logger, "handle", handle
    yield logs._LineHandler, "format", format_line


def _of_audit(hunt: Ear) -> Iterator[Listener]:
    rendered, recorded = sinks.render, MemoryAudit.record

    def render(event: Any, form: Any = "rotator") -> bytes:
        line = rendered(event, form)
        hunt.saw("audit", line)
        return line

    def record(self: MemoryAudit, event: Any) -> None:
        hunt.saw("audit", repr(event))
        recorded(self, event)

    yield sinks, "render", render
    yield MemoryAudit, "record", record


def _of_captured(hunt: Ear) -> Callable[..., Any]:
    read = pytest.CaptureFixture.readouterr

    def readouterr(self: Any) -> Any:
        texts = read(self)
        for place, text in zip(("stdout", "stderr"), texts, strict=True):
            hunt.saw(place, text)
        return texts

    return readouterr


def _of_processes(hunt: Ear) -> Iterator[Listener]:
    started, communicated = subprocess.Popen.__init__, subprocess.Popen.communicate
    signalled = subprocess.Popen.send_signal

    def start(self: Any, args: Any, *more: Any, **named: Any) -> None:
        words = [args] if isinstance(args, str | bytes | os.PathLike) else args
        hunt.saw("arguments", "\n".join(map(os.fsdecode, words)))
        started(self, args, *more, **named)
        for name in ("stdout", "stderr"):
            pipe = getattr(self, name)
            if isinstance(pipe, io.TextIOWrapper):
                setattr(self, name, _heard(hunt, pipe))

    def communicate(self: Any, *arguments: Any, **named: Any) -> Any:
        _saw_titles(hunt, self.pid)
        texts = communicated(self, *arguments, **named)
        for text in texts:
            hunt.saw("output of a process", text)
        return texts

    def send_signal(self: Any, *arguments: Any) -> None:
        _saw_titles(hunt, self.pid)
        signalled(self, *arguments)

    yield subprocess.Popen, "__init__", start
    yield subprocess.Popen, "communicate", communicate
    yield subprocess.Popen, "send_signal", send_signal


def _saw_titles(hunt: Ear, pid: int) -> None:
    """A process may rename itself and its threads; Linux shows both."""
    for path in (Path(f"/proc/{pid}/cmdline"), *Path(f"/proc/{pid}/task").glob("*/comm")):
        with contextlib.suppress(OSError):  # it ended, or this is no Linux
            hunt.saw("title of a process", path.read_bytes().replace(b"\0", b"\n"))


def _heard(hunt: Ear, pipe: io.TextIOWrapper) -> io.TextIOWrapper:
    """Return a process's pipe whose lines are heard when a test reads them one by one."""

    class Heard(io.TextIOWrapper):
        def __next__(self) -> str:
            return self._told(super().__next__())

        def readline(self, size: int = -1, /) -> str:
            return self._told(super().readline(size))

        def read(self, size: int | None = -1, /) -> str:
            return self._told(super().read(size))

        @staticmethod
        def _told(text: str) -> str:
            hunt.saw("output of a process", text)
            return text

    encoding, errors = pipe.encoding, pipe.errors
    return Heard(pipe.detach(), encoding=encoding, errors=errors)
