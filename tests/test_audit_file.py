"""The audit file: every line whole, on disk when it counts as recorded, and no failure without a word."""

from __future__ import annotations

import errno
import fcntl
import itertools
import json
import os
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rotator.audit.events import AuditEvent
from rotator.audit.sinks import JsonlFileSink
from rotator.errors import AuditUnavailable
from tests.app.stage import poll

if TYPE_CHECKING:
    from collections.abc import Iterator

CHILD = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
from rotator.audit.events import AuditEvent
from rotator.audit.sinks import JsonlFileSink
from rotator.errors import AuditUnavailable
path = Path(sys.argv[1])
sink = JsonlFileSink(path)
def record(**details):
    at = datetime(2026, 1, 1, tzinfo=UTC)
    sink.record(AuditEvent("rotation.started", "id", at, "payroll", "dailypay", "main", {}, "r1", details))
"""
"""How a program of its own records events in the file that is its first argument."""

FULL = """
record(attempt=1)
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 30, unlimited[1]))
try:
    record(attempt=2)
except AuditUnavailable as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
record(attempt=3)
"""

MANY = """
sys.stdin.readline()
for n in range(20):
    record(attempt=n, error=sys.argv[2] * 9000)
"""


def event(**details: Any) -> AuditEvent:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return AuditEvent("rotation.started", "id", at, "payroll", "dailypay", "main", {}, "r1", details)


def lines_of(path: Path) -> list[dict[str, Any]]:
    text = path.read_bytes()
    assert text.endswith(b"\n")
    return [json.loads(line) for line in text.splitlines()]


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def sink(path: Path) -> Iterator[JsonlFileSink]:
    sink = JsonlFileSink(path)
    yield sink
    sink.close()


def test_a_file_is_private_and_grows(path: Path, sink: JsonlFileSink) -> None:
    """The file is made with mode 0600, has one line per event in their order, and an existing one is appended to."""
    path.write_text('{"event": "older"}\n')
    path.unlink()
    sink.record(event(attempt=1))
    sink.record(event(attempt=2))
    other = JsonlFileSink(path)
    other.record(event(attempt=3))
    other.close()
    assert [line["attempt"] for line in lines_of(path)] == [1, 2, 3]
    assert path.stat().st_mode & 0o777 == 0o600


def test_each_event_is_on_disk_before_the_next_step(
    path: Path, sink: JsonlFileSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`record` writes the whole line in one call, under a lock, and flushes it before it returns, for every event."""
    calls: list[str] = []
    real_write, real_fsync, real_flock = os.write, os.fsync, fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        calls.append({fcntl.LOCK_EX | fcntl.LOCK_NB: "lock", fcntl.LOCK_UN: "unlock"}[operation])
        real_flock(descriptor, operation)

    def write(descriptor: int, data: bytes) -> int:
        calls.append("line" if data.endswith(b"}\n") and data.count(b"\n") == 1 else "part")
        return real_write(descriptor, data)

    def fsync(descriptor: int) -> None:
        calls.append(f"flush {Path(f'/proc/self/fd/{descriptor}').resolve().name}")
        real_fsync(descriptor)

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(fcntl, "flock", flock)
    sink.record(event())
    assert calls == [f"flush {path.parent.name}", "lock", "line", "unlock", "flush audit.jsonl"]
    calls.clear()
    sink.record(event())
    assert calls == ["lock", "line", "unlock", "flush audit.jsonl"]


