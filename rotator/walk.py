"""Walks through the refreshes of a fleet under its budgets, as the daemon would make them. Pure: seconds in and out.

A budget is a gate that lets one start through every so many seconds: a provider's rate limit for one client, or the
writes that a store takes. A refresh passes the gate of its provider and client and that of its store in one moment.
From time to time all that waits is sorted by deadline and walked through backwards, which moves starts to the earlier
side where a gate demands it (`rotator.schedule.latest_starts`, for two gates at once); then starts are made, earliest
deadline first, what had ended before in the starts that are left, and each credential comes back after its period.

Where one gate alone binds, the first start of every credential is late only if no order of starts could keep all
deadlines. Later rounds are a good guess: each hangs on the starts of the one before. What is called in time is so:
the walk is itself a schedule that keeps to the gates.
"""

from __future__ import annotations

import math
import sys
from collections import deque
from dataclasses import dataclass, field
from heapq import heappop, heappush
from operator import attrgetter
from typing import TYPE_CHECKING

from rotator.courses import LATE_S, Burst, Course, Gate, Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PASS_SHARE = 0.25
"""How much of the shortest margin lies between two backward walks: so much later than it should a start may be moved to
the earlier side, for what came back in between was not seen."""

LEAST_MARGIN = 0.02
"""Of a lifetime: for shorter margins the backward walks do not come more often."""

STEPS = 3_000_000
"""How many steps the backward walks may take together, where that would be more: some seconds' worth. A hundred
thousand credentials are seen twice an hour then, which is more often than tokens of an hour come back."""

PASS_STEPS = 20
"""What a backward walk costs beside its credentials, in steps."""

MOST_STARTS = 3_000_000
"""How many starts are walked through; a hundred thousand credentials with tokens of an hour make fewer in a day."""

MORE_STARTS = 100_000
"""How many more than falls due they may be: those that are moved to the earlier side come back sooner."""


