"""What a process knows of its credentials, as the telling of cases needs it: of a board's lines, or of one pass."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from rotator import outcomes
from rotator.aftermath import slides
from rotator.board import GRANT
from rotator.cases import View, findings
from rotator.conditions import NOTICE_S, Known
from rotator.documents import stored_digest, stored_tokens
from rotator.model import Malformed
from rotator.observe import Observed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from rotator.board import Board, Line
    from rotator.errors import RotatorError
    from rotator.model import Credential
    from rotator.outcomes import Outcome

NOTICE = timedelta(seconds=NOTICE_S)

MOST_LINES = 1000
"""What is looked at closely: more than three times what has a place in the book. A store that is down is the case of
its whole fleet, and thinking about each of 100,000 would take seconds of every half minute."""

URGENCY: Final = {"latched": 0, "in_doubt": 1, "unusable": 2}


@dataclass(slots=True)
class Lookout:
    """Looks over a board, which tells nothing of how long a credential has been due. For one thread."""

    _due: dict[str, datetime] = field(default_factory=dict)

    def view(
        self, board: Board, waiting: Mapping[str, datetime], place: str, notifiers: tuple[str, ...], now: datetime
    ) -> View:
        """Return what is to be seen now.

        Args:
            waiting: By credential, since when something waits for it in escrow.
            place: Of an escrow that only this process sees.
        """
        worth = [line for line in board.lines() if not dull(line, now)]
        due = [line.credential.name for line in worth if line.state == "due"]
        self._due = {name: self._due.get(name, now) for name in due}
        if len(worth) > MOST_LINES:
            worth = heapq.nsmallest(MOST_LINES, worth, key=_urgency)

        def known(name: str) -> Known | None:
            line = board.line(name)
            return _of_line(line, waiting.get(name), place, self._due.get(name)) if line else None

        names = dict.fromkeys([*(line.credential.name for line in worth), *waiting])
        return View(list(findings(filter(None, map(known, names)), now)), known, notifiers)


def dull(line: Line, now: datetime) -> bool:
    """Return whether nothing can be the case: of 100,000 lines all but a few are gone through without more."""
    next_at, expires_at = line.next_at, line.expires_at
    if line.state != "fresh" or next_at is None:
        return line.state is None
    if expires_at is not None and not next_at < expires_at > now:
        return False
    if line.grant_ends_at is not None and line.grant_ends_at - now <= NOTICE:
        return False
    idle_s = line.credential.provider.refresh_token_idle_s
    return not idle_s or (line.issued_at is not None and next_at < line.issued_at + timedelta(seconds=idle_s))


def _urgency(line: Line) -> tuple[int, str]:
    return URGENCY.get(line.state or "", len(URGENCY)), line.credential.name


def _of_line(line: Line, waiting_since: datetime | None, place: str, due_since: datetime | None) -> Known:
    credential = line.credential
    return Known(
        credential.name,
        credential.provider.name,
        credential.store,
        line.state,
        expires_at=line.expires_at,
        next_at=line.next_at,
        due_since=due_since,
        grant=line.grant,
        grant_since=line.grant_since,
        grant_ends_at=line.grant_ends_at,
        issued_at=line.issued_at,
        idle_s=credential.provider.refresh_token_idle_s,
        waiting_since=waiting_since,
        place=place,
        reason=line.reason,
        action=line.action,
        login=credential.login_again,
    )


def view_of_pass(
    seen: Iterable[tuple[Credential, Observed | RotatorError]],
    results: Iterable[Outcome],
    waiting: Mapping[str, datetime],
    place: str,
    notifiers: tuple[str, ...],
    now: datetime,
) -> View:
    """Return what one pass has seen: what was read at its beginning, and what became of it."""
    became = {outcome.name: outcome for outcome in results}
    known = {
        credential.name: _of_pass(
            credential, observed, became[credential.name], waiting.get(credential.name), place, now
        )
        for credential, observed in seen
        if credential.name in became
    }
    return View(list(findings(known.values(), now)), known.get, notifiers)


def _of_pass(
    credential: Credential,
    observed: Observed | RotatorError,
    outcome: Outcome,
    waiting_since: datetime | None,
    place: str,
    now: datetime,
) -> Known:
    expires_at = issued_at = since = ends = None
    grant = ""
    if isinstance(observed, Observed):
        stored, record = observed.situation.stored, observed.situation.record
        tokens = stored_tokens(stored, credential.provider)
        if not isinstance(tokens, Malformed):
            expires_at, issued_at = tokens.expires_at, tokens.issued_at
        digest = stored_digest(stored, credential.provider)
        grant = digest[:GRANT]
        if record.grant is not None and record.grant.digest == digest:
            since, ends = record.grant.since, record.grant.expires_at
    next_at, reason, action = None, "", ""
    match outcome:
        case outcomes.Rotated():
            next_at, expires_at, issued_at = outcome.next_at, outcome.expires_at, now
            since = now if since is None or slides(ends, outcome.grant_ends_at) else since
            ends, grant = outcome.grant_ends_at, outcome.digest[:GRANT]
        case outcomes.Fresh():
            next_at, expires_at = outcome.until, outcome.expires_at
        case outcomes.Deferred():
            next_at, reason = (
                outcome.retry_at,
                f"{outcome.reason}: {outcome.error}" if outcome.error else outcome.reason,
            )
        case outcomes.Failed():
            next_at, reason, action = outcome.retry_at, outcome.error, outcome.action
    return Known(
        credential.name,
        credential.provider.name,
        credential.store,
        outcomes.state_of(outcome),
        expires_at=expires_at,
        next_at=next_at,
        grant=grant,
        grant_since=since,
        grant_ends_at=ends,
        issued_at=issued_at,
        idle_s=credential.provider.refresh_token_idle_s,
        waiting_since=waiting_since,
        place=place,
        reason=reason,
        action=action,
        login=credential.login_again,
    )
