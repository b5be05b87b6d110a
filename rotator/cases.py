"""The open cases: which of them somebody is to be told of now, and what was told. Pure.

All processes share one record of them, changed by compare-and-swap (`rotator.case_ledger`), so that among replicas,
shards, runs and restarts one tells. A message counts as told when a notifier took it. Who is about to send it writes
that first, with an end: a process that dies in between is followed by another, whose message bears the same id.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from rotator.conditions import standing
from rotator.notices import KINDS, Kind, Phase
from rotator.stored_values import Instant, Tries, stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from rotator.conditions import Finding, Known

AGAIN_S = 86_400.0
"""A case that goes on is told again after a day."""

QUIET_S = 3600.0
"""Between two openings of one case: a state that comes and goes rings once an hour at most."""

LEASE_S = 120.0
"""How long others leave the telling to who began it; all of a round's deliveries are over long before."""

SEEN_S = 3600.0
FORGOTTEN_S = 2 * 86_400.0
"""Who sees the credential of an open case writes so once an hour. Whose credential nobody has seen for two days, past
the daily run of whoever has no daemon, is configured no more: its case is over."""

FIRST_PAUSE_S = 60.0
LONGEST_PAUSE_S = 3600.0
"""After a notifier failed, doubling: an hour's outage costs some seven tries, and a day's thirty."""

MOST_ASKED_S = 86_400.0
"""What a receiver may ask for with `Retry-After`: a case is a day's matter."""

MOST_CASES = 300
"""Of some 400 bytes each, far below the 400 KiB of DynamoDB's item and the 512 KiB of Vault's entry. More cases than
these are one, of the kind `more`: nobody reads a thousand messages."""

Key = tuple[str, Kind, str]


@stored
@dataclass(frozen=True, slots=True)
class Owed:
    """A notifier that has not taken a case's present message.

    Args:
        failures: How often it failed in a row.
        next_at: When it is tried again; None is now.
    """

    notifier: str
    failures: int = 0
    next_at: Instant | None = None


@stored
@dataclass(frozen=True, slots=True)
class Case:
    """A case and its present message.

    Args:
        since: When it was found.
        seen_at: When a process saw the credential last; written once an hour.
        phase: Of the present message.
        number: Of the present message.
        owed: Who has not taken it; nobody once it is told.
        begun: Somebody began to send it.
        opened: Somebody began to send that the case is open.
        told_at: When a notifier first took the newest message about the open case.
        rang_at: When its last opening was sent.
        telling_until: Until when others leave it to who sends it now.
    """

    id: str
    credential: str
    kind: Kind
    about: str
    provider: str
    store: str
    since: Instant
    seen_at: Instant
    phase: Phase = "opened"
    number: Tries = 1
    owed: tuple[Owed, ...] = ()
    begun: bool = False
    opened: bool = False
    told_at: Instant | None = None
    rang_at: Instant | None = None
    telling_until: Instant | None = None

    @property
    def key(self) -> Key:
        """What makes it this case and no other."""
        return self.credential, self.kind, self.about

    @property
    def message_id(self) -> str:
        """The id of the present message, the same however often and by whomever it is sent."""
        return f"{self.id}.{self.number}"

    def due(self, now: datetime) -> tuple[str, ...]:
        """Return the notifiers that are to be told now."""
        if self.telling_until is not None and self.telling_until > now:
            return ()
        return tuple(one.notifier for one in self.owed if one.next_at is None or one.next_at <= now)


