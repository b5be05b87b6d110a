"""How long a provider asks us to wait: Retry-After and its relatives. Pure.

Sources: RFC 9110 section 10.2.3 (Retry-After), RFC 6585 section 4 (429), draft-ietf-httpapi-ratelimit-headers
(RateLimit; Retry-After takes precedence, malformed fields are ignored), the vendors' pages for X-RateLimit-*.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from rotator.http_messages import values_of
from rotator.limits import RateLimit, Told

if TYPE_CHECKING:
    from rotator.http_messages import Headers

FLOOR_S = 1.0
"""A moment that is past already still means "not right now"."""

LONGEST_S = 365 * 86_400.0
"""Keeps instants within what a datetime holds, nothing more. A shorter bound was rejected: sending before the time
that a provider named is what rotator promises not to do, however long that time is."""

RESETS = (
    ("x-ratelimit-reset", "x-ratelimit-remaining"),  # Auth0, GitHub: epoch seconds
    ("x-rate-limit-reset", "x-rate-limit-remaining"),  # Okta: epoch seconds
    ("ratelimit-reset", "ratelimit-remaining"),  # the draft's early versions: seconds from now
)

DIGITS = 15
"""More of them are no count of requests."""

EPOCH_FROM = 1e9
"""A greater number is an instant and no duration: 10^9 s was in 2001, and would be a wait of 31 years."""

EPOCH_MS_FROM = 1e11
"""A greater number counts milliseconds: 10^11 s lie in the year 5138."""

_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")

# One member of a RateLimit list: a name (string or token), then parameters that are integers or strings.
_PARAMETER = r"""\s*;\s*[a-z*][a-z0-9_.*-]*(?:=(?:-?[0-9]{1,15}|"[^"\\]*"|:[A-Za-z0-9+/=]*:|[A-Za-z*][^\s;,"]*))?"""
_MEMBER = re.compile(rf"""\s*(?:"[^"\\]*"|[A-Za-z*][^\s;,"]*)(?P<parameters>(?:{_PARAMETER})*)\s*""")
_LEFT = re.compile(r";\s*r=([0-9]{1,15})(?![^\s;])")
_QUOTA = re.compile(r";\s*q=([0-9]{1,15})(?![^\s;])")
_WINDOW = re.compile(r";\s*w=([0-9]{1,15})(?![^\s;])")
_UNTIL = re.compile(r";\s*t=([0-9]{1,15})(?![^\s;])")


def retry_after_s(headers: Headers, now: datetime, *, limited: bool = False) -> float | None:
    """Return the seconds that the reply asks to wait, between 1 and a year; None when it asks for nothing.

    Instants are measured from the reply's own `Date` where it has one, so that a local clock that is ahead does not
    shorten the wait.

    Args:
        now: When the reply arrived; stands in for a missing `Date`.
        limited: The answer itself says "too many": a reset then counts although something seems to remain.
    """
    told_at = http_date(" ".join(values_of(headers, "date"))) or now
    for found in (_from_retry_after(headers, told_at), _from_resets(headers, told_at, limited=limited)):
        if found is not None:
            return _bounded(found)
    found = _from_ratelimit(headers, limited=limited)
    return None if found is None else _bounded(found)


def told(headers: Headers, now: datetime) -> Told | None:
    """Return what the reply says of the provider's limits; None when it says nothing that can be used.

    Of several limits the tightest counts: the fewest requests left, and the lowest rate. A limit of nothing at all, or
    per no time, is a mistake and no limit; what is left of it is told by `retry_after_s`.

    Args:
        now: When the reply arrived; stands in for a missing `Date`.
    """
    told_at = http_date(" ".join(values_of(headers, "date"))) or now
    left = [
        (int(remaining), _delay_or_epoch(float(value), told_at))
        for reset, name in RESETS
        for remaining in values_of(headers, name)
        for value in values_of(headers, reset)
        if remaining.isdecimal() and len(remaining) <= DIGITS and _SECONDS.fullmatch(value)
    ]
    members = _parameters(", ".join(values_of(headers, "ratelimit")))
    left += [(r, float(t)) for r, t in ((_number(_LEFT, one), _number(_UNTIL, one)) for one in members) if r and t]
    remaining, resets_in_s = min(((r, t) for r, t in left if 0 < t <= LONGEST_S), default=(None, None))
    policies = _parameters(", ".join(values_of(headers, "ratelimit-policy")))
    limits = [(_number(_QUOTA, one), _number(_WINDOW, one)) for one in policies]
    limit = min(
        (RateLimit(q, float(w)) for q, w in limits if q and w), key=lambda one: 1 / one.interval_s, default=None
    )
    return None if remaining is None and limit is None else Told(remaining, resets_in_s, limit)


def http_date(text: str) -> datetime | None:
    """Read an HTTP-date in any of its three forms (RFC 9110 section 5.6.7); None when it is none."""
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None  # the parser fails in as many ways on what a server may send


def _bounded(seconds: float) -> float:
    return max(FLOOR_S, min(seconds, LONGEST_S))


def _from_retry_after(headers: Headers, told_at: datetime) -> float | None:
    waits = (_delay_or_date(value, told_at) for value in values_of(headers, "retry-after"))
    return max((wait for wait in waits if wait is not None), default=None)


def _delay_or_date(value: str, told_at: datetime) -> float | None:
    if _SECONDS.fullmatch(value):
        return float(value)
    date = http_date(value)
    return None if date is None else (date - told_at).total_seconds()


def _from_resets(headers: Headers, told_at: datetime, *, limited: bool) -> float | None:
    waits = []
    for reset, remaining in RESETS:
        exhausted = limited or "0" in values_of(headers, remaining)
        waits += [
            _delay_or_epoch(float(value), told_at)
            for value in values_of(headers, reset)
            if exhausted and _SECONDS.fullmatch(value)
        ]
    return max(waits, default=None)


def _delay_or_epoch(number: float, told_at: datetime) -> float:
    if number > EPOCH_MS_FROM:
        number /= 1000
    return number - told_at.timestamp() if number > EPOCH_FROM else number


def _from_ratelimit(headers: Headers, *, limited: bool) -> float | None:
    members = _members(", ".join(values_of(headers, "ratelimit")))
    waits = [(wait, left) for wait, left in members if wait is not None]
    exhausted = [wait for wait, left in waits if left == 0]
    if exhausted:
        return max(exhausted)
    return max((wait for wait, _ in waits), default=None) if limited else None


def _members(field: str) -> list[tuple[float | None, int | None]]:
    """Return `t` and `r` of every member of a RateLimit field; of a malformed field none."""
    members = []
    for parameters in _parameters(field):
        until = _number(_UNTIL, parameters)
        members.append((None if until is None else float(until), _number(_LEFT, parameters)))
    return members


def _number(pattern: re.Pattern[str], parameters: str) -> int | None:
    found = pattern.search(parameters)
    return int(found[1]) if found else None


def _parameters(field: str) -> list[str]:
    """Return the parameters of every member of a list as one text each; of a malformed field none."""
    members = []
    position = 0
    while position < len(field):
        match = _MEMBER.match(field, position)
        if match is None or (match.end() < len(field) and field[match.end()] != ","):
            return []
        members.append(match["parameters"])
        position = match.end() + 1
    return members
