"""The audit trail: what an event looks like, when it counts as recorded, and what happens when it cannot be."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from rotator.audit.events import AuditEvent
from rotator.audit.sinks import StreamSink, render, shown
from rotator.audit.trail import AuditTrail
from rotator.errors import AuditUnavailable, StoreDenied
from rotator.model import Actor, Credential, Document, Provider
from rotator.redact import Secret
from rotator.testing.memory import EPOCH, MemoryAudit, SequentialIds, VirtualClock

if TYPE_CHECKING:
    from rotator.ports import AuditSink

ACTOR = Actor("host-1", 42, "daemon", "abc")
CREDENTIAL = Credential(
    "payroll", Provider("dailypay-prod", "dailypay", "https://x.test/token"), "main", "oauth/payroll"
)
TEXT = "s3cr3t-refresh-token"
IDS = SequentialIds()


def event(**details: Any) -> AuditEvent:
    return AuditEvent(
        "rotation.started", IDS.new_id(), EPOCH, "payroll", "dailypay-prod", "main", {"pid": 42}, "r1", details
    )


def trail_of(*sinks: AuditSink) -> AuditTrail:
    return AuditTrail(sinks, VirtualClock(), SequentialIds(), ACTOR)


# ---------------------------------------------------------------------------------------------------- the trail


def test_an_event_carries_what_all_events_have_in_common() -> None:
    """The trail fills in id, time, credential, provider, store and actor, and returns the event that it recorded."""
    audit = MemoryAudit()
    recorded = trail_of(audit).record("rotation.started", CREDENTIAL, rotation_id="r1", attempt=1)
    assert audit.events == [recorded]
    assert recorded == AuditEvent(
        event="rotation.started",
        event_id="00000001-0000-4000-8000-000000000000",
        ts=EPOCH,
        credential="payroll",
        provider="dailypay-prod",
        store="main",
        actor={"host": "host-1", "pid": 42, "mode": "daemon", "instance": "abc"},
        rotation_id="r1",
        details={"attempt": 1},
    )


class Refusing:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def record(self, event: AuditEvent) -> None:
        raise self.error


@pytest.mark.parametrize("position", [0, 1])
def test_one_sink_that_refuses_is_enough(position: int) -> None:
    """When any sink fails the trail raises, naming what is wrong, and the other sinks have the event all the same."""
    audit = MemoryAudit()
    sinks: list[AuditSink] = [audit, audit]
    sinks.insert(position, Refusing(AuditUnavailable("audit file a.jsonl: full", hint="free space")))
    with pytest.raises(AuditUnavailable, match=r"rotation\.started of payroll .*a\.jsonl: full \(free space\)"):
        trail_of(*sinks).record("rotation.started", CREDENTIAL)
    assert len(audit.events) == 2


def test_a_foreign_sinks_error_is_told_without_its_text() -> None:
    """A plug-in's sink that breaks the contract is AuditUnavailable with the error's type; its text is in no link."""
    with pytest.raises(AuditUnavailable, match="Refusing: KeyError") as caught:
        trail_of(Refusing(KeyError(TEXT))).record("rotation.started", CREDENTIAL)
    assert TEXT not in f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"


def test_a_trail_without_sinks_refuses_everything() -> None:
    """With no sink nothing is recorded, so nothing counts as recorded."""
    with pytest.raises(AuditUnavailable, match="no audit sink"):
        trail_of().record("rotation.started", CREDENTIAL)


# ------------------------------------------------------------------------------------------------------ the line


def test_a_line_has_its_fields_in_a_fixed_order() -> None:
    """A line is JSON in ASCII: the common fields in their order, then the details in theirs, None left out."""
    late = datetime(2026, 1, 1, 14, 30, tzinfo=timezone(timedelta(hours=2)))
    line = render(event(attempt=1, reason=None, expires_at=late, error="Zoë\n"))
    assert line.decode("ascii") == (
        '{"event": "rotation.started", "ts": "2026-01-01T00:00:00.000000Z", "event_id": "'
        + json.loads(line)["event_id"]
        + '", "credential": "payroll", "provider": "dailypay-prod", "store": "main", "actor": {"pid": 42}, '
        '"rotation_id": "r1", "attempt": 1, "expires_at": "2026-01-01T12:30:00.000000Z", "error": "Zo\\u00eb\\n"}\n'
    )


def test_an_event_outside_a_rotation_has_no_rotation_id() -> None:
    """`rotation_id` is left out where there is none."""
    assert "rotation_id" not in json.loads(render(AuditEvent("credential.read", "i", EPOCH, "c", "p", "s", {})))


def test_a_detail_cannot_take_a_common_fields_place() -> None:
    """A detail with the name of a common field is not shown in its stead."""
    line = json.loads(render(event(actor="nobody", ts="never", event_id=None)))
    assert (line["actor"], line["ts"]) == ({"pid": 42}, "2026-01-01T00:00:00.000000Z")


secret = st.builds(Secret, st.just(TEXT))
nested = st.recursive(
    st.one_of(secret, st.integers(), st.text(), st.frozensets(secret)),
    lambda inner: st.one_of(
        st.lists(inner),
        st.dictionaries(st.text(), inner),
        st.dictionaries(st.text(), inner).map(MappingProxyType),
        st.tuples(inner, secret),
    ),
    max_leaves=8,
)


@given(details=st.dictionaries(st.sampled_from(["reason", "error", "x"]), st.tuples(secret, nested), min_size=1))
def test_a_secret_is_masked_wherever_it_stands(details: dict[str, Any]) -> None:
    """A Secret anywhere in the details, however deep, is `***` in the line, and its text is not in it."""
    line = render(event(**details))
    assert TEXT.encode() not in line
    assert b'"***"' in line


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (Document({"access_token": TEXT}), "<Document>"),
        (TEXT.encode(), "<bytes>"),
        (ValueError(TEXT), "<ValueError>"),
        (StoreDenied("table t", hint="allow"), "table t (allow)"),
        (Path("/var/x"), "/var/x"),
        (EPOCH, "2026-01-01T00:00:00.000000Z"),
        ({"b", "a"}, ["a", "b"]),
        (MappingProxyType({"a": 1}), {"a": 1}),
    ],
)
def test_what_json_does_not_know_is_shown_by_its_type(value: object, form: object) -> None:
    """Known types have a form of their own; of any other the name is shown and nothing of its content."""
    assert shown(value) == form


def test_structlogs_global_configuration_changes_no_line() -> None:
    """A program that configures structlog in its own way sees the same audit lines."""
    sample = event(attempt=1)
    before = render(sample)
    structlog.configure(processors=[lambda *_: "something else"], logger_factory=structlog.PrintLoggerFactory())
    try:
        assert render(sample) == before
    finally:
        structlog.reset_defaults()
    assert not structlog.is_configured()


def test_the_trail_itself_does_without_structlog() -> None:
    """Importing the trail and the events loads no structlog; only the sinks need it."""
    code = "import sys, rotator.audit.trail; print('structlog' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, timeout=60) == "False\n"


# ---------------------------------------------------------------------------------------------------- the stream


class Counting(io.StringIO):
    flushed = ""

    def flush(self) -> None:
        self.flushed = self.getvalue()


def test_a_stream_gets_each_event_at_once() -> None:
    """A stream has the whole line, flushed, when `record` returns."""
    stream = Counting()
    StreamSink(stream).record(event(attempt=1))
    assert json.loads(stream.flushed)["attempt"] == 1
    assert stream.flushed.endswith("}\n")


def test_a_closed_stream_says_so() -> None:
    """A stream that was closed is AuditUnavailable with what to do."""
    stream = io.StringIO()
    stream.close()
    with pytest.raises(AuditUnavailable, match="ValueError") as caught:
        StreamSink(stream).record(event())
    assert "file" in caught.value.hint


def test_a_stream_that_nobody_reads_says_so() -> None:
    """A pipe whose reader is gone is AuditUnavailable."""
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    with pytest.raises(AuditUnavailable, match="BrokenPipe"):
        StreamSink(stream).record(event())
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_threads_that_share_a_stream_leave_whole_lines() -> None:
    """Events that many threads write at once come out one per line."""
    stream = io.StringIO()
    sink = StreamSink(stream)
    threads = [threading.Thread(target=lambda: [sink.record(event()) for _ in range(25)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len([json.loads(line) for line in stream.getvalue().splitlines()]) == 100


def test_instants_are_shown_in_utc_whatever_their_zone() -> None:
    """An instant with another offset comes out as the same moment in UTC."""
    moment = datetime(2026, 6, 1, 23, 30, 0, 5, tzinfo=timezone(timedelta(hours=-5)))
    assert json.loads(render(event(retry_at=moment)))["retry_at"] == "2026-06-02T04:30:00.000005Z"
    assert moment == datetime(2026, 6, 2, 4, 30, 0, 5, tzinfo=UTC)
