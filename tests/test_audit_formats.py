"""Audit events as CloudEvents and as OCSF: right by their schemas, whole, chained, and told as rotator's own are."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.audit.chain import verify
from rotator.audit.events import AuditEvent, EventName
from rotator.audit.formats import MAPPINGS, MEANING, plain
from rotator.audit.sinks import JsonlFileSink, render
from rotator.audit.story import told
from rotator.redact import Secret
from rotator.testing.memory import EPOCH

if TYPE_CHECKING:
    from rotator.audit.formats import Format

SCHEMAS = Path(__file__).parent / "schemas"
SCHEMA = {
    form: jsonschema.Draft7Validator(json.loads((SCHEMAS / f"{file}.json").read_text()))
    for form, file in {"cloudevents": "cloudevents-1.0", "ocsf": "ocsf-1.9.0-entity-management"}.items()
}
FORMS = cast("list[Format]", ["rotator", "cloudevents", "ocsf"])
EVENTS: list[Any] = list(EventName.__args__)  # type: ignore[attr-defined]
ACTOR = {"host": "host 1", "pid": 42, "mode": "daemon", "instance": "0123456789ab"}
DETAILS = {
    "attempt": 2,
    "refresh_token_digest": "ab" * 8,
    "version_before": "v1",
    "version_after": "v2",
    "expires_at": EPOCH + timedelta(hours=1),
    "duration_ms": 120,
    "reason": "rate_limited",
    "error": "too_many_requests",
    "retry_at": EPOCH + timedelta(seconds=30),
}


def event(name: Any = "rotation.deferred", rotation_id: str | None = "r1", **details: Any) -> AuditEvent:
    return AuditEvent(name, f"id-{name}", EPOCH, "payroll", "acme", "main", ACTOR, rotation_id, details)


def line(name: Any = "rotation.deferred", form: Format = "rotator", **details: Any) -> Any:
    return json.loads(render(event(name, **details), form))


def test_every_event_has_a_meaning_in_ocsf() -> None:
    """And what is none has none."""
    assert set(MEANING) == set(EVENTS)


@pytest.mark.parametrize("details", [{}, DETAILS], ids=["bare", "full"])
@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("form", MAPPINGS)
def test_an_event_is_right_by_its_schema(form: Format, name: str, details: dict[str, Any]) -> None:
    """With all details and with none."""
    SCHEMA[form].validate(line(name, form, **details))


@pytest.mark.parametrize(
    ("form", "wrong"),
    [
        ("cloudevents", {"specversion": "0.3"}),
        ("cloudevents", {"time": "yesterday"}),
        ("cloudevents", {"rotation_id": "r1"}),
        ("ocsf", {"time": 1.5}),
        ("ocsf", {"type_uid": 300402}),
        ("ocsf", {"chain": "x"}),
        ("ocsf", {"status": "Success"}),
    ],
)
def test_the_schemas_refuse_what_is_wrong(form: Format, wrong: dict[str, Any]) -> None:
    """The check above can fail."""
    with pytest.raises(jsonschema.ValidationError):
        SCHEMA[form].validate(line("rotation.deferred", form, **DETAILS) | wrong)


texts = st.text(max_size=20)


@given(
    name=st.sampled_from(EVENTS),
    details=st.fixed_dictionaries(
        {},
        optional={
            "attempt": st.integers(1, 3),
            "version_before": texts,
            "version_after": texts,
            "reason": texts,
            "error": texts,
            "duration_ms": st.integers(0, 10**6),
            "retry_at": st.just(EPOCH),
        },
    ),
    rotation_id=st.one_of(st.none(), texts),
)
def test_nothing_is_lost_on_the_way_there_and_back(name: str, details: dict[str, Any], rotation_id: str | None) -> None:
    """Each format comes back as the very fields of rotator's own line, and so is told in the same words."""
    audited = event(name, rotation_id, **details)
    own = json.loads(render(audited))
    for form in MAPPINGS:
        back = plain(json.loads(render(audited, form)))
        assert back == own
        assert told(back) == told(own)


def test_what_is_of_no_format_comes_back_as_it_is() -> None:
    """A file may hold anything, and showing it must not fail."""
    for odd in ({}, {"class_uid": 3004, "unmapped": 1}, {"specversion": "1.0"}, {"specversion": 1, "data": []}):
        assert plain(odd) == odd
    assert told(plain({"class_uid": 1, "unmapped": {}, "metadata": 7, "actor": [], "entity": None}))


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_masked_in_every_format(form: Format) -> None:
    """The others are made from the line in which it is masked already."""
    text = render(event(error=Secret("canary-token"), reason={"deep": [Secret("canary-token")]}), form)
    assert b"canary" not in text
    assert b"***" in text


@pytest.mark.parametrize("form", FORMS)
def test_a_file_is_chained_in_every_format(tmp_path: Path, form: Format) -> None:
    """Whole as written; a line that is changed, or taken out, is found. The schema still takes each line."""
    path = tmp_path / "audit.jsonl"
    sink = JsonlFileSink(path, form)
    for name in EVENTS:
        sink.record(event(name, **DETAILS))
    lines = path.read_bytes().splitlines(keepends=True)
    assert verify(lambda: lines).unbroken
    assert verify(lambda: lines).events == len(EVENTS)
    if form in SCHEMA:
        for one in lines:
            SCHEMA[form].validate(json.loads(one))
    changed = [lines[0], lines[1].replace(b"payroll", b"another"), *lines[2:]]
    assert verify(lambda: changed).findings == [(2, "was changed")]
    missing = [*lines[:2], *lines[3:]]
    assert [number for number, _ in verify(lambda: missing).findings] == [3]


def test_a_file_whose_format_is_changed_stays_one_chain(tmp_path: Path) -> None:
    """Whoever turns CloudEvents on for a file that is there loses nothing of what it proves."""
    path = tmp_path / "audit.jsonl"
    for form in (*FORMS, *FORMS):
        JsonlFileSink(path, form).record(event(**DETAILS))
    verdict = verify(lambda: path.read_bytes().splitlines(keepends=True))
    assert (verdict.unbroken, verdict.events) == (True, 6)