@dataclass(slots=True, eq=False)
class Walk:
    """The walk through streams that have gates in common."""

    streams: Sequence[Stream]
    gates: Sequence[Gate]
    bucket_s: float
    most: int
    now: float = 0.0
    until: float = 0.0
    made: int = 0
    repeating: bool = True
    _coming: list[tuple[float, float, int, Stream | Gate]] = field(default_factory=list)

    def go(self, horizon_s: float, pass_s: float) -> float:
        """Walk until the horizon, then until every credential has started once; return how far all were followed."""
        while self.now < horizon_s and self.made < self.most:
            self.until = min(horizon_s, self.now + pass_s)
            self._look_back(self._waiting())
            self._start()
        walked_s = min(self.now, horizon_s)
        self.repeating, self.until, self.most = False, math.inf, sys.maxsize
        self._look_back([one for one in self._waiting() if not one.starts])
        for stream in self.streams:
            stream.idle = deque(one for one in stream.idle if not one.starts)
        self._start()
        return walked_s

    def _waiting(self) -> list[Course]:
        waiting = [one for stream in self.streams for one in stream.drain()]
        waiting.sort(key=attrgetter("end"))
        return waiting

    def _look_back(self, waiting: list[Course]) -> None:
        """Give everything that waits the latest start with which all behind it are in time."""
        for gate in self.gates:
            gate.latest = math.inf
        for one in reversed(waiting):
            target = one.due
            store, lane = one.store, one.lane
            if store is not None:
                target = min(target, store.latest)
                store.latest = target - store.interval_s
            if lane is not None:
                target = min(target, lane.latest)
                lane.latest = target - lane.interval_s
            one.target = target
        if len(self.streams) == 1:
            self.streams[0].queue = waiting
        else:
            for one in waiting:
                if one.stream is not None:
                    one.stream.queue.append(one)
        self._note(waiting)

    def _note(self, waiting: Sequence[Course]) -> None:
        """Note of each gate where it is narrowest at the beginning, and when it is too narrow for the first time."""
        if self.now == 0:
            for gate, burst in _tightest(waiting, self.gates, 0.0).items():
                gate.tightest = burst
            return
        # What piles up at one gate only looks like too much for the other one behind it.
        stores = {stream.store for stream in self.streams}
        lost = {gate in stores for gate in self.gates if gate.late or gate.is_narrow()}
        behind = [
            gate
            for gate in self.gates
            if gate.behind(self.now) and not (gate.late or gate.is_narrow() or (gate not in stores) in lost)
        ]
        if behind:
            for gate, burst in _tightest(waiting, behind, self.now).items():
                if gate.too_narrow(burst):
                    gate.trouble = burst

    def _start(self) -> None:
        """Make the starts before `until`, and set the clock to it; or stop at the most that are to be made."""
        self._coming.clear()
        for gate in self.gates:
            gate.waiting.clear()
            gate.waking = False
        for stream in self.streams:
            self._expect(stream)
        while self._coming and self._coming[0][0] < self.until:
            if self.made >= self.most:
                return
            self.now, _, _, what = heappop(self._coming)
            if isinstance(what, Stream):
                if self._lets_through(what):
                    self._run(what)
                continue
            woken = self._woken(what)
            if woken is not None:
                self._run(woken)
            self._wake(what)
        self.now = self.until

    def _expect(self, stream: Stream) -> None:
        at = max(stream.ready_at(), stream.opens_at(), self.now)
        if at < math.inf:
            heappush(self._coming, (at, stream.deadline(at), stream.number, stream))

    def _lets_through(self, stream: Stream) -> bool:
        """Return whether a stream may start one now; else it comes again when its lane opens, or waits at its store."""
        store = stream.store
        if stream.opens_at() > self.now:
            self._expect(stream)
            return False
        if store is None or (store.free <= self.now and not store.waiting):
            return True
        heappush(store.waiting, (stream.deadline(self.now), stream.number, stream))
        if not store.waking:
            self._wake(store)
        return False

    def _woken(self, store: Gate) -> Stream | None:
        """Return, of the streams that wait at a store, the one with the earliest deadline whose lane is open."""
        while store.waiting:
            stream = heappop(store.waiting)[2]
            if stream.opens_at() <= self.now:
                return stream
            self._expect(stream)
        return None

    def _wake(self, store: Gate) -> None:
        store.waking = bool(store.waiting)
        if store.waiting:
            heappush(self._coming, (max(store.free, self.now), -math.inf, store.number, store))

    def _run(self, stream: Stream) -> None:
        """Make a stream's start, and those behind it before which nobody else comes: that spares the heap."""
        coming, store = self._coming, stream.store
        while True:
            one = stream.take(self.now)
            if one is not None:
                self._begin(one, stream)
            at = max(stream.ready_at(), stream.opens_at(), self.now)
            if store is not None:
                if store.waiting:
                    break
                at = max(at, store.free)
            if at >= self.until or self.made >= self.most or (coming and coming[0][0] <= at):
                break
            self.now = at
        self._expect(stream)

    def _begin(self, one: Course, stream: Stream) -> None:
        now, lane, store = self.now, one.lane, one.store
        self.made += 1
        if now > one.end + LATE_S and one.late_at is None and not one.ended:
            _blame(one, now)
        if lane is not None:
            lane.free = now + lane.interval_s
        if store is not None:
            store.free = now + store.interval_s
        one.ended = False
        one.starts += 1
        one.tally.add(now, self.bucket_s)
        if self.repeating and one.life < math.inf:
            one.due, one.end, one.floor = now + one.period, now + one.life, now + one.rest
            at = max(one.due, one.floor)
            if at < self.until:
                heappush(stream.fresh, (at, one.end, one.number, one))
            else:
                stream.later.append(one)


def _blame(one: Course, now: float) -> None:
    """Note which gate let a credential through too late; none where its own pause is longer than its life."""
    one.late_at = now
    if one.floor > one.end:
        return
    gates = [gate for gate in (one.lane, one.store) if gate is not None]
    narrow = [gate for gate in gates if gate.is_narrow() or one.end < gate.opens_s]
    busy = [gate for gate in narrow or gates if gate.free >= now - LATE_S]
    for gate in (busy or narrow or gates)[:1]:
        one.late_by = gate
        gate.late += 1
        gate.shut_out += one.end < gate.opens_s


def _tightest(waiting: Iterable[Course], gates: Iterable[Gate], now: float) -> dict[Gate, Burst]:
    """Return of each gate where the starts before a deadline have to be the closest; what ends meanwhile counts."""
    asked = set(gates)
    before = dict.fromkeys(asked, 0)
    gone = dict.fromkeys(asked, 0)
    found: dict[Gate, Burst] = {}
    for one in waiting:
        for gate in (one.lane, one.store):
            if gate is None or gate not in asked:
                continue
            places = before[gate]
            before[gate] = places + 1
            left_s = one.end - max(now, gate.free)
            if left_s <= 0:
                gone[gate] += 1
            elif places and (gate not in found or left_s / places <= found[gate].needed_s):
                found[gate] = Burst(places + 1 - gone[gate], now, one.end - now, left_s / places)
    return found


