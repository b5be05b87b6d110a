"""What `status` shows of many credentials, in which order, and how it sums them up. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, get_args

from rotator.outcomes import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rotator.status import Row

STATES: tuple[State, ...] = get_args(State)

WORST_FIRST: tuple[State, ...] = ("latched", "unusable", "in_doubt", "cooling_down", "due", "fresh")

NAMED = 3
"""How many of those that need a person the summary names."""

_UNKNOWN = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which credentials are shown.

    Args:
        states: Of these only; all if empty.
        providers: Likewise.
        problems: Only those with which something is wrong.
    """

    states: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    problems: bool = False

    @property
    def all(self) -> bool:
        """Whether nothing is left out."""
        return not (self.states or self.providers or self.problems)

    def of(self, rows: Iterable[Row], now: datetime) -> list[Row]:
        """Return those that are shown, in the order in which they came."""
        return [
            row
            for row in rows
            if (not self.states or row.state in self.states)
            and (not self.providers or row.provider in self.providers)
            and (not self.problems or is_wrong(row, now))
        ]


def is_wrong(row: Row, now: datetime) -> bool:
    """Return whether something is wrong: whatever is neither fresh nor due, or has an access token that has ended."""
    ended = row.expires_at is not None and row.expires_at <= now
    return ended or row.state not in {"fresh", "due"}


def worst_first(rows: Iterable[Row]) -> list[Row]:
    """Return those first that need a person, then by state, then by whose access token ends first.

    An end that nobody knows counts as the soonest: it may be over.
    """
    rank = {state: number for number, state in enumerate(WORST_FIRST)}
    return sorted(rows, key=lambda row: (not row.needs_person, rank[row.state], row.expires_at or _UNKNOWN, row.name))


def summary(rows: Sequence[Row], shown: int) -> list[str]:
    """Return what is said below the table: how many are in each state, and who needs a person.

    Args:
        rows: All that were looked at.
        shown: How many of them stand in the table.
    """
    count = len(rows)
    states = Counter(row.state for row in rows)
    each = ", ".join(f"{states[state]:,} {state.replace('_', ' ')}" for state in reversed(WORST_FIRST) if states[state])
    total = "1 credential" if count == 1 else f"{count:,} credentials"
    lines = [f"{total}: {each}" if each else "no credentials"]
    if shown < count:
        lines[0] += f" ({shown:,} shown)"
    needy = [row.name for row in worst_first(rows) if row.needs_person]
    if needy:
        more = f" and {len(needy) - NAMED:,} more" if len(needy) > NAMED else ""
        verb = "needs" if len(needy) == 1 else "need"
        see = "" if shown < count else "; see: rotator status --problems"
        lines.append(f"{len(needy):,} {verb} a person: {', '.join(needy[:NAMED])}{more}{see}")
    return lines
