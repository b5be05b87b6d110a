"""The schedule under a budget, against every schedule that there is for a few credentials."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise, permutations

from hypothesis import assume, given
from hypothesis import strategies as st

from rotator.agenda import Agenda
from rotator.documents import stored_tokens
from rotator.limits import RateLimit
from rotator.model import StoredTokens
from rotator.schedule import Planned, latest_starts, timing
from tests.core.parts import EPOCH_S, NOW, at, fields, stored
from tests.effort import tried
from tests.rotation.world import credential, provider

law = tried(200)
LIMIT = RateLimit(1, 8.0)
INTERVAL_S = LIMIT.interval_s  # ten seconds, slack included

jobs = st.lists(st.tuples(st.integers(0, 90), st.integers(0, 60)), min_size=1, max_size=5).map(
    lambda drawn: [Planned(f"c{n}", at(due), at(due + slack)) for n, (due, slack) in enumerate(drawn)]
)


def seconds(instant: datetime) -> float:
    return (instant - NOW).total_seconds()


def best_lateness(planned: list[Planned], interval_s: float) -> float:
    """Return how late the latest refresh is in the best of all orders, begun now; nothing of the schedule is used."""
    return min(
        max(place * interval_s - seconds(one.deadline) for place, one in enumerate(order))
        for order in permutations(planned)
    )


@law
@given(jobs)
def test_starts_are_as_late_as_the_deadlines_order_allows(planned: list[Planned]) -> None:
    """Earlier deadlines start first, and each start is its due time or exactly one interval before the next start."""
    starts = latest_starts(planned, INTERVAL_S)
    ordered = sorted(planned, key=lambda one: (one.deadline, one.name))
    assert list(starts) == [one.name for one in reversed(ordered)]
    assert set(starts) == {one.name for one in planned}
    for one, following in pairwise(ordered):
        before_it = starts[following.name] - timedelta(seconds=INTERVAL_S)
        assert starts[one.name] == min(one.due_at, before_it)
    assert starts[ordered[-1].name] == ordered[-1].due_at


@law
@given(jobs, st.floats(0, 60))
def test_more_budget_never_starts_earlier(planned: list[Planned], less_s: float) -> None:
    """Where requests may follow more closely, no start moves to the earlier side."""
    tight, loose = latest_starts(planned, INTERVAL_S + less_s), latest_starts(planned, INTERVAL_S)
    assert all(tight[name] <= loose[name] for name in loose)


@law
@given(jobs, st.tuples(st.integers(0, 90), st.integers(0, 60)))
def test_one_credential_more_never_starts_the_others_later(planned: list[Planned], more: tuple[int, int]) -> None:
    """A newcomer takes room from those before it, and gives none."""
    newcomer = Planned("new", at(more[0]), at(sum(more)))
    before, after = latest_starts(planned, INTERVAL_S), latest_starts([*planned, newcomer], INTERVAL_S)
    assert all(after[name] <= start for name, start in before.items())


@law
@given(jobs)
def test_if_any_schedule_keeps_all_deadlines_the_agenda_does(planned: list[Planned]) -> None:
    """Promise 9: what the agenda brings up, sent no faster than the budget, is late for nobody where it need not be."""
    assume(best_lateness(planned, INTERVAL_S) <= 0)
    agenda, free_at, sent = Agenda(), NOW, {}
    deadline_of = {one.name: one.deadline for one in planned}
    for one in planned:
        agenda.plan(one.name, one.due_at, planned=one, budgets={"l": INTERVAL_S})
    now: datetime | None = NOW
    while now is not None:
        for name, *_ in agenda.take_due(now):
            free_at = max(free_at, now)
            sent[name] = free_at
            free_at += timedelta(seconds=INTERVAL_S)
        upcoming = agenda.next_at()
        now = None if upcoming is None else max(upcoming, now)
    assert set(sent) == set(deadline_of)
    assert {name: when for name, when in sent.items() if when > deadline_of[name]} == {}


@dataclass
class Lane:
    """One budget lived through: what the agenda brings up is sent by earliest deadline, one interval apart.

    Args:
        closed: From when until when the provider asks to wait, which nobody knows before.
        failing: Whose first request comes to nothing and is repeated.
        slow_s: How much longer than the interval its request takes.
    """

    planned: list[Planned]
    closed: tuple[float, float] = (0.0, 0.0)
    failing: str = ""
    slow_s: float = 0.0
    sent_s: dict[str, float] = field(default_factory=dict)
    resumed_s: float | None = None
    left: list[Planned] = field(default_factory=list)

    def live(self) -> None:
        """Send all; note who was left, and from when on the lane was free, when the trouble was over."""
        agenda, queue, free_s, now_s = Agenda(), list[tuple[datetime, str]](), 0.0, 0.0
        deadlines = {one.name: one.deadline for one in self.planned}
        for one in self.planned:
            agenda.plan(one.name, one.due_at, planned=one, budgets={"l": INTERVAL_S})
        failed = False
        while len(self.sent_s) < len(self.planned):
            queue += [(deadlines[name], name) for name, *_ in agenda.take_due(at(now_s))]
            queue.sort()
            begin_s, end_s = self.closed
            if queue and now_s >= free_s and not begin_s <= now_s < end_s:
                if self.resumed_s is None and now_s >= end_s > 0:
                    self._resume(now_s)
                _, name = queue.pop(0)
                free_s = now_s + INTERVAL_S
                if name == self.failing and not failed:
                    failed, free_s = True, free_s + self.slow_s
                    queue.append((deadlines[name], name))
                    self._resume(free_s)
                else:
                    self.sent_s[name] = now_s
            upcoming = agenda.next_at()
            waits = [seconds(upcoming)] if upcoming else []
            waits += [max(free_s, end_s if begin_s <= max(now_s, free_s) < end_s else 0.0)] if queue else []
            now_s = max(now_s, min(waits, default=now_s))

    def _resume(self, at_s: float) -> None:
        self.resumed_s = at_s
        self.left = [one for one in self.planned if one.name not in self.sent_s]

    def lateness(self) -> float:
        """Return how late the latest of those was that were left when the trouble was over."""
        return max(self.sent_s[one.name] - seconds(one.deadline) for one in self.left)

    def best(self) -> float:
        """Return the least lateness that any order of those that were left has, begun when the trouble was over."""
        assert self.resumed_s is not None
        return self.resumed_s + best_lateness(self.left, INTERVAL_S)


@law
@given(jobs, st.integers(0, 80), st.integers(1, 60))
def test_a_pause_is_followed_by_the_best_schedule_for_what_remains(
    planned: list[Planned], begin_s: int, length_s: int
) -> None:
    """After a cooldown that nobody foresaw, nobody is late who need not be, and no one later than need be."""
    lane = Lane(planned, closed=(begin_s, begin_s + length_s))
    lane.live()
    assume(lane.left)
    assert lane.lateness() <= max(0.0, lane.best()) + 1e-3


@law
@given(jobs, st.data(), st.integers(0, 40))
def test_a_failure_or_a_slow_answer_is_followed_by_the_best_schedule_for_what_remains(
    planned: list[Planned], data: st.DataObject, slow_s: int
) -> None:
    """A request that takes its slot, or several, and comes to nothing is repeated where it belongs."""
    lane = Lane(planned, failing=data.draw(st.sampled_from(planned)).name, slow_s=slow_s)
    lane.live()
    assert lane.lateness() <= max(0.0, lane.best()) + 1e-3


# ------------------------------------------------------------------------------------------------- one credential


@law
@given(
    lifetime_s=st.integers(1, 200_000),
    horizon_s=st.just(0.0) | st.floats(0, 90_000),
    earliest_s=st.just(0.0) | st.floats(0, 90_000),
    start_s=st.integers(-300_000, 300_000),
)
def test_the_budget_only_moves_a_start_to_the_earlier_side(
    lifetime_s: int, horizon_s: float, earliest_s: float, start_s: int
) -> None:
    """A start that the budget demands makes nothing later, and never passes `earliest_refresh`; the end stays."""
    one = credential(provider=provider(earliest_refresh_s=earliest_s))
    tokens = stored_tokens(stored(fields(expires_at=EPOCH_S + lifetime_s)), one.provider)
    assert isinstance(tokens, StoredTokens)
    free = timing(one, tokens, horizon_s=horizon_s)
    bound = timing(one, tokens, horizon_s=horizon_s, start_at=at(start_s))
    assert free.due_at
    assert bound.due_at
    assert free.eligible_at
    assert bound.eligible_at
    assert bound.due_at <= free.due_at
    assert bound.eligible_at <= bound.due_at
    assert bound.eligible_at <= free.eligible_at
    assert min(bound.due_at, bound.eligible_at) >= at(earliest_s)
    assert max(bound.due_at, at(start_s)) <= max(free.due_at, at(start_s))
    assert (bound.expires_at, bound.last_try_at) == (free.expires_at, free.last_try_at)
    if at(start_s) >= free.due_at:
        assert bound == free
