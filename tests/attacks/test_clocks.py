"""Clocks that are wrong by more than NTP's second, or that are set while a process works."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.attacks.parts import WrongClock, replica_with
from tests.rotation.world import World


@pytest.mark.parametrize("ahead_s", [0.0, 90.0])
def test_a_clock_that_is_ahead_does_not_present_a_token_that_is_under_way(ahead_s: float) -> None:
    """Promise 1: a one-shot run whose clock is 90 s ahead leaves a request alone that another replica has out."""
    world = World()
    world.until_due()
    token = world.document["refresh_token"]
    ahead = replica_with(world, WrongClock(world.clock, ahead_s=ahead_s))

    def while_the_answer_is_under_way(request: Any) -> Any:
        answer = world.provider._process(request)
        world.later(seconds=1)
        ahead.run(horizon_s=900.0)
        return answer

    world.provider.script.append(while_the_answer_is_under_way)
    world.replica().run()

    assert world.provider.presented[token] == 1
    assert world.provider.is_live(world.document["refresh_token"])


@pytest.mark.parametrize("back_s", [0.0, 1800.0])
def test_a_clock_that_is_set_back_does_not_let_a_request_leave_after_its_lease(back_s: float) -> None:
    """Promise 1: NTP sets the clock back between claim and slot; the claim is long taken over when the slot comes."""
    world = World()
    world.until_due()
    token = world.document["refresh_token"]
    clock = WrongClock(world.clock)
    late = replica_with(world, clock)
    other = world.replica()
    clock.during_sleep = other.run
    real = late.rotation.trail.record

    def audited(event: Any, *args: Any, **details: Any) -> None:
        real(event, *args, **details)
        if event == "rotation.started":
            clock.ahead_s = -back_s

    object.__setattr__(late.rotation, "trail", _Trail(audited, late.rotation.trail))
    now = world.clock.now()
    observed = late.observer.observe(late.credential)
    late.rotation.run(observed, leave_at=now + timedelta(seconds=1), leave_by=now + timedelta(seconds=4))

    assert world.provider.presented[token] <= 1, (
        "the other replica took the claim over as a dead holder's, by the rules"
    )
    assert world.provider.is_live(world.document["refresh_token"])


class _Trail:
    def __init__(self, record: Any, inner: Any) -> None:
        self.record = record
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)
