"""Traces of rotations: the tree of spans, what stands in them and what does not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from rotator.clocks import SystemIds, SystemRandom
from rotator.config.load import load_config
from rotator.errors import StoreRejected
from rotator.wiring import Surroundings, build
from tests.app.collectors import Memory
from tests.app.stage import CANARIES

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from rotator.wiring import App
    from tests.app.stage import Stage

STEPS = [
    "observe",
    "claim",
    "audit",
    "exchange",
    "escrow",
    "write back",
    "settle",
    "clear escrow",
    "audit",
]


@pytest.fixture
def memory(stage: Stage) -> Memory:
    return Memory(stage.clock)


def traced(stage: Stage, memory: Memory) -> App:
    env = {**os.environ, **stage.env}
    settings = load_config(stage.save(), env)
    surroundings = Surroundings(env, stage.clock, SystemIds(), SystemRandom(), traces=memory.traces)
    return build(settings, "once", surroundings)


def rotate(stage: Stage, memory: Memory) -> App:
    app = traced(stage, memory)
    app.passes.run(app.credentials, horizon_s=60)
    return app


def facts(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def error_of(span: ReadableSpan) -> str | None:
    assert span.status.is_ok or facts(span)["error.type"] == span.status.description
    return span.status.description if span.status.status_code is StatusCode.ERROR else None


def test_a_rotation_is_a_trace_of_its_steps(stage: Stage, memory: Memory) -> None:
    """In their order, below one root that says which rotation it is, as the audit trail does."""
    stage.ready()
    stage.until_due()
    rotate(stage, memory)
    [root] = memory.roots
    assert (root.name, memory.tree(root)) == ("rotate", STEPS)
    found = facts(root)
    holder = found.pop("rotator.holder")
    assert found == {
        "rotator.credential": "alpha",
        "rotator.provider": "acme",
        "rotator.store": "main",
        "rotator.rotation_id": stage.events[-1]["rotation_id"],
        "rotator.outcome": "rotated",
    }
    assert holder.endswith(stage.events[-1]["actor"]["instance"])
    assert [facts(one)["rotator.event"] for one in memory.below(root) if one.name == "audit"] == [
        "rotation.started",
        "rotation.succeeded",
    ]
    assert all(error_of(span) is None for span in memory.spans)
    assert len({span.context.trace_id for span in memory.spans}) == 1


def test_the_escrow_inside_the_state_is_one_write_of_the_record(stage: Stage, memory: Memory) -> None:
    """Below the step that it is part of."""
    stage.config["escrow"] = {"type": "state"}
    stage.ready()
    stage.until_due()
    rotate(stage, memory)
    [root] = memory.roots
    assert memory.tree(root) == [("escrow", ["write record"]) if one == "escrow" else one for one in STEPS]


def test_the_exchange_is_a_clients_request(stage: Stage, memory: Memory) -> None:
    """By OpenTelemetry's names for HTTP, without the query of the address, in which a key may stand."""
    address = stage.face().token_endpoint
    stage.provider("acme", token_endpoint=f"{address}?api_key=canary")
    stage.ready()
    stage.until_due()
    rotate(stage, memory)
    [exchange] = [span for span in memory.spans if span.name == "exchange"]
    host, _, port = address.removeprefix("http://").partition("/")[0].partition(":")
    assert exchange.kind is SpanKind.CLIENT
    assert facts(exchange) == {
        "http.request.method": "POST",
        "url.full": address,
        "server.address": host,
        "server.port": int(port),
        "rotator.answer": "refreshed",
    }


@pytest.mark.parametrize(
    ("fault", "answer", "reason", "outcome"),
    [
        ({"kind": "rate_limited", "wait_s": 90}, "rate_limited", "rate_limited", "deferred"),
        ({"kind": "drop_after_processing"}, "in_doubt", "in_doubt", "deferred"),
        (None, "rejected", "latched", "failed"),
    ],
)
def test_a_setback_is_an_error_by_its_kind(
    stage: Stage, memory: Memory, fault: dict[str, Any] | None, answer: str, reason: str, outcome: str
) -> None:
    """On the exchange and on the root; an error's text stands nowhere."""
    stage.ready()
    stage.until_due()
    if fault is None:
        stage.face().revoke(1)
    else:
        stage.face().fault(fault.pop("kind"), **fault)
    rotate(stage, memory)
    [root] = memory.roots
    [exchange] = [span for span in memory.spans if span.name == "exchange"]
    assert (error_of(exchange), error_of(root)) == (answer, reason)
    assert facts(root)["rotator.outcome"] == outcome
    assert not any(span.events for span in memory.spans)


def test_a_store_that_refuses_is_told_by_the_kind_of_its_error(stage: Stage, memory: Memory) -> None:
    """And by nothing of its text, which may name a secret."""
    stage.ready()
    stage.until_due()
    app = traced(stage, memory)
    store: Any = app.stores["main"].behind  # type: ignore[attr-defined]  # the tracer stands in front of it

    def refused(*_: object, **__: object) -> Any:
        raise StoreRejected("the secret payroll/private is too large")

    store.compare_and_swap = refused
    app.passes.run(app.credentials, horizon_s=60)
    [root] = memory.roots
    [write] = [span for span in memory.spans if span.name == "write back"]
    assert (error_of(write), error_of(root)) == ("store_rejected", "write_back")
    assert "payroll/private" not in memory.text()


def test_what_waits_in_escrow_is_brought_home_in_a_trace_of_its_own(stage: Stage, memory: Memory) -> None:
    """Under the rotation that it belongs to, and without an exchange."""
    test_a_store_that_refuses_is_told_by_the_kind_of_its_error(stage, memory)
    first = memory.roots[0]
    stage.advance(61)
    rotate(stage, memory)
    second = memory.roots[1]
    assert facts(second)["rotator.rotation_id"] == facts(first)["rotator.rotation_id"]
    steps = memory.tree(second)
    assert steps[:4] == ["observe", "claim", "audit", "write back"]
    assert "exchange" not in steps
    assert facts(second)["rotator.outcome"] == "rotated"


def test_a_pass_that_rotates_nothing_has_no_trace(stage: Stage, memory: Memory) -> None:
    """Looks would be most of what is sent."""
    stage.ready("alpha", "beta")
    rotate(stage, memory)
    assert memory.spans == []


def test_rotations_at_once_are_traces_apart(stage: Stage, memory: Memory) -> None:
    """Each span stands below its own rotation, whatever threads there are."""
    names = [f"c{number}" for number in range(6)]
    stage.ready(*names)
    stage.until_due(names[0])
    rotate(stage, memory)
    assert sorted(facts(root)["rotator.credential"] for root in memory.roots) == names
    assert all(memory.tree(root) == STEPS for root in memory.roots)


def test_no_token_is_in_any_span(stage: Stage, memory: Memory) -> None:
    """Whatever happens to the credentials."""
    stage.provider("acme", token_endpoint=f"{stage.face().token_endpoint}?api_key=canary")
    stage.ready("alpha", "beta", "gamma")
    documents = [stage.document(name) for name in ("alpha", "beta", "gamma")]
    stage.until_due()
    stage.face().fault("drop_after_processing")
    rotate(stage, memory)
    stage.advance(3600)
    stage.face().revoke(2)
    rotate(stage, memory)
    documents += [stage.document(name) for name in ("alpha", "beta", "gamma")]
    text = memory.text()
    assert "exchange" in text
    secrets = {one for document in documents for one in (document["access_token"], document["refresh_token"])}
    assert not [one for one in (*secrets, *CANARIES) if one in text]
