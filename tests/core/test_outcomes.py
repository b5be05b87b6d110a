"""Every decision and every failure becomes an outcome."""

from __future__ import annotations

from typing import Any

import pytest

from rotator import errors, outcomes, policy
from rotator.documents import stored_tokens
from rotator.errors import ConfigError, Problem, RotatorError
from rotator.model import StoredTokens
from rotator.records import SealedEntry
from tests.core.parts import NOW, at, claim_of, stored, token_set
from tests.rotation.world import provider

WAITING = policy.Waiting(SealedEntry("i", "p", "tokens", "r", "c", NOW, "s"), token_set(), NOW)


def tokens() -> StoredTokens:
    found = stored_tokens(stored(), provider())
    assert isinstance(found, StoredTokens)
    return found


@pytest.mark.parametrize(
    ("decision", "outcome"),
    [
        (policy.Fresh(at(9), "x"), outcomes.Fresh("c", at(9))),
        (policy.Due("expires", tokens()), outcomes.Deferred("c", "due", None, "expires")),
        (policy.Recover(WAITING, False, "waits"), outcomes.Deferred("c", "due", None, "waits")),
        (policy.Stale("old"), outcomes.Deferred("c", "stale_read", None, "old")),
        (policy.Held("h", at(9), "at work"), outcomes.Deferred("c", "held", at(9), "at work")),
        (policy.InDoubt(claim_of(), None, "lost", "decide"), outcomes.Failed("c", "in_doubt", "lost", "decide")),
        (policy.InDoubt(claim_of(), at(9), "lost", "wait"), outcomes.Deferred("c", "in_doubt", at(9), "lost")),
        (policy.Latched(claim_of(), "dead", "log in"), outcomes.Failed("c", "latched", "dead", "log in")),
        (policy.CoolingDown(at(9), "rate_limited", "429"), outcomes.Deferred("c", "rate_limited", at(9), "429")),
        (
            policy.CoolingDown(at(9), "misconfigured", "401", "mend", person=True),
            outcomes.Failed("c", "misconfigured", "401", "mend", at(9)),
        ),
        (policy.Unusable("empty", "put"), outcomes.Failed("c", "unusable", "empty", "put")),
    ],
)
def test_a_decision_becomes_an_outcome(decision: policy.Decision, outcome: outcomes.Outcome) -> None:
    """A person is asked for exactly where waiting does not help; the instants are passed on."""
    assert outcomes.of_decision("c", decision) == outcome


def test_an_unknown_decision_is_a_defect() -> None:
    """The union of decisions is closed."""
    with pytest.raises(AssertionError):
        outcomes.of_decision("c", "not a decision")  # type: ignore[arg-type]


def every_error() -> list[RotatorError]:
    made: list[RotatorError] = []
    for kind in vars(errors).values():
        if not (isinstance(kind, type) and issubclass(kind, RotatorError)):
            continue
        arguments: dict[str, Any] = {"message": "what", "hint": "do this"}
        if issubclass(kind, ConfigError):
            made.append(kind([Problem("where", "what")]))
        elif kind is errors.LeaseHeld:
            made.append(errors.LeaseHeld("h", NOW))
        elif kind is errors.VersionConflict:
            made.append(errors.VersionConflict("w", expected=1))
        else:
            made.append(kind(**arguments))
    return made


@pytest.mark.parametrize("error", every_error(), ids=lambda error: type(error).__name__)
def test_a_failure_is_put_off_unless_a_retry_cannot_help(error: RotatorError) -> None:
    """`give_up` asks for a person with the hint as the action; everything else is temporary."""
    found = outcomes.of_error("c", error, at(9))
    assert found.reason == _snake(type(error).__name__)
    assert found.retry_at == at(9)
    if error.then == "give_up":
        assert found == outcomes.Failed("c", found.reason, error.message, error.hint, at(9))
    else:
        assert found == outcomes.Deferred("c", found.reason, at(9), str(error))


def _snake(name: str) -> str:
    import re

    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def test_the_words_of_an_error_hold_the_hint() -> None:
    """An operator sees what is wrong and what to do in one line."""
    assert str(errors.StoreDenied("not allowed", hint="grant it")) == "not allowed (grant it)"
    assert str(errors.StoreDenied("not allowed")) == "not allowed"
