"""The words of messages about cases and rotations. Pure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from rotator.notices import HEADLINES, KINDS, Notice, instant

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rotator.cases import Telling
    from rotator.model import Credential
    from rotator.outcomes import Rotated

MOST_NAMES = 50
"""Of a summary; the rest is counted."""


def notice_of(telling: Telling, now: datetime) -> Notice:
    """Return the message of a case."""
    case, finding, known = telling.case, telling.finding, telling.known
    headline, detail, action, deadline = HEADLINES[case.kind], "", "", None
    if case.phase == "over":
        headline = f"over: {headline}"
        detail = "it is configured no more, or nobody looks at it any more"
        if known is not None:
            detail = f"it is {known.state} now" if known.state else "it is no longer so"
    elif finding is not None:
        detail, action, deadline = finding.detail, finding.action, finding.deadline
    if case.kind == "more":
        detail = "there is room again for each of them" if case.phase == "over" else "more than are told one by one"
        action = "" if case.phase == "over" else "rotator status"
    if case.phase == "reminder":
        headline = f"still so: {headline}"
    return Notice(
        case.message_id,
        f"case.{case.phase}",
        now,
        headline,
        kind=case.kind,
        credential=case.credential,
        provider=case.provider,
        store=case.store,
        since=case.since,
        detail=detail,
        action=action,
        deadline=deadline,
    )


def summary_of(tellings: Sequence[Telling], now: datetime) -> Notice:
    """Return one message that stands for those of many cases."""
    ids = sorted(telling.case.message_id for telling in tellings)
    identifier = hashlib.blake2b("\n".join(ids).encode(), digest_size=16).hexdigest()
    lines = []
    for kind in KINDS:
        for phase, word in (("opened", ""), ("reminder", "still so: "), ("over", "over: ")):
            members = [one.case for one in tellings if (one.case.kind, one.case.phase) == (kind, phase)]
            if members:
                names = sorted(case.credential for case in members)
                lines.append(f"{word}{HEADLINES[kind]}: {len(members)} ({_listed(names, 10)})")
    everyone = sorted({telling.case.credential for telling in tellings} - {""})
    return Notice(
        identifier,
        "cases.summary",
        now,
        f"and {len(tellings)} more messages",
        detail="\n".join(lines),
        action="rotator status",
        names=tuple(everyone[:MOST_NAMES]),
    )


def rotated(identifier: str, credential: Credential, outcome: Rotated, now: datetime) -> Notice:
    """Return what readers are told after a rotation. No token and no digest of one is in it."""
    detail = f"version {outcome.version}, expires {instant(outcome.expires_at) or 'at an unknown time'}"
    return Notice(
        identifier,
        "rotated",
        now,
        "rotated",
        credential=credential.name,
        provider=credential.provider.name,
        store=credential.store,
        detail=detail,
        secret=credential.secret,
        version=outcome.version,
        expires_at=outcome.expires_at,
    )


def trial(identifier: str, now: datetime) -> Notice:
    """Return the message of `rotator notify`."""
    return Notice(identifier, "test", now, "a test message", detail="nothing is wrong: an operator tries this notifier")


def _listed(names: Sequence[str], most: int) -> str:
    more = f", … {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
