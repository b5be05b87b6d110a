"""What the daemon shows of its fleet, a line for each credential: written by its loop, read by other threads.

All of it stands in memory: whoever looks at a page or scrapes metrics every few seconds causes no call to any store.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rotator import outcomes
from rotator.aftermath import slides
from rotator.errors import slug

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from rotator.errors import RotatorError
    from rotator.looks import Sight
    from rotator.model import Credential
    from rotator.outcomes import Outcome, State

GRANT = 16
"""Hex digits of a digest that tell one refresh token from another."""

LIVE_S = 150.0
"""A loop that has not turned for so long hangs: it wakes every 37 s at the latest, also while it waits for others."""


@dataclass(frozen=True, slots=True)
class Line:
    """What is known of one credential.

    Args:
        state: As `status` has it; None before the first look.
        expires_at: Of the access token; None is unknown.
        next_at: Of the next refresh or look.
        grant_ends_at: Of the refresh token, where the provider says so.
        reason: What is wrong, in words; empty when nothing is.
        action: What a person is to do; empty when nothing.
        issued_at: Of the access token, as far as that is known.
        rotated_at: When rotator rotated it last.
        grant_since: When the refresh token's present life began, if that is known.
        grant: Tells the refresh token from others: the beginning of its digest, as of the moment of the rest.
    """

    credential: Credential
    state: State | None = None
    expires_at: datetime | None = None
    next_at: datetime | None = None
    grant_ends_at: datetime | None = None
    reason: str = ""
    action: str = ""
    issued_at: datetime | None = None
    rotated_at: datetime | None = None
    grant_since: datetime | None = None
    grant: str = ""

    def ready(self, now: datetime) -> bool | None:
        """Return whether readers have a token that works, and no person is needed; None before the first look."""
        if self.state is None:
            return None
        return not (self.action or self.state in {"latched", "unusable"}) and (
            self.expires_at is None or self.expires_at > now
        )


@dataclass(slots=True)
class Board:
    """Written by one thread. Whoever reads, in any thread, gets whole lines, of different moments perhaps.

    Args:
        lag: Called with how many seconds after the planned moment the work on a credential began.
        troubles: By store or rule, why it could not be listed the last time.
        starting: Whether some credential was not looked at yet.
        lanes: The names of providers by lane (`rotator.budget`).
    """

    lag: Callable[[float], None] = lambda _: None
    troubles: dict[str, str] = field(default_factory=dict)
    starting: bool = True
    lanes: dict[str, str] = field(default_factory=dict)
    _lines: dict[str, Line] = field(default_factory=dict)
    _turned_s: float | None = None

    def lines(self) -> list[Line]:
        """Return all lines, in no particular order."""
        return list(self._lines.values())  # in one step of the interpreter: the writer cannot come between

    def line(self, name: str) -> Line | None:
        """Return a credential's line."""
        return self._lines.get(name)

    # ------------------------------------------------------------------------------------------------- health

    def turned(self, now_s: float) -> None:
        """Note that the loop lives, by the monotonic clock."""
        self._turned_s = now_s

    def hangs(self, now_s: float) -> str | None:
        """Return why the process should be started anew; None when it lives."""
        still_s = now_s - self._turned_s if self._turned_s is not None else 0.0
        return f"the loop has not turned for {still_s:.0f} s" if still_s > LIVE_S else None

    def unready(self) -> list[str]:
        """Return what the process cannot do now, in words; empty when it does its work."""
        waits = ["not every credential was looked at yet"] if self.starting else []
        return waits + [f"{name}: {trouble}" for name, trouble in sorted(dict(self.troubles).items())]

    # ------------------------------------------------------------------------------------------------ writing

    def listed(self, name: str, error: RotatorError | None) -> None:
        """Note how the last listing of a store or rule went.

        One that is not allowed is no trouble of the moment, and keeps nothing from being refreshed: the log tells it.
        Only the kind of an error is shown: its text may name a secret, and whoever asks for health has no token.
        """
        if error is None or error.then == "give_up":
            self.troubles.pop(name, None)
        else:
            self.troubles[name] = slug(type(error)).replace("_", " ")

    def keep_listed(self, names: Iterable[str]) -> None:
        """Forget the troubles of all others: they are configured no more."""
        self.troubles = {name: self.troubles[name] for name in set(names) & set(self.troubles)}

    def watch(self, credential: Credential) -> bool:
        """Show a credential; one that is configured as before keeps its line. Return whether it is new."""
        known = self._lines.get(credential.name)
        if known is not None and known.credential == credential:
            return False
        self._lines[credential.name] = Line(credential)
        return True

    def forget(self, name: str) -> None:
        """Show a credential no longer."""
        self._lines.pop(name, None)

    def seen(self, sight: Sight) -> None:
        """Take over what a look found; what is due now is told more of by its job."""
        state: State = "fresh" if sight.look_at else "due"
        self._lines[sight.credential.name] = Line(
            sight.credential,
            state,
            sight.deadline,
            sight.look_at,
            sight.grant_ends_at,
            issued_at=sight.issued_at,
            rotated_at=sight.rotated_at,
            grant_since=sight.grant_since,
            grant=sight.newest[:GRANT],
        )

    def done(self, credential: Credential, outcome: Outcome, next_at: datetime | None, *, now: datetime) -> None:
        """Take over what became of a credential; what an outcome leaves open stays as it was known."""
        known = self._lines.get(credential.name) or Line(credential)
        state = outcomes.state_of(outcome)
        expires_at, grant_ends_at = known.expires_at, known.grant_ends_at
        issued_at, rotated_at, grant_since = known.issued_at, known.rotated_at, known.grant_since
        grant = known.grant
        reason = action = ""
        match outcome:
            case outcomes.Rotated():
                if grant_since is None or slides(grant_ends_at, outcome.grant_ends_at):
                    grant_since = now
                expires_at, grant_ends_at = outcome.expires_at, outcome.grant_ends_at
                issued_at = rotated_at = now
                grant = outcome.digest[:GRANT]
            case outcomes.Fresh():
                expires_at = outcome.expires_at
            case outcomes.Deferred():
                reason = f"{outcome.reason}: {outcome.error}" if outcome.error else outcome.reason
            case outcomes.Failed():
                reason, action = outcome.error, outcome.action
        self._lines[credential.name] = Line(
            credential,
            state,
            expires_at,
            next_at,
            grant_ends_at,
            reason,
            action,
            issued_at,
            rotated_at,
            grant_since,
            grant,
        )
