"""Promise 1: no request leaves whose answer the end of the process would cut off; such a reply is a doubt."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from rotator import aws_events, outcomes
from rotator.rotation import GOOD_FOR_S
from rotator.stores.local import LocalSecretStore
from rotator.token_endpoint import HttpTokenEndpoint

if TYPE_CHECKING:
    import pytest

    from tests.app.stage import Stage

LEFT_S = 100.0
CONTEXT = SimpleNamespace(get_remaining_time_in_millis=lambda: LEFT_S * 1000)
"""A function of Lambda with so much of its time left."""


def two_providers(stage: Stage) -> None:
    """`alpha` at one that may take two minutes to answer, `beta` at a quick one; both due."""
    stage.provider("slow", timeout="120s")
    stage.ready("alpha", provider="slow")
    stage.ready("beta")
    stage.until_due()


def test_a_provider_is_not_asked_that_may_answer_after_the_functions_end(stage: Stage) -> None:
    """On Lambda a credential whose provider may take longer than what is left waits; those of quick ones do not."""
    two_providers(stage)
    app = stage.app()

    results = {one.name: one for one in aws_events._run(app, app.credentials, CONTEXT, 900.0)}

    assert results["alpha"] == outcomes.Deferred("alpha", "no_time_left", None)
    assert isinstance(results["beta"], outcomes.Rotated)
    assert stage.record("alpha").presented == ()


def test_a_slot_that_is_too_late_for_one_provider_is_not_waited_for(stage: Stage) -> None:
    """What its budget lets through only when it is too late is deferred to that moment at once."""
    stage.provider("acme", timeout="60s", rate_limit={"requests": 1, "per": "80s"})
    stage.ready("alpha", "beta")
    stage.until_due()
    app = stage.app()
    began = stage.clock.now()

    results = app.passes.run(app.credentials, horizon_s=900.0, answers_by=began + timedelta(seconds=LEFT_S))

    assert sorted(type(one).__name__ for one in results) == ["Deferred", "Rotated"]
    [late] = [one for one in results if isinstance(one, outcomes.Deferred)]
    assert late.retry_at
    assert late.retry_at > began + timedelta(seconds=LEFT_S - 60.0)
    assert stage.clock.now() < began + timedelta(seconds=10)


def test_a_slow_reading_does_not_carry_a_request_over_the_end(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job begins in time, its store takes 50 s to be read again, and then its request stays here."""
    stage.config["workers"] = 1
    stage.ready("alpha", "beta")
    stage.until_due()
    app = stage.app()
    sent: list[Any] = []
    send, read = HttpTokenEndpoint.refresh, LocalSecretStore.read

    def slow_send(self: Any, request: Any, **more: Any) -> Any:
        sent.append(stage.clock.now())
        answer = send(self, request, **more)
        stage.advance(GOOD_FOR_S + 1)
        return answer

    def slow_read(self: Any, secret: str) -> Any:
        if sent and secret == "beta":
            stage.advance(50.0)
        return read(self, secret)

    monkeypatch.setattr(HttpTokenEndpoint, "refresh", slow_send)
    monkeypatch.setattr(LocalSecretStore, "read", slow_read)
    until = stage.clock.now() + timedelta(seconds=GOOD_FOR_S + 10)

    results = app.passes.run(app.credentials, horizon_s=900.0, until=until)

    assert len(sent) == 1
    assert sent[0] <= until
    assert [one.reason for one in results if isinstance(one, outcomes.Deferred)] == ["no_time_left"]


def test_a_function_without_a_known_end_asks_everybody(stage: Stage) -> None:
    """Where nothing says when the process ends, nothing is held back."""
    two_providers(stage)
    app = stage.app()

    results = aws_events._run(app, app.credentials, None, 900.0)

    assert {type(one) for one in results} == {outcomes.Rotated}


def test_a_slow_second_look_at_the_pauses_does_not_carry_a_request_over_its_slot(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read is old, the provider's record is read again for six seconds, and the slot is over by then."""
    stage.ready()
    stage.until_due()
    app = stage.app()
    observed = app.observer.observe(app.credential("alpha"))
    stage.advance(GOOD_FOR_S + 1)
    real = type(app.state).read

    def slow(self: Any, key: str) -> Any:
        if key.startswith("provider/"):
            stage.advance(6.0)
        return real(self, key)

    monkeypatch.setattr(type(app.state), "read", slow)
    outcome = app.rotation.run(observed, leave_by=stage.clock.now() + timedelta(seconds=3))
    assert isinstance(outcome, outcomes.Deferred)
    assert outcome.reason == "slot_missed"
    assert stage.face().report.requests == 0
