"""The forecast: how many refreshes fall due when, against each budget, and which tokens cannot be kept fresh. Pure.

Feasible means that no token has to end before its refresh. Starts may be made at any time before the deadline, for a
budget moves them to the earlier side (`rotator.schedule.latest_starts`): a margin, however long or short, changes
nothing about that, and neither does the order. Within the horizon `rotator.walk` looks; in the long run what counts is
whether a budget lets as many starts through as tokens end.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from rotator.courses import Course, Gate, Tally
from rotator.walk import walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

DAY_S = 86_400.0

Kind = Literal["provider", "store"]

ENOUGH = 1 + 1e-9
"""A load of one fills a budget to the last start; beyond it is the rounding of a sum."""


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A credential's next refresh, and how it goes on from there.

    Args:
        lane: The key of its provider and client (`rotator.ledger.provider_key`).
        due_at: When it falls due; None is now.
        deadline: When its access token ends; None is unknown, and then no deadline can be missed.
        lifetime_s: How long the next access token lives; None is unknown, and then only one refresh is foreseen.
        period_s: From a refresh until the next one falls due: the lifetime without the margin.
        not_before: While it pauses.
        rest_s: From a refresh until the next one may be made at all (`earliest_refresh`).
    """

    name: str
    provider: str
    client_id: str | None
    lane: str
    store: str
    due_at: datetime | None
    deadline: datetime | None
    lifetime_s: float | None = None
    period_s: float | None = None
    not_before: datetime | None = None
    rest_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Pressure:
    """So many tokens end within so long from a moment on: one start every `needed_s` would keep them."""

    count: int
    begins_at: datetime
    within_s: float
    needed_s: float


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """What a budget has to let through.

    Args:
        kind: A provider's requests for one client, or a store's writes.
        label: For people: `acme|abc`, or the store's name.
        interval_s: The spacing of starts.
        needs_per_s: How many starts a second the lifetimes demand in the long run, each token used to its end.
        wants_per_s: The same with every refresh made when it falls due.
        late: How many tokens end before it lets their refresh through.
        shut_out: How many of them end before `opens_at`, the end of the provider's pause.
        pressure: Where starts have to be the closest, if they cannot be so close.
    """

    kind: Kind
    label: str
    interval_s: float
    credentials: int
    needs_per_s: float
    wants_per_s: float
    late: int = 0
    shut_out: int = 0
    opens_at: datetime | None = None
    pressure: Pressure | None = None

    @property
    def load(self) -> float:
        """The part of it that is needed in the long run; above one it cannot do."""
        return self.needs_per_s * self.interval_s

    @property
    def overloaded(self) -> bool:
        """Whether tokens end in the long run, whatever the order."""
        return self.load > ENOUGH

    @property
    def tight(self) -> bool:
        """Whether refreshes are made later than they fall due, in the long run, although no token ends."""
        return not self.overloaded and self.wants_per_s * self.interval_s > ENOUGH

    @property
    def feasible(self) -> bool:
        """Whether it keeps everything fresh."""
        return not (self.overloaded or self.late)

    @property
    def times_larger(self) -> float:
        """How many times as large it has to be; 1 where it is large enough or no size would help."""
        close = self.interval_s / self.pressure.needed_s if self.pressure else 1.0
        return max(1.0, close, self.load if self.overloaded else 1.0)


@dataclass(frozen=True, slots=True)
class Row:
    """What the forecast says of one provider and client.

    Args:
        refreshes: All until the forecast's end, and one of each credential whose first lies beyond it.
        late: Whose token ends before its refresh, the first to end first. Not those that had ended before.
        resting: How many of these rest for too long: no budget is to blame, but a pause or `earliest_refresh`.
        ended: How many had ended before: they are refreshed as soon as that costs no other its token.
        buckets: Refreshes by time, from `begins_at` to `ends_at`.
        lane: The key of its budget in `Forecast.lanes`.
        stores: The stores of its credentials.
    """

    provider: str
    client_id: str | None
    credentials: int
    refreshes: int
    feasible: bool
    late: tuple[str, ...]
    resting: int
    ended: int
    buckets: tuple[int, ...]
    lane: str
    stores: frozenset[str]


@dataclass(frozen=True, slots=True)
class Forecast:
    """All of it.

    Args:
        ends_at: Until when every refresh was foreseen: before the horizon where they are too many.
        complete: Whether that is the horizon.
        rows: By provider and client id.
        lanes: Of each provider and client with a limit; by its key.
        stores: Of each store with a limit; by its name.
    """

    begins_at: datetime
    ends_at: datetime
    complete: bool
    bucket_s: float
    rows: tuple[Row, ...]
    lanes: Mapping[str, BudgetUse]
    stores: Mapping[str, BudgetUse]

    @property
    def feasible(self) -> bool:
        """Whether everything can be kept fresh."""
        return all(row.feasible for row in self.rows)


