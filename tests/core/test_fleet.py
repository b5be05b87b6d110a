"""What the daemon remembers of its credentials."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rotator import outcomes
from rotator.budget import Budget
from rotator.cooldowns import Cooldowns
from rotator.errors import StoreUnavailable
from rotator.fleet import PERSON_S, URGENT_S, Fleet
from rotator.limits import Pace, RateLimit
from rotator.looks import Sight, Unseen
from rotator.retrying import Retrier
from rotator.testing.memory import MemoryStateStore, SeededRandomness, VirtualClock
from tests.core.parts import at
from tests.rotation.world import credential, provider

if TYPE_CHECKING:
    from datetime import datetime

    from rotator.model import Credential

LANE = "provider/p|c"
LIMITED = provider(rate_limit=RateLimit(1, 8.0))  # a slot each ten seconds


def fleet(quotas: dict[str, tuple[str, Pace]] | None = None) -> Fleet:
    clock = VirtualClock()
    state, retrier = MemoryStateStore(), Retrier(clock, SeededRandomness())
    return Fleet(clock, Budget(state, retrier, clock, Cooldowns(state, retrier)), 60.0, quotas or {})


def one(name: str) -> Credential:
    return credential(name, provider=LIMITED)


def sight(of: Credential, due_s: float, *, ends_s: float | None = None, newest: str = "") -> Sight:
    ends = at(ends_s if ends_s is not None else due_s + 300)
    return Sight(of, "1", LANE, ends, at(due_s), at(due_s), newest or of.name.encode().hex().ljust(32, "0"), b"")


def pass_time(made: Fleet, seconds: float) -> None:
    clock = made.clock
    assert isinstance(clock, VirtualClock)
    clock.advance(seconds)


def names(made: Fleet) -> list[str]:
    return [job.credential.name for job in made.jobs()]


def test_refreshes_of_one_budget_start_early_enough_for_each_other() -> None:
    """Three that fall due together come up one interval apart, the last one when it falls due."""
    made = fleet()
    for seen in made.change([one("a"), one("b"), one("c")]):
        made.place(sight(seen, 100))
    assert made.next_at() == at(80)
    pass_time(made, 80)
    assert names(made) == ["a"]
    pass_time(made, 20)
    assert sorted(names(made)) == ["b", "c"]


def test_a_shard_plans_with_its_part_of_a_budget() -> None:
    """Of three shards each starts three times as early: the others send between its requests."""
    made = fleet()
    made.parts = 3
    for seen in made.change([one("a"), one("b")]):
        made.place(sight(seen, 100))
    assert made.next_at() == at(70)


def test_a_stores_write_quota_moves_starts_as_a_providers_limit_does() -> None:
    """Without any limit of the provider, two that fall due together come up a slot of the store apart."""
    made = fleet({"main": ("writes/x", Pace(30.0, 1.0))})
    for seen in made.change([credential("a"), credential("b")]):
        made.place(replace(sight(seen, 100), lane="provider/other|c"))
    assert made.next_at() == at(70)


def test_one_that_could_not_be_read_is_told_by_a_job_and_takes_part_in_its_budget_after_that() -> None:
    """A store that is away at the start costs no deadline later: the job's look says lane and end."""
    made = fleet()
    a, b = made.change([one("a"), one("b")])
    made.place(sight(b, 100))
    made.place(Unseen(a, StoreUnavailable("no answer")))
    [job] = made.jobs()
    job.key, job.version = LANE, "1"
    made.done(job, outcomes.Fresh("a", at(100), at(400)))
    assert made.next_at() == at(90)
    assert made.watched["a"].deadline == at(400)


def test_until_all_were_looked_at_only_what_ends_soon_is_rotated() -> None:
    """Before that nobody knows which of them share a grant; a token that would end meanwhile is not waited with."""
    made = fleet()
    soon, later, unread = made.change([one("soon"), one("later"), one("unread")])
    made.place(sight(soon, 0, ends_s=URGENT_S - 1))
    made.place(sight(later, 0, ends_s=URGENT_S + 100))
    assert names(made) == ["soon"]
    assert names(made) == []
    made.place(sight(unread, 5000))
    assert names(made) == ["later"]


