"""What a forecast means in words: what cannot be kept, and what would have to change."""

from __future__ import annotations

import math
from datetime import UTC
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from rotator.forecast import BudgetUse, Forecast, Row

SHOWN = 3
"""How many names a sentence lists."""


def advice(found: Forecast) -> Iterator[str]:
    """Yield a sentence for each thing that would have to change, and for what is close to it."""
    for use in (*found.lanes.values(), *found.stores.values()):
        yield from of_budget(use, found.begins_at)
    for row in found.rows:
        yield from of_row(row)


def of_row(row: Row) -> Iterator[str]:
    """Yield what has to be said of a provider and client that no budget is to blame for."""
    if row.resting:
        yield (
            f"{row.provider}|{row.client_id or ''}: {_tokens(row.resting)} {_verb(row.resting)} before the next "
            "refresh may be made: after a failure, or because earliest_refresh is longer than the token's life"
        )


def of_budget(use: BudgetUse, now: datetime | None) -> Iterator[str]:
    """Yield what has to be said of a budget, the tightest moment by its distance from now; nothing when all is well."""
    unit, limit = ("requests", "rate_limit") if use.kind == "provider" else ("rotations", "write_quota")
    if use.shut_out and use.opens_at:
        yield (
            f"{use.label}: {_tokens(use.shut_out)} {_verb(use.shut_out)} before {_text(use.opens_at)}, when the pause "
            "that the provider asked for is over"
        )
    if not use.interval_s:
        return
    lets = f"{limit} lets {rate(1 / use.interval_s, unit)} through"
    larger = f"{limit} {times(use.times_larger)} as large"
    late, pressure = use.late - use.shut_out, use.pressure
    if late and pressure:
        begin = "" if now is None or pressure.begins_at <= now else f" from {_text(pressure.begins_at)} on"
        yield (
            f"{use.label}: {_tokens(pressure.count)} {_verb(pressure.count)} within {span(pressure.within_s)}{begin}, "
            f"and {lets}: {late:,} {'of them ' if late <= pressure.count else ''}{_verb(late)} first; "
            f"needs {rate(1 / pressure.needed_s, unit, up=True)}, a {larger}"
        )
    elif late and not use.overloaded:
        yield f"{use.label}: {_tokens(late)} {_verb(late)} before their refresh: {lets}; needs a larger {limit}"
    many = f"its {use.credentials:,} credentials need" if use.credentials > 1 else "its credential needs"
    if use.overloaded:
        yield (
            f"{use.label}: {many} {rate(use.needs_per_s, unit, up=True)} in the long run, and {lets}; "
            f"needs a {larger}, or tokens that live {times(use.load)} as long"
        )
    elif use.tight:
        yield (
            f"{use.label}: {many} {rate(use.wants_per_s, unit, up=True)} to be refreshed when due, and {lets}: "
            f"refreshes come later, with less time left for a second try; a larger {limit} or a shorter "
            "refresh_before_expiry mends it"
        )


def names(all_: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    listed = ", ".join(all_[:SHOWN])
    return f"{listed} and {len(all_) - SHOWN:,} more" if len(all_) > SHOWN else listed


def rate(per_s: float, unit: str, *, up: bool = False) -> str:
    """Return a rate for people: `8 requests a second`; `up` rounds up, for what is needed at least."""
    lengths = ((1.0, "a second"), (60.0, "a minute"), (3600.0, "an hour"), (86_400.0, "a day"))
    length_s, each = next((pair for pair in lengths if per_s * pair[0] >= 1), lengths[-1])
    count = _rounded(per_s * length_s, up=up)
    return f"{count} {unit.removesuffix('s') if count == '1' else unit} {each}"


def times(factor: float) -> str:
    """Return `1.3 times` or `12 times`, rounded up: with a bit less it would not do."""
    return f"{_rounded(factor, up=True)} times"


def span(seconds: float) -> str:
    """Return `45s`, `12m`, `3h` or `2d`."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s" if seconds >= 1 else f"{seconds:.1g}s"


def _rounded(value: float, *, up: bool) -> str:
    steps = 1 if value >= 10 else 10 if value >= 1 else 100  # noqa: PLR2004 - two digits are enough for people
    count = math.ceil(value * steps - 1e-9) if up else round(value * steps)
    return f"{count / steps:,g}" if steps > 1 else f"{count:,}"


def _tokens(count: int) -> str:
    return "1 token" if count == 1 else f"{count:,} tokens"


def _verb(count: int) -> str:
    return "ends" if count == 1 else "end"


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