@stored
@dataclass(frozen=True, slots=True)
class CaseBook:
    """All open cases, and those that ended so lately that they must not ring again."""

    cases: tuple[Case, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """What one process sees.

    Args:
        found: What is the case; where that is very much, the most urgent of it.
        known: By name, what is known of a credential; None for one that this process does not see.
        notifiers: Who is to be told of cases.
    """

    found: Sequence[tuple[Known, Finding]]
    known: Callable[[str], Known | None]
    notifiers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Telling:
    """A message that this process is to send now, and to whom."""

    case: Case
    notifiers: tuple[str, ...]
    finding: Finding | None = None
    known: Known | None = None


def review(
    book: CaseBook, view: View, now: datetime, new_id: Callable[[], str], *, most: int = MOST_CASES
) -> tuple[CaseBook, list[Telling]]:
    """Return the book as it is to be written, and what to send once that is done, most urgent first."""
    book = CaseBook(tuple(_by_this_clock(case, now) for case in book.cases))
    by_key = {_key(known, finding): (known, finding) for known, finding in (*view.found, *_going_on(book, view, now))}
    cases = {case.key: _seen(case, view, now) for case in book.cases}
    for key, case in list(cases.items()):
        followed = _opened(case, view, now) if key in by_key else _judged(case, view, now)
        if followed is None:
            del cases[key]
        else:
            cases[key] = followed
    beyond = 0
    for key, (known, _) in sorted(by_key.items(), key=lambda one: (KINDS.index(one[0][1]), one[0][0])):
        if key in cases:
            continue
        if len(cases) >= most - 1 and not _room(cases):
            beyond += 1
            continue
        cases[key] = _new(new_id(), key, known, view, now)
    _see_to_the_rest(cases, beyond, view, now, new_id, most)
    told: dict[Key, Case] = {}
    tellings: list[Telling] = []
    for key, case in sorted(cases.items(), key=lambda one: (KINDS.index(one[1].kind), one[1].since, one[0])):
        seen, finding = by_key.get(key, (view.known(case.credential), None))
        # Others tell of what they see; and what is open is told by who can say what it is.
        ours = finding is not None or case.kind == "more" or case.phase == "over"
        notifiers = tuple(name for name in case.due(now) if name in view.notifiers) if ours else ()
        told[key] = _begun(case, now) if notifiers else case
        if notifiers:
            tellings.append(Telling(told[key], notifiers, finding, seen))
    return CaseBook(tuple(told[case] for case in cases)), tellings


Results = dict[tuple[str, str], float | None]
"""By message id and notifier: None where it was taken, else the least pause in seconds that the notifier asked for."""


def settled(book: CaseBook, results: Results, now: datetime) -> CaseBook:
    """Return the book after messages were sent; what changed meanwhile stays as it is."""
    messages = {message for message, _ in results}
    return CaseBook(tuple(_settled(case, results, now) if case.message_id in messages else case for case in book.cases))


def pause_s(failures: int) -> float:
    """Return how long a notifier that failed so often in a row is left alone."""
    return float(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures - 1, 16)))


def _going_on(book: CaseBook, view: View, now: datetime) -> Iterator[tuple[Known, Finding]]:
    """Yield what is still the case, of what is in the book: among very many it may not have been told as found."""
    for case in book.cases:
        known = view.known(case.credential)
        finding = standing(known, now).get(case.kind) if known else None
        if known and finding and finding.about == case.about:
            yield known, finding


# ------------------------------------------------------------------------------------------------- one case


def _by_this_clock(case: Case, now: datetime) -> Case:
    """Return a case without instants that lie further ahead than anybody whose clock is right can have written.

    A process whose clock was a week ahead, and that is gone, must not keep everybody from telling for a week.
    """
    sane = replace(
        case,
        since=min(case.since, now),
        seen_at=min(case.seen_at, now),
        told_at=case.told_at and min(case.told_at, now),
        rang_at=case.rang_at and min(case.rang_at, now),
        telling_until=_within(case.telling_until, now, LEASE_S),
        owed=tuple(replace(one, next_at=_within(one.next_at, now, MOST_ASKED_S)) for one in case.owed),
    )
    return case if sane == case else sane


def _within(instant: datetime | None, now: datetime, most_s: float) -> datetime | None:
    return None if instant is not None and instant > now + timedelta(seconds=most_s) else instant


def _key(known: Known, finding: Finding) -> Key:
    return known.name, finding.kind, finding.about


def _new(identifier: str, key: Key, known: Known | None, view: View, now: datetime) -> Case:
    provider, store = (known.provider, known.store) if known else ("", "")
    return Case(identifier, *key, provider, store, since=now, seen_at=now, owed=_all(view))


def _seen(case: Case, view: View, now: datetime) -> Case:
    """Note that the credential is there, and forget notifiers that are configured no more."""
    if case.kind != "more" and view.known(case.credential) is None:
        return case
    owed = tuple(one for one in case.owed if one.notifier in view.notifiers)
    if case.owed and not owed and case.told_at is None and case.phase != "over":
        owed = _all(view)  # those who were to hear of it are gone, and nobody has
    if now - case.seen_at >= timedelta(seconds=SEEN_S):
        case = replace(case, seen_at=now)
    return case if owed == case.owed else replace(case, owed=owed)


