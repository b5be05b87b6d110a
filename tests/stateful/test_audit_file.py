"""The audit file holds what the in-memory sink holds, in its order, whatever is done to the file meanwhile."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any, get_args

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rotator.audit.chain import verify
from rotator.audit.events import AuditEvent, EventName
from rotator.audit.sinks import JsonlFileSink, render
from rotator.testing.contracts import race
from rotator.testing.memory import EPOCH, MemoryAudit
from tests.stateful.running import THREADS, walk
from tests.stateful.secret_store_machine import replicas, texts, values

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = itertools.count()
details = st.dictionaries(st.sampled_from(["reason", "error", "attempt"]), values | texts, max_size=2)
names = st.sampled_from(get_args(EventName))


class AuditFileMachine(RuleBasedStateMachine):
    """Three sinks on one file, as three processes have them, against one list of events."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / f"{next(EXAMPLES)}.jsonl"
        self.model = MemoryAudit()
        self.sinks = [JsonlFileSink(self.path) for _ in range(3)]
        self.moved: list[Path] = []
        self.count = 0

    @rule(replica=replicas, name=names, details=details)
    def record(self, replica: int, name: Any, details: dict[str, Any]) -> None:
        event = self._event(name, details)
        self.sinks[replica].record(event)
        self.model.record(event)

    @rule(name=names, details=details)
    def record_together(self, name: Any, details: dict[str, Any]) -> None:
        """Lines of writers at the same moment do not tear each other; which is first is open."""
        events = [self._event(name, details) for _ in range(2 * THREADS)]

        def run(number: int) -> None:
            for event in events[number::THREADS]:
                self.sinks[number % 3].record(event)

        before = len(self._lines())
        race(run, threads=THREADS)
        added = [line["event_id"] for line in self._lines()[before:]]
        by_id = {event.event_id: event for event in events}
        assert sorted(added) == sorted(by_id)
        for event_id in added:
            self.model.record(by_id[event_id])

    @rule()
    def rotate(self) -> None:
        """Log rotation moves the file away."""
        if self.path.exists():
            self.moved.append(self.path.with_suffix(f".{len(self.moved)}"))
            self.path.rename(self.moved[-1])

    @rule(cut=st.sampled_from([b'{"event": "rotation.st', b"\x00" * 30, b"\xff\xfe"]))
    def tear(self, cut: bytes) -> None:
        """A machine that died, or a disk that was full, left half a line."""
        with self.path.open("ab") as file:
            file.write(cut)

    @rule(replica=replicas)
    def close(self, replica: int) -> None:
        self.sinks[replica].close()

    @rule(replica=replicas)
    def prove(self, replica: int) -> None:
        self.sinks[replica].prove_writable()

    @invariant()
    def the_file_holds_every_event_in_order(self) -> None:
        """No event is lost, doubled, torn or swallowed by half a line."""
        assert self._lines() == [json.loads(render(event)) for event in self.model.events]

    @invariant()
    def every_file_is_a_chain(self) -> None:
        """Nothing is found in it but the halves of lines that were torn."""
        for path in [*self.moved, self.path]:
            if path.exists():
                verdict = verify(path.read_bytes().splitlines(keepends=True).copy)
                assert all("half a line" in what for _, what in verdict.findings), verdict.findings

    def teardown(self) -> None:
        for sink in self.sinks:
            sink.close()

    def _event(self, name: Any, details: dict[str, Any]) -> AuditEvent:
        self.count += 1
        return AuditEvent(name, f"e{self.count}", EPOCH, "c", "p", "s", {"host": "h"}, f"r{self.count}", details)

    def _lines(self) -> list[dict[str, Any]]:
        found = []
        for path in [*self.moved, self.path]:
            for line in path.read_bytes().split(b"\n") if path.exists() else []:
                try:
                    event = json.loads(line)
                    event.pop("chain")
                    found.append(event)
                except ValueError:  # half a line
                    continue
        return found


def test_the_audit_file_holds_what_the_model_holds(tmp_path: Path) -> None:
    """Three sinks, races, log rotation and torn lines."""
    walk(lambda: AuditFileMachine(tmp_path), 20)