def forecast(
    upcoming: Iterable[Upcoming],
    *,
    now: datetime,
    horizon_s: float = DAY_S,
    lanes: Mapping[str, float] | None = None,
    opens: Mapping[str, datetime] | None = None,
    stores: Mapping[str, float] | None = None,
    buckets: int = 96,
) -> Forecast:
    """Return what is to come.

    Args:
        lanes: The spacing of requests of each provider and client with a limit, in seconds (`Pace.interval_s`).
        opens: Until when a provider and client must be left alone, or its slots are taken.
        stores: The spacing of rotations that a store's writes allow, of each store with a limit.
    """
    ordered = sorted(upcoming, key=lambda one: one.name)
    gates = _Gates(now, lanes or {}, opens or {}, stores or {})
    bucket_s = horizon_s / buckets
    tallies: dict[tuple[str, str | None, str], Tally] = {}
    members: dict[tuple[str, str | None, str], list[tuple[Upcoming, Course]]] = {}
    courses = []
    for number, one in enumerate(ordered):
        key = (one.provider, one.client_id, one.lane)
        if key not in tallies:
            tallies[key], members[key] = Tally([0] * buckets), []
        courses.append(_course(one, number, tallies[key], gates, now))
        members[key].append((one, courses[-1]))
    walked_s = walk(courses, horizon_s=horizon_s, bucket_s=bucket_s)
    lane_uses = _uses("provider", gates.lanes, ordered, now)
    store_uses = _uses("store", gates.stores, ordered, now)
    rows = [_row(tally, members[key], now, lane_uses, store_uses) for key, tally in tallies.items()]
    return Forecast(
        begins_at=now,
        ends_at=now + timedelta(seconds=walked_s),
        complete=walked_s >= horizon_s,
        bucket_s=bucket_s,
        rows=tuple(sorted(rows, key=lambda row: (row.provider, row.client_id or ""))),
        lanes=lane_uses,
        stores=store_uses,
    )


@dataclass(slots=True)
class _Gates:
    """Makes a gate for each budget that is met."""

    now: datetime
    lane_intervals: Mapping[str, float]
    opens: Mapping[str, datetime]
    store_intervals: Mapping[str, float]
    lanes: dict[str, Gate] = field(default_factory=dict)
    stores: dict[str, Gate] = field(default_factory=dict)

    def lane(self, key: str) -> Gate | None:
        """Return the gate of a provider and client; a pause alone is a gate too."""
        interval_s = self.lane_intervals.get(key)
        opens_s = max(0.0, (self.opens[key] - self.now).total_seconds()) if key in self.opens else 0.0
        if interval_s is None and not opens_s:
            return None
        if key not in self.lanes:
            self.lanes[key] = self._made(interval_s or 0.0, opens_s)
        return self.lanes[key]

    def store(self, name: str) -> Gate | None:
        interval_s = self.store_intervals.get(name)
        if interval_s is None:
            return None
        if name not in self.stores:
            self.stores[name] = self._made(interval_s, 0.0)
        return self.stores[name]

    def _made(self, interval_s: float, opens_s: float) -> Gate:
        return Gate(-1 - len(self.lanes) - len(self.stores), interval_s, opens_s, free=opens_s)


def _course(one: Upcoming, number: int, tally: Tally, gates: _Gates, now: datetime) -> Course:
    def away_s(instant: datetime | None, unknown: float) -> float:
        return unknown if instant is None else (instant - now).total_seconds()

    end = away_s(one.deadline, math.inf)
    known = one.lifetime_s is not None and one.period_s is not None and one.lifetime_s > 0 and one.period_s > 0
    return Course(
        number,
        due=away_s(one.due_at, 0.0),
        end=end,
        life=one.lifetime_s if known and one.lifetime_s is not None else math.inf,
        period=one.period_s if known and one.period_s is not None else math.inf,
        floor=away_s(one.not_before, -math.inf),
        rest=one.rest_s,
        lane=gates.lane(one.lane),
        store=gates.store(one.store),
        tally=tally,
        ended=end <= 0,
    )


def _uses(kind: Kind, gates: Mapping[str, Gate], ordered: Sequence[Upcoming], now: datetime) -> dict[str, BudgetUse]:
    """Return what each gate had to let through, and has to in the long run."""
    count: Counter[str] = Counter()
    needs: dict[str, float] = dict.fromkeys(gates, 0.0)
    wants = dict(needs)
    labels: dict[str, dict[str, None]] = {key: {} for key in gates}
    for one in ordered:
        key = one.lane if kind == "provider" else one.store
        if key not in gates:
            continue
        count[key] += 1
        labels[key][f"{one.provider}|{one.client_id or ''}" if kind == "provider" else one.store] = None
        if one.lifetime_s and one.period_s:
            needs[key] += 1 / one.lifetime_s
            wants[key] += 1 / one.period_s
    return {
        key: BudgetUse(
            kind,
            ", ".join(labels[key]),
            gate.interval_s,
            count[key],
            needs[key],
            wants[key],
            gate.late,
            gate.shut_out,
            now + timedelta(seconds=gate.opens_s) if gate.opens_s else None,
            _pressure(gate, now),
        )
        for key, gate in gates.items()
    }


def _pressure(gate: Gate, now: datetime) -> Pressure | None:
    burst = gate.tightest if gate.too_narrow(gate.tightest) else gate.trouble
    if burst is None:
        return None
    return Pressure(burst.count, now + timedelta(seconds=burst.from_s), burst.within_s, burst.needed_s)


def _row(
    tally: Tally,
    members: Sequence[tuple[Upcoming, Course]],
    now: datetime,
    lanes: Mapping[str, BudgetUse],
    stores: Mapping[str, BudgetUse],
) -> Row:
    first = members[0][0]
    late = sorted((course.late_at, one.name) for one, course in members if course.late_at is not None)
    kept_in = frozenset(one.store for one, _ in members)
    budgets = [lanes.get(first.lane), *(stores.get(store) for store in kept_in)]
    return Row(
        provider=first.provider,
        client_id=first.client_id,
        credentials=len(members),
        refreshes=tally.starts,
        feasible=not late and not any(use.overloaded for use in budgets if use),
        late=tuple(name for _, name in late),
        resting=sum(course.late_at is not None and course.late_by is None for _, course in members),
        ended=sum(1 for one, _ in members if one.deadline is not None and one.deadline <= now),
        buckets=tuple(tally.buckets),
        lane=first.lane,
        stores=kept_in,
    )
