"""The chain of an audit file: what was done to it is found, and what was not is not."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from rotator.audit.chain import BEGINNING, Verdict, chained, link_of, verify
from rotator.audit.events import AuditEvent
from rotator.audit.sinks import JsonlFileSink
from tests.core.parts import at

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 6
NUMBERS = st.integers(0, COUNT - 1)


def trail(count: int = COUNT) -> list[bytes]:
    lines, link = [], BEGINNING
    for number in range(count):
        line, link = chained(json.dumps({"event": "rotation.started", "number": number}).encode() + b"\n", link)
        lines.append(line)
    return lines


def judged(lines: list[bytes], asked: str = "") -> Verdict:
    return verify(lambda: lines, asked)


def places(lines: list[bytes]) -> list[int]:
    return [number for number, _ in judged(lines).findings]


def test_a_trail_as_it_was_written_is_unbroken() -> None:
    """Each line is JSON still, and what it said before."""
    lines = trail()
    verdict = judged(lines)
    assert (verdict.unbroken, verdict.events, verdict.findings) == (True, COUNT, [])
    assert [json.loads(line)["number"] for line in lines] == list(range(COUNT))
    last = link_of(lines[-1])
    assert last is not None
    assert verdict.last == last.own


@given(NUMBERS)
def test_a_line_that_is_taken_out_is_missed_where_it_was(gone: int) -> None:
    """But for the last one, whose absence shows by the link that was noted elsewhere."""
    lines = trail()
    left = lines[:gone] + lines[gone + 1 :]
    last = link_of(lines[-1])
    assert last is not None
    if gone == COUNT - 1:
        assert places(left) == []
        assert not judged(left, last.own).seen
    else:
        assert places(left) == [gone + 1]
        assert judged(left, last.own).seen


@given(NUMBERS, st.data())
def test_a_line_that_is_changed_is_named(changed: int, data: st.DataObject) -> None:
    """Whichever byte of what it says it is; the lines around it are not blamed."""
    lines = trail()
    link = link_of(lines[changed])
    assert link is not None
    place = data.draw(st.integers(0, len(link.content) - 2))
    byte = lines[changed][place]
    other = data.draw(st.integers(32, 126).filter(lambda one: one != byte))
    lines[changed] = lines[changed][:place] + bytes([other]) + lines[changed][place + 1 :]
    assert [(number, what) for number, what in judged(lines).findings if number == changed + 1]
    assert places(lines) == [changed + 1]


@given(NUMBERS, NUMBERS)
def test_lines_that_changed_places_are_named(one: int, other: int) -> None:
    """With where they belong."""
    lines = trail()
    lines[one], lines[other] = lines[other], lines[one]
    found = judged(lines).findings
    if one == other:
        assert found == []
    else:
        first, second = sorted((one, other))
        assert {first + 1, second + 1} <= {number for number, _ in found}
        assert not judged(lines).unbroken


@given(NUMBERS, NUMBERS)
def test_a_line_that_is_put_in_is_named(copied: int, place: int) -> None:
    """Be it a copy of another one, or one without a chain."""
    lines = trail()
    assert not judged([*lines[:place], lines[copied], *lines[place:]]).unbroken
    found = places([*lines[: place + 1], b'{"event": "rotation.succeeded"}\n', *lines[place + 1 :]])
    assert found == [place + 2]


def test_lines_from_before_there_was_a_chain_are_counted_and_not_blamed() -> None:
    """A trail that was begun by an older version goes on in the same file."""
    verdict = judged([b'{"event": "rotation.started"}\n', *trail()])
    assert (verdict.unbroken, verdict.older, verdict.events) == (True, 1, COUNT)


def test_a_file_without_a_chain_is_no_unbroken_one() -> None:
    """Else it would be enough to take the chain away."""
    assert not judged([b'{"event": "rotation.started"}\n']).unbroken
    assert not judged([]).unbroken


def test_half_a_line_after_a_crash_is_told_as_that(tmp_path: Path) -> None:
    """And breaks nothing: the next line names the last whole one."""
    path = tmp_path / "audit.jsonl"
    sink = JsonlFileSink(path)
    sink.record(event(1))
    with path.open("ab") as file:
        file.write(b'{"event": "rotation.st')
    sink.record(event(2))
    sink.close()
    verdict = judged(path.read_bytes().splitlines(keepends=True))
    assert [number for number, _ in verdict.findings] == [2]
    assert "half a line" in verdict.findings[0][1]
    assert verdict.events == 2


def event(number: int) -> AuditEvent:
    return AuditEvent("rotation.started", str(number), at(number), "alpha", "acme", "main", {"host": "h"})


def test_sinks_that_share_a_file_write_one_chain(tmp_path: Path) -> None:
    """Threads of one process, and several processes: each takes up where the last one ended."""
    path = tmp_path / "audit.jsonl"
    sinks = [JsonlFileSink(path) for _ in range(3)]

    def write(sink: JsonlFileSink) -> None:
        for number in range(40):
            sink.record(event(number))

    threads = [threading.Thread(target=write, args=(sink,)) for sink in sinks for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for sink in sinks:
        sink.close()
    verdict = judged(path.read_bytes().splitlines(keepends=True))
    assert (verdict.findings, verdict.events) == ([], 240)


def test_a_file_that_was_moved_away_ends_its_chain_and_a_new_one_begins(tmp_path: Path) -> None:
    """Each is whole for itself, even where both have the same length."""
    path = tmp_path / "audit.jsonl"
    sink = JsonlFileSink(path)
    sink.record(event(1))
    path.rename(tmp_path / "audit.1")
    sink.record(event(2))
    sink.close()
    for file in (path, tmp_path / "audit.1"):
        assert judged(file.read_bytes().splitlines(keepends=True)).unbroken
