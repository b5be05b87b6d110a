"""The state of credentials, for people and for `--json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from rotator import policy
from rotator.documents import stored_tokens
from rotator.errors import RotatorError
from rotator.model import Malformed
from rotator.schedule import timing

if TYPE_CHECKING:
    from datetime import datetime

    from rotator.model import Credential
    from rotator.observe import Observed
    from rotator.outcomes import State


@dataclass(frozen=True, slots=True)
class Row:
    """One credential's line of `status`.

    Args:
        next_refresh_at: When the next refresh or look is planned; None when nothing is.
        action: What a person is to do; empty when nothing.
    """

    name: str
    provider: str
    store: str
    state: State
    expires_at: datetime | None
    next_refresh_at: datetime | None
    last_rotated_at: datetime | None
    reason: str
    action: str

    @property
    def needs_person(self) -> bool:
        """Whether waiting alone will not mend it."""
        return self.state in {"latched", "unusable"} or (self.state == "in_doubt" and self.next_refresh_at is None)


def row(credential: Credential, observed: Observed | RotatorError) -> Row:
    """Return what is to be said of a credential."""
    names = (credential.name, credential.provider.name, credential.store)
    if isinstance(observed, RotatorError):
        state: State = "unusable" if observed.then == "give_up" else "cooling_down"
        return Row(*names, state, None, None, None, observed.message, observed.hint_for(credential.name))
    situation = observed.situation
    tokens = stored_tokens(situation.stored, credential.provider)
    last = situation.record.last
    expires_at = None if isinstance(tokens, Malformed) else tokens.expires_at
    due_at = None if isinstance(tokens, Malformed) else timing(credential, tokens).due_at
    decision = policy.decide(situation)
    state, next_at, action = _shown(decision, due_at, situation.now)
    return Row(*names, state, expires_at, next_at, last.at if last else None, _reason(decision), action)


def _reason(decision: policy.Decision) -> str:
    """Return what is wrong in words: the reason of a pause is a slug, and what the provider said stands beside it."""
    if isinstance(decision, policy.CoolingDown) and decision.error:
        return f"{decision.reason}: {decision.error}"
    return decision.reason


def _shown(decision: policy.Decision, due_at: datetime | None, now: datetime) -> tuple[State, datetime | None, str]:
    match decision:
        case policy.Fresh():
            return "fresh", due_at, ""
        case policy.Due() | policy.Recover() | policy.Stale():
            return "due", now, ""
        case policy.Held(until=until):
            return "due", until, ""
        case policy.InDoubt(until=until, action=action):
            return "in_doubt", until, action
        case policy.Latched(action=action):
            return "latched", None, action
        case policy.CoolingDown(until=until, action=action, person=person):
            return ("unusable" if person else "cooling_down"), until, action
        case policy.Unusable(action=action):
            return "unusable", None, action
        case _:
            assert_never(decision)
