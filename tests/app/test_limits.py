"""Providers and clocks that behave badly, and a fleet behind them: the real daemon in virtual time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from rotator import outcomes
from rotator.errors import StoreUnavailable
from rotator.slowdown import LONGEST_S
from rotator.testing.memory import VirtualClock
from tests.benchmarks.inside import virtual_daemon

if TYPE_CHECKING:
    from rotator.outcomes import Outcome
    from tests.app.stage import Stage

NAMES = tuple(f"c{number:02}" for number in range(12))
HOUR_S = 3600.0


class JumpingClock(VirtualClock):
    """A clock that somebody sets; the monotonic one goes on."""

    def jump(self, by_s: float) -> None:
        self._start += timedelta(seconds=by_s)


def lived(stage: Stage, seconds: float, **times: Any) -> list[Outcome]:
    """Let a daemon live for so long; `times` maps `after_<seconds>` to what happens then."""
    clock = stage.clock
    assert isinstance(clock, VirtualClock)
    told: list[Outcome] = []
    ends_s = clock.monotonic_s() + seconds
    due = sorted((clock.monotonic_s() + float(name.removeprefix("after_")), act) for name, act in times.items())

    def step() -> None:
        while due and clock.monotonic_s() >= due[0][0]:
            due.pop(0)[1]()
        if clock.monotonic_s() >= ends_s:
            daemon.stop()

    daemon = virtual_daemon(stage.app("daemon", clock=clock), clock, told.append, lambda *_, **__: None, step)
    daemon.run()
    return told


@pytest.fixture
def fleet(stage: Stage) -> Stage:
    """A dozen credentials whose tokens last an hour."""
    stage.ready(*NAMES)
    return stage


def expired(stage: Stage) -> set[str]:
    now_s = stage.clock.now().timestamp()
    return {name for name in NAMES if stage.document(name)["expires_at"] <= now_s}


def test_a_provider_that_says_too_many_to_everything_is_asked_ever_more_rarely(fleet: Stage) -> None:
    """Through ten hours of it the pauses are kept, nothing is spent, and at last it is asked once a minute at most."""
    fleet.face().fault("rate_limited", times=None, wait_s=1)
    lived(fleet, 10 * HOUR_S)
    before = fleet.face().report.requests
    lived(fleet, HOUR_S)
    report = fleet.face().report
    assert report.sent_too_early == 0
    assert report.refreshes == 0
    assert report.requests - before <= HOUR_S / LONGEST_S


def test_after_it_everything_recovers_by_itself(fleet: Stage) -> None:
    """A provider that comes back after three hours finds each credential refreshed, and nobody's token spent twice."""
    recovered: list[bool] = []
    fleet.face().fault("rate_limited", times=None, wait_s=30, when=lambda _: not recovered)
    lived(fleet, 4 * HOUR_S, after_10800=lambda: recovered.append(True))
    assert expired(fleet) == set()
    assert fleet.face().report.spent_twice == ()


def test_one_providers_trouble_delays_no_other(stage: Stage) -> None:
    """Beside a provider that says "too many" to everything, the other's tokens are kept."""
    stage.provider("well", face="dailypay")
    for number, name in enumerate(NAMES):
        face = "dailypay" if number % 2 else "auth0"
        stage.credential(name, provider="well" if number % 2 else "acme")
        stage.seed(name, face=face)
    stage.face("auth0").fault("rate_limited", times=None, wait_s=60)
    lived(stage, 3 * HOUR_S)
    assert expired(stage) == set(NAMES[::2])
    assert stage.face("dailypay").report.spent_twice == ()


def test_a_pause_of_a_year_is_kept_and_told(fleet: Stage) -> None:
    """A provider that asks to wait a year is not asked for a year; what waits says until when."""
    fleet.face().fault("rate_limited", times=1, wait_s=365 * 86_400)
    told = lived(fleet, 3 * HOUR_S)
    assert fleet.face().report.requests == 1
    pauses = [one.retry_at for one in told if isinstance(one, outcomes.Deferred) and one.reason == "rate_limited"]
    assert pauses
    assert all(at and (at - fleet.clock.now()).days >= 364 for at in pauses)


@pytest.mark.parametrize("by_s", [HOUR_S, -HOUR_S])
def test_a_clock_that_is_set_by_an_hour_costs_no_grant(fleet: Stage, by_s: float) -> None:
    """Whichever way, no token is spent twice, and after some hours all are fresh by the clock that counts."""
    clock = JumpingClock(fleet.clock.now())
    fleet.clock = clock
    fleet.provider("acme", rate_limit={"requests": 1, "per": "1s"})
    told = lived(fleet, 6 * HOUR_S, after_5000=lambda: clock.jump(by_s))
    assert fleet.face().report.spent_twice == ()
    assert fleet.face().report.reuse_detections == 0
    assert not [one for one in told if isinstance(one, outcomes.Failed)]
    assert expired(fleet) == set()


def test_a_store_that_throttles_costs_no_token(fleet: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every third call refused for a moment, all tokens are kept and none is spent twice."""
    from rotator.stores.local import LocalSecretStore

    calls = 0

    def throttled(real: Any) -> Any:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls % 3 == 0:
                raise StoreUnavailable("store main: slow down")
            return real(*arguments, **more)

        return call

    for verb in ("read", "compare_and_swap", "versions"):
        monkeypatch.setattr(LocalSecretStore, verb, throttled(getattr(LocalSecretStore, verb)))
    lived(fleet, 3 * HOUR_S)
    monkeypatch.undo()
    assert expired(fleet) == set()
    assert fleet.face().report.spent_twice == ()


def test_a_budget_of_nothing_is_a_mistake(stage: Stage) -> None:
    """No requests at all, or any number in no time, is refused with a hint before anything runs."""
    stage.ready("alpha")
    for limit in ({"requests": 0, "per": "1s"}, {"requests": 5, "per": "0s"}, {"requests": -1, "per": "1s"}):
        stage.provider("acme", rate_limit=limit)
        ended = stage.cli("check")
        assert ended.code == 2
        assert "rate_limit" in ended.err
