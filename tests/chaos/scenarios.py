"""What is done to a fleet: each scenario by name, and its blows drawn from a seed, the same for every program."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.chaos.proxy import Fate

Kind = Literal["kill", "pause", "outage", "person"]
"""`kill`: SIGKILL. `pause`: SIGSTOP, later SIGCONT. `outage`: nothing reaches a store. `person`: somebody looks after
one credential and logs in anew if that is asked for, or for no reason at all."""

STORE_CHANCES: Mapping[Fate, float] = {
    "delay": 0.08,
    "drip": 0.04,
    "cut_before": 0.03,
    "reset_before": 0.03,
    "cut_after": 0.02,
    "reset_after": 0.02,
    "truncate": 0.01,
}
PROVIDER_CHANCES: Mapping[Fate, float] = {
    "delay": 0.08,
    "drip": 0.08,
    "cut_before": 0.05,
    "reset_before": 0.05,
    "cut_after": 0.03,
    "reset_after": 0.03,
    "truncate": 0.03,
}
"""Stores are asked ten times as often."""

LOSSY: Mapping[Fate, float] = {
    "gateway_before": 0.10,
    "gateway_after": 0.04,
    "cut_after": 0.03,
    "reset_after": 0.03,
    "truncate": 0.03,
}

OUTAGE_S = (4.0, 8.0)
"""A store that fails over; longer than the usual three tries last."""

SHORT_PAUSE_S = (0.2, 4.0)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What may happen, and how often. Times are the mean seconds between two blows of a kind; None is never.

    Args:
        daemons: How many `run` there are at any time.
        once: Whether a loop of `once` runs beside them.
        refusals: Whether a provider refuses with 429 and 503 now and then.
    """

    name: str
    about: str
    daemons: int
    once: bool = False
    kill_every_s: float | None = None
    pause_every_s: float | None = None
    outage_every_s: float | None = None
    person_every_s: float | None = None
    provider: Mapping[Fate, float] = field(default_factory=dict)
    stores: Mapping[Fate, float] = field(default_factory=dict)
    refusals: bool = False


SCENARIOS = {
    one.name: one
    for one in (
        Scenario("two-replicas", "two daemons start together; nothing fails", daemons=2),
        Scenario("sigkill", "one daemon is killed again and again", daemons=1, kill_every_s=2.0),
        Scenario("store-outage", "one daemon; the store is gone for seconds", daemons=1, outage_every_s=10.0),
        Scenario(
            "lost-replies-and-5xx",
            "one daemon; the provider's gateway answers 502, before or after processing, or the reply is lost",
            daemons=1,
            provider=LOSSY,
        ),
        Scenario(
            "mixed",
            "three daemons and a loop of `once`; everything at once",
            daemons=3,
            once=True,
            kill_every_s=2.0,
            pause_every_s=1.0,
            outage_every_s=12.0,
            person_every_s=3.0,
            provider=PROVIDER_CHANCES,
            stores=STORE_CHANCES,
            refusals=True,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Step:
    """One blow.

    Args:
        at_s: From the beginning of the chaos.
        slot: Which process: the daemons are 0, 1 …, the loop of `once` comes after them.
        for_s: How long a pause or an outage lasts.
        drawn: Between 0 and 1, for what else has to be chosen.
    """

    at_s: float
    kind: Kind
    slot: int = 0
    for_s: float = 0.0
    drawn: float = 0.0


def weight(credentials: int) -> float:
    """Return by what a fleet's size stretches the time between blows: each restart reads every credential again."""
    return max(1.0, credentials / 60)


def plan(scenario: Scenario, seed: int, seconds: float, credentials: int, lease_s: float) -> list[Step]:
    """Return the blows in the order of their times. One pause outlasts the lease where there is time for it."""
    chance = random.Random(f"{scenario.name} {seed}")
    slots = scenario.daemons + scenario.once
    stretched = weight(credentials)
    steps: list[Step] = []

    def over_time(kind: Kind, every_s: float | None, lasts_s: tuple[float, float] = (0.0, 0.0)) -> None:
        at_s = chance.expovariate(1 / every_s) if every_s else seconds
        while every_s and at_s < seconds:
            steps.append(Step(at_s, kind, chance.randrange(slots), chance.uniform(*lasts_s), chance.random()))
            at_s += chance.expovariate(1 / every_s)

    over_time("kill", scenario.kill_every_s and scenario.kill_every_s * stretched)
    over_time("pause", scenario.pause_every_s and scenario.pause_every_s * stretched, SHORT_PAUSE_S)
    over_time("outage", scenario.outage_every_s, OUTAGE_S)
    over_time("person", scenario.person_every_s)
    if scenario.pause_every_s and seconds > 1.5 * lease_s:
        last_s = seconds - lease_s - 10.0
        steps.append(Step(chance.uniform(0.0, last_s), "pause", chance.randrange(scenario.daemons), lease_s + 5.0, 0.0))
    return sorted(steps, key=lambda step: step.at_s)