def test_one_that_waits_for_the_first_look_becomes_urgent_with_time() -> None:
    """A store that hangs at the start does not cost the tokens of the others."""
    made = fleet()
    later, _ = made.change([one("later"), one("unread")])
    made.place(sight(later, 0, ends_s=URGENT_S + 100))
    assert names(made) == []
    next_at = made.next_at()
    assert next_at is not None
    assert next_at <= at(10)
    pass_time(made, 101)
    assert names(made) == ["later"]


def test_two_that_show_one_token_know_of_each_other() -> None:
    """The job of each is told the other's name."""
    made = fleet()
    for seen in made.change([one("a"), one("b")]):
        made.place(sight(seen, 0, newest="ab" * 16))
    assert {job.credential.name: job.shared_with for job in made.jobs()} == {"a": "b", "b": "a"}


def test_one_that_moved_to_another_name_is_not_taken_for_shared() -> None:
    """A credential that is dropped leaves its token to the one that is found in its place."""
    made = fleet()
    [a] = made.change([one("a")])
    made.place(sight(a, 0, newest="ab" * 16))
    [b] = made.change([one("b")])
    made.place(sight(b, 0, newest="ab" * 16))
    assert [job.shared_with for job in made.jobs()] == [None]


def test_what_is_configured_as_before_keeps_its_place() -> None:
    """A change of the fleet has only what is new or different looked at; what is gone is planned no more."""
    made = fleet()
    for seen in made.change([one("same"), one("other"), one("gone")]):
        made.place(sight(seen, 100, ends_s=1000))
    different = replace(one("other"), scope="x")
    new = made.change([replace(one("same"), client_secret=lambda: None), different, one("new")])
    assert [credential.name for credential in new] == ["other", "new"]
    pass_time(made, 200)
    assert names(made) == []  # two have not been looked at
    for seen in new:
        made.place(sight(seen, 150))
    assert sorted(names(made)) == ["new", "other", "same"]


def test_a_sight_of_what_has_changed_meanwhile_is_ignored() -> None:
    """A look that began before a reload tells nothing about the new configuration, nor one amid a job."""
    made = fleet()
    [before] = made.change([one("a")])
    [after] = made.change([replace(one("a"), scope="x")])
    made.place(sight(before, 0))
    assert made.unseen == 0
    assert names(made) == []
    made.place(sight(after, 0))
    [job] = made.jobs()
    made.place(sight(after, 0))
    assert names(made) == []
    made.done(job, outcomes.Failed("a", "unusable", "x", "y"))
    assert made.next_at() == at(PERSON_S)


@pytest.mark.parametrize("retry_at", [None, at(45)])
def test_what_is_put_off_is_looked_at_again(retry_at: datetime | None) -> None:
    """When the outcome says, or after the usual pause."""
    made = fleet()
    [a] = made.change([one("a")])
    made.place(sight(a, 0, ends_s=1000))
    [job] = made.jobs()
    made.done(job, outcomes.Deferred("a", "held", retry_at))
    assert made.next_at() == (retry_at or at(60))


def test_a_start_that_is_too_early_for_the_provider_leaves_the_others_their_turns() -> None:
    """A refresh that its budget wanted to start and that may not start yet is not asked for again at once."""
    made = fleet()
    for seen in made.change([one("a"), one("b")]):
        made.place(sight(seen, 100))
    pass_time(made, 90)
    [job] = made.jobs()
    assert job.start_at == at(90)
    made.done(job, outcomes.Fresh("a", at(95), at(400)))
    assert names(made) == []
    assert made.next_at() == at(95)


def test_a_job_that_was_given_up_is_planned_anew() -> None:
    """What was queued when the configuration changed is looked at by the next one's jobs."""
    made = fleet()
    [a] = made.change([one("a")])
    made.place(sight(a, 0))
    [job] = made.jobs()
    made.abandoned(job)
    assert names(made) == ["a"]