def _unhurried(one: Course, horizon_s: float, bucket_s: float) -> None:
    """Count the starts of a credential that no gate holds up."""
    at = max(one.due, one.floor, 0.0)
    one.starts = 1
    one.tally.add(at, bucket_s)
    if at > one.end + LATE_S and not one.ended:
        one.late_at = at
    if one.life == math.inf or at >= horizon_s:
        return
    step = max(one.period, one.rest)
    if step > one.life + LATE_S and one.late_at is None and at + step < horizon_s:
        one.late_at = at + step
    more = math.ceil((horizon_s - at) / step) - 1
    one.starts += more
    one.tally.starts += more
    buckets = one.tally.buckets
    first, last = int(at / bucket_s), len(buckets) - 1
    if more <= last - first:
        for count in range(1, more + 1):
            buckets[min(int((at + count * step) / bucket_s), last)] += 1
        return
    done = 0
    for bucket in range(first, last + 1):
        so_far = more if bucket == last else max(0, math.ceil(((bucket + 1) * bucket_s - at) / step) - 1)
        buckets[bucket] += so_far - done
        done = so_far


def _parts(streams: Iterable[Stream]) -> list[tuple[list[Stream], list[Gate]]]:
    """Sort streams into those that have gates in common, however many others lie between."""
    towards: dict[Gate, Gate] = {}

    def end_of(gate: Gate) -> Gate:
        while towards[gate] is not gate:
            towards[gate] = gate = towards[towards[gate]]
        return gate

    streams = list(streams)
    for stream in streams:
        gates = stream.gates()
        for gate in gates:
            towards.setdefault(gate, gate)
        towards[end_of(gates[0])] = end_of(gates[-1])
    parts: dict[Gate, tuple[list[Stream], list[Gate]]] = {}
    for stream in streams:
        parts.setdefault(end_of(stream.gates()[0]), ([], []))[0].append(stream)
    for gate in towards:
        parts[end_of(gate)][1].append(gate)
    return list(parts.values())


def _streams(courses: Iterable[Course]) -> list[Stream]:
    """Put those on one stream that pass the same gates."""
    streams: dict[tuple[Gate | None, Gate | None], Stream] = {}
    for one in courses:
        stream = streams.get((one.lane, one.store))
        if stream is None:
            stream = streams[one.lane, one.store] = Stream(len(streams), one.lane, one.store)
        one.stream = stream
        (stream.idle if one.ended or one.end == math.inf else stream.later).append(one)
    return list(streams.values())


def _let_loose(courses: Sequence[Course]) -> None:
    """Take the gates away that only one credential passes, whose period is longer: to rest as long is the same."""
    alone: dict[Gate, Course | None] = {}
    for one in courses:
        if one.lane is not None:
            alone[one.lane] = None if one.lane in alone else one
    for gate, single in alone.items():
        if single is not None and gate.opens_s <= 0 and gate.interval_s <= single.period:
            single.lane, single.rest = None, max(single.rest, gate.interval_s)


def walk(courses: Sequence[Course], *, horizon_s: float, bucket_s: float) -> float:
    """Walk through the refreshes of courses until the horizon, at least the first of each.

    Returns:
        Until when all were followed, in seconds from now: less than the horizon where they are too many.
    """
    _let_loose(courses)
    held = []
    for one in courses:
        if one.lane is None and one.store is None:
            _unhurried(one, horizon_s, bucket_s)
        else:
            held.append(one)
    parts = _parts(_streams(held))
    expected = sum(horizon_s / one.period for one in held if one.life < math.inf)
    share = min(1.0, MOST_STARTS / expected) if expected else 1.0
    least_s = horizon_s * (len(held) + PASS_STEPS * len(parts)) / STEPS
    walked_s = horizon_s
    for members, gates in parts:
        theirs = [one for stream in members for one in (*stream.later, *stream.idle)]
        for stream in members:
            stream.idle = deque(sorted(stream.idle, key=attrgetter("floor", "number")))
        again = [one for one in theirs if one.life < math.inf]
        most = len(theirs) + share * sum(horizon_s / one.period for one in again) + (MORE_STARTS if share == 1 else 0)
        margin_s = min((max(one.life - one.period, LEAST_MARGIN * one.life) for one in again), default=math.inf)
        part = Walk(members, gates, bucket_s, math.ceil(most))
        walked_s = min(walked_s, part.go(horizon_s, max(least_s, PASS_SHARE * margin_s)))
    return walked_s