def _opened(case: Case, view: View, now: datetime) -> Case:
    """Follow a case that goes on, or has come back."""
    if case.phase == "over":
        rings_at = max(now, case.rang_at + timedelta(seconds=QUIET_S)) if case.rang_at else now
        owed = tuple(Owed(name, next_at=rings_at) for name in view.notifiers)
        # Had nobody been told of its end, who knows of it still takes it for open.
        heard = case.opened and not case.begun
        return replace(
            case, phase="opened", number=case.number + 1, since=now, owed=owed, begun=False, opened=heard, told_at=None
        )
    if case.told_at is not None and now - case.told_at >= timedelta(seconds=AGAIN_S):
        failing = {one.notifier: one for one in case.owed}
        owed = tuple(failing.get(name, Owed(name)) for name in view.notifiers)
        return replace(case, phase="reminder", number=case.number + 1, owed=owed, begun=False, told_at=None)
    return case


def _judged(case: Case, view: View, now: datetime) -> Case | None:
    """Follow a case that is not found here: over, or none of this process's business; None when it is forgotten."""
    if case.phase == "over":
        quiet = case.rang_at is not None and now - case.rang_at < timedelta(seconds=QUIET_S)
        return case if case.owed or quiet else None
    if not _is_over(case, view, now):
        return case
    if not case.opened:
        return replace(case, phase="over", owed=(), begun=False) if case.rang_at else None  # nobody heard of it
    return replace(case, phase="over", number=case.number + 1, owed=_all(view), begun=False)


def _is_over(case: Case, view: View, now: datetime) -> bool:
    if case.kind == "more":
        return False  # seen to with the others
    known = view.known(case.credential)
    if known is None:
        return now - case.seen_at >= timedelta(seconds=FORGOTTEN_S)
    if case.kind == "escrow_waiting" and case.about != known.place:
        return False  # another process's escrow, which this one does not see
    return case.kind in (stands := standing(known, now)) and (
        stands[case.kind] is None or stands[case.kind].about != case.about  # type: ignore[union-attr]  # checked before
    )


def _begun(case: Case, now: datetime) -> Case:
    opening = case.phase == "opened" and not case.begun
    return replace(
        case,
        begun=True,
        opened=case.opened or case.phase != "over",
        rang_at=now if opening else case.rang_at,
        telling_until=now + timedelta(seconds=LEASE_S),
    )


def _settled(case: Case, results: Results, now: datetime) -> Case:
    owed: list[Owed] = []
    taken = False
    for one in case.owed:
        asked = (case.message_id, one.notifier)
        if asked not in results:
            owed.append(one)
        elif (least_s := results[asked]) is None:
            taken = True
        else:
            pause = timedelta(seconds=max(pause_s(one.failures + 1), min(least_s, MOST_ASKED_S)))
            owed.append(Owed(one.notifier, one.failures + 1, now + pause))
    told_at = now if taken and case.phase != "over" and case.told_at is None else case.told_at
    return replace(case, owed=tuple(owed), told_at=told_at, telling_until=None)


def _all(view: View) -> tuple[Owed, ...]:
    return tuple(map(Owed, view.notifiers))


# ------------------------------------------------------------------------------------------------- the others

_REST: Key = ("", "more", "")


def _room(cases: dict[Key, Case]) -> bool:
    """Make room by forgetting a case that is over and told; return whether there was one."""
    done = next((key for key, case in cases.items() if case.phase == "over" and not case.owed), None)
    if done is None:
        return False
    del cases[done]
    return True


def _see_to_the_rest(
    cases: dict[Key, Case], beyond: int, view: View, now: datetime, new_id: Callable[[], str], most: int
) -> None:
    """Open, follow or end the one case that stands for all that has no place of its own."""
    case = cases.get(_REST)
    if beyond and case is None:
        cases[_REST] = _new(new_id(), _REST, None, view, now)
    elif beyond and case is not None:
        cases[_REST] = _opened(case, view, now)
    elif case is not None and case.phase != "over" and len(cases) < most - 1:
        # Only where there is room: another process's cases may be those that found none.
        cases[_REST] = replace(case, phase="over", number=case.number + 1, owed=_all(view), begun=False)


def findings(known: Iterable[Known], now: datetime) -> Iterator[tuple[Known, Finding]]:
    """Yield all that is the case."""
    for one in known:
        stands: Mapping[Kind, Finding | None] = standing(one, now)
        for finding in stands.values():
            if finding is not None:
                yield one, finding