def test_a_file_system_without_locks_will_do(path: Path, sink: JsonlFileSink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a lock is refused the event is recorded all the same."""
    # Injected: the file systems at hand all have locks.
    monkeypatch.setattr(fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOLCK, "no locks")))
    sink.record(event(attempt=1))
    assert [line["attempt"] for line in lines_of(path)] == [1]


def test_a_short_write_is_continued(path: Path, sink: JsonlFileSink, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the system takes only a part of a line the rest follows."""
    real_write = os.write
    # Injected: a regular file takes a part only when its disk is about to be full.
    monkeypatch.setattr(os, "write", lambda descriptor, data: real_write(descriptor, data[:7]))
    sink.record(event(attempt=1))
    assert [line["attempt"] for line in lines_of(path)] == [1]


@pytest.mark.parametrize("again", ["nothing", "a new file"])
def test_a_file_that_was_moved_away_is_made_anew(path: Path, sink: JsonlFileSink, again: str) -> None:
    """After log rotation moved the file the next event is in the file of that name, and none is in both."""
    sink.record(event(attempt=1))
    moved = path.rename(path.with_suffix(".1"))
    if again == "a new file":
        path.touch()
    sink.record(event(attempt=2))
    assert [line["attempt"] for line in lines_of(moved)] == [1]
    assert [line["attempt"] for line in lines_of(path)] == [2]


def test_half_a_line_does_not_swallow_the_next(path: Path, sink: JsonlFileSink) -> None:
    """An event after a broken line starts on a line of its own, whoever broke it and whenever."""
    path.write_bytes(b'{"event": "rotation.st')
    sink.record(event(attempt=1))
    with path.open("ab") as file:
        file.write(b'{"eve')
    sink.record(event(attempt=2))
    lines = path.read_bytes().splitlines()
    assert [json.loads(lines[n])["attempt"] for n in (1, 3)] == [1, 2]
    assert len(lines) == 4


def test_a_full_disk_is_told_and_then_overcome(path: Path) -> None:
    """A line that was cut off by a limit is AuditUnavailable, and the first one after the limit is gone is whole."""
    command = [sys.executable, "-c", CHILD + FULL, str(path)]
    told = subprocess.check_output(command, text=True, timeout=60)
    assert f"audit file {path}: File too large" in told
    first, torn, third = path.read_bytes().splitlines()
    assert (json.loads(first)["attempt"], len(torn), json.loads(third)["attempt"]) == (1, 30, 3)


def test_a_device_that_is_full_says_so() -> None:
    """A device without room is AuditUnavailable naming it, with what to do."""
    with pytest.raises(AuditUnavailable, match="/dev/full: No space left") as caught:
        JsonlFileSink(Path("/dev/full")).record(event())
    assert "free space" in caught.value.hint


def test_a_missing_folder_says_so(tmp_path: Path) -> None:
    """A file in a folder that does not exist is AuditUnavailable, and no folder is made."""
    with pytest.raises(AuditUnavailable, match="No such file"):
        JsonlFileSink(tmp_path / "no" / "audit.jsonl").record(event())
    assert not (tmp_path / "no").exists()


def test_a_pipe_gets_lines_without_a_flush(tmp_path: Path) -> None:
    """A named pipe, which cannot be flushed to disk, takes events; when its reader is gone, they are refused."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    sink = JsonlFileSink(pipe)
    sink.record(event(attempt=1))
    assert json.loads(os.read(reader, 10_000))["attempt"] == 1
    os.close(reader)
    with pytest.raises(AuditUnavailable, match="Broken pipe"):
        sink.record(event(attempt=2))


@pytest.mark.parametrize("into", ["a pipe", "a file"])
def test_standard_output_can_be_the_path(tmp_path: Path, into: str) -> None:
    """`/dev/stdout` takes events, be it a pipe or a file."""
    command = [sys.executable, "-c", CHILD + "record(attempt=1)\nrecord(attempt=2)\n", "/dev/stdout"]
    out = tmp_path / "out"
    if into == "a pipe":
        out.write_bytes(subprocess.check_output(command, timeout=60))
    else:
        with out.open("wb") as file:
            subprocess.run(command, stdout=file, timeout=60, check=True)
    assert [line["attempt"] for line in lines_of(out)] == [1, 2]


@pytest.mark.parametrize("number", range(4))
def test_a_failure_anywhere_is_told_and_leaks_nothing(path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Whichever call of a first event fails, it is AuditUnavailable, no descriptor stays open, and the next works."""
    sink, count = JsonlFileSink(path), itertools.count()

    def failing(operation: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            if next(count) == number:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return operation(*args, **kwargs)

        return run

    before = open_descriptors()
    with monkeypatch.context() as patched:
        for name in ("open", "write", "fsync"):
            patched.setattr(os, name, failing(getattr(os, name)))
        with pytest.raises(AuditUnavailable, match="Input/output error"):
            sink.record(event(attempt=1))
    assert open_descriptors() == before
    sink.record(event(attempt=2))
    assert lines_of(path)[-1]["attempt"] == 2
    sink.close()
    sink.close()


def test_many_writers_leave_whole_lines(path: Path, sink: JsonlFileSink) -> None:
    """Threads of one process and several processes that append long events at once leave every line whole."""
    command = [sys.executable, "-c", CHILD + MANY, str(path)]
    others = [subprocess.Popen([*command, letter], stdin=subprocess.PIPE, text=True) for letter in "abc"]
    threads = [
        threading.Thread(target=lambda: [sink.record(event(attempt=n, error="t" * 9000)) for n in range(10)])
        for _ in range(4)
    ]
    for other in others:
        assert other.stdin
        other.stdin.write("go\n")
        other.stdin.flush()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for other in others:
        other.communicate(timeout=60)
    assert [other.returncode for other in others] == [0, 0, 0]
    errors = sorted(line["error"] for line in lines_of(path))
    assert errors == sorted(["a" * 9000, "b" * 9000, "c" * 9000] * 20 + ["t" * 9000] * 40)


class HeldFlush:
    """`os.fsync` whose first call waits for a word, and counts what the file held at the beginning of each."""

    def __init__(self, path: Path, error: OSError | None = None) -> None:
        self.sizes: list[int] = []
        self.begun, self.go = threading.Event(), threading.Event()
        self._path, self._error, self._real = path, error, os.fsync

    def __call__(self, descriptor: int) -> None:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return self._real(descriptor)
        self.sizes.append(len(self._path.read_text().splitlines()))
        if len(self.sizes) == 1:
            self.begun.set()
            assert self.go.wait(60)
            if self._error:
                raise self._error
        return self._real(descriptor)


def in_threads(sink: JsonlFileSink, path: Path, held: HeldFlush, others: int) -> list[str]:
    """Record one event whose flush is held, and `others` meanwhile; return what became of each, in order of ending."""
    ended: list[str] = []

    def record(number: int) -> None:
        try:
            sink.record(event(attempt=number))
            ended.append("recorded")
        except AuditUnavailable:
            ended.append("failed")

    threads = [threading.Thread(target=record, args=(number,)) for number in range(others + 1)]
    threads[0].start()
    assert held.begun.wait(60)
    for thread in threads[1:]:
        thread.start()
    poll(lambda: len(path.read_text().splitlines()) == others + 1, "all lines are written")
    assert ended == []  # none of them is on disk yet
    held.go.set()
    for thread in threads:
        thread.join(60)
    return ended


def test_one_flush_does_for_all_that_came_meanwhile(
    path: Path, sink: JsonlFileSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five events that come during a flush share the next one; each is whole in the file before it begins."""
    held = HeldFlush(path)
    monkeypatch.setattr(os, "fsync", held)
    assert in_threads(sink, path, held, others=5) == ["recorded"] * 6
    assert held.sizes == [1, 6]


def test_a_flush_that_fails_is_told_to_all_who_waited(
    path: Path, sink: JsonlFileSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may not be on disk is no recorded event, for none of them; the next event opens the file anew."""
    before = open_descriptors()
    held = HeldFlush(path, OSError(errno.EIO, os.strerror(errno.EIO)))
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", held)
        assert in_threads(sink, path, held, others=3) == ["failed"] * 4
    assert open_descriptors() == before
    sink.record(event(attempt=9))
    assert lines_of(path)[-1]["attempt"] == 9


def test_a_lock_that_nobody_lets_go_of_stops_no_event(tmp_path: Path) -> None:
    """Whoever holds the trail's lock for ever holds up an event for a second, and the rotation not at all."""
    path = tmp_path / "audit.jsonl"
    path.touch(mode=0o600)
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        JsonlFileSink(path).record(event())
    assert len(path.read_text().splitlines()) == 1
