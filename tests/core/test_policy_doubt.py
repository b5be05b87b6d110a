"""A token that may be spent: what the replay rule makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from rotator.model import Replay
from rotator.policy import (
    CoolingDown,
    Decision,
    Due,
    InDoubt,
    decide,
)
from rotator.records import Hold, ProviderRecord
from tests.core.parts import DIGEST, at, claim_of, fields, stored
from tests.core.situations import DUE_AT, EARLY, situation


def doubt(now_s: float, replay: Replay, **changes: Any) -> Decision:
    rules = {"replay": replay, "on_doubt": changes.pop("on_doubt", "wait_then_replay"), "timeout_s": 30.0}
    claim = claim_of(**{name: changes.pop(name) for name in ("tries", "permitted", "place") if name in changes})
    return decide(situation(now_s, rules=rules, presented=(claim,), **changes))


NEVER, SAFE, UNUSED = Replay("never"), Replay("safe"), Replay("until_successor_used")


@pytest.mark.parametrize("force", [False, True])
def test_never_waits_for_the_last_quarter_of_the_margin(force: bool) -> None:
    """`wait_then_replay`: the old access token serves on until a quarter of the margin is left, forced or not."""
    found = doubt(EARLY, NEVER, force=force)
    assert isinstance(found, InDoubt)
    assert found.until == at(3600 - 90)
    assert found.reason == "the reply to a refresh was lost at 2026-01-01T00:00:00Z"
    assert isinstance(doubt(3600 - 90 - 0.001, NEVER, force=force), InDoubt)
    last = doubt(3600 - 90, NEVER, force=force)
    assert isinstance(last, Due)
    assert last.again
    assert last.deadline == at(3600)


def test_a_one_shot_run_takes_the_last_quarter_that_falls_before_the_next_pass() -> None:
    """With a horizon the last try happens now when the next pass would come too late."""
    assert isinstance(doubt(EARLY, NEVER, horizon_s=209), InDoubt)
    assert isinstance(doubt(EARLY, NEVER, horizon_s=210), Due)


def test_an_unknown_expiry_has_nothing_to_wait_for() -> None:
    """Without a known end the last try is now."""
    assert isinstance(doubt(0, NEVER, stored=stored(fields(expires_at=None))), Due)


def test_an_operator_decides_where_the_configuration_says_so() -> None:
    """`operator`: never by itself, at no time; an operator's word allows one try at once."""
    for now_s in (0, EARLY, DUE_AT, 1e6):
        found = doubt(now_s, NEVER, on_doubt="operator")
        assert isinstance(found, InDoubt)
        assert found.until is None
        assert "rotator resolve payroll --replay" in found.action
    assert "rotator put payroll" in found.action
    allowed = doubt(0, NEVER, on_doubt="operator", permitted=True)
    assert isinstance(allowed, Due)
    assert allowed.again


@pytest.mark.parametrize("on_doubt", ["wait_then_replay", "operator"])
@pytest.mark.parametrize("replay", [SAFE, UNUSED])
def test_a_harmless_replay_happens_at_once(replay: Replay, on_doubt: str) -> None:
    """`safe` and `until_successor_used` ask nobody and wait for nothing."""
    found = doubt(1, replay, on_doubt=on_doubt)
    assert isinstance(found, Due)
    assert found.again


def test_a_window_counts_from_the_first_presentation_and_leaves_room_for_the_request() -> None:
    """Inside the window, less the timeout and 5 s of clock skew, the replay happens at once; outside it is `never`."""
    window = Replay("window", 60.0)
    assert isinstance(doubt(24.9, window, on_doubt="operator"), Due)
    outside = doubt(25, window, on_doubt="operator")
    assert isinstance(outside, InDoubt)
    assert outside.until is None
    waits = doubt(25, window)
    assert isinstance(waits, InDoubt)
    assert waits.until == at(3600 - 90)
    assert isinstance(doubt(DUE_AT, window), Due)


def test_the_second_loss_is_the_last() -> None:
    """A token that was tried twice is not sent again by itself nor by a word, but for `safe`."""
    for replay in (NEVER, UNUSED, Replay("window", 1e6)):
        for permitted in (False, True):
            found = doubt(DUE_AT, replay, tries=2, permitted=permitted)
            assert isinstance(found, InDoubt)
            assert found.until is None
            assert found.action == "log in again: rotator put payroll"
    assert isinstance(doubt(1, SAFE, tries=7), Due)


@pytest.mark.parametrize("replay", [NEVER, UNUSED, Replay("window", 1e6)])
def test_a_successor_that_may_lie_in_anothers_escrow_is_waited_for(replay: Replay) -> None:
    """Promise 2: with a private escrow another replica waits as long as the access token lasts."""
    away = {"place": "file:a", "escrow_shared": False}
    found = doubt(DUE_AT, replay, **away)
    assert isinstance(found, InDoubt)
    assert found.until == at(3600)
    assert found.reason.endswith("and its successor may lie in the escrow of dead")
    assert isinstance(doubt(3600, replay, **away), Due)
    assert isinstance(doubt(DUE_AT, replay, place="state", escrow_shared=False), Due)


def test_the_escrow_of_a_holder_with_another_configuration_is_waited_for() -> None:
    """Promise 2: where one replica keeps its escrow in a file and another in the state, neither sees the other's."""
    assert isinstance(doubt(DUE_AT, UNUSED, place="file:a", escrow_shared=True), InDoubt)
    assert isinstance(doubt(3600, UNUSED, place="file:a", escrow_shared=True), Due)


def test_a_word_or_a_harmless_replay_does_not_wait_for_anothers_escrow() -> None:
    """An operator knows whether that host comes back, and `safe` does no harm: neither waits for a private escrow."""
    away = {"place": "file:a", "escrow_shared": False}
    assert isinstance(doubt(1, SAFE, **away), Due)
    assert isinstance(doubt(1, NEVER, permitted=True, **away), Due)
    assert isinstance(doubt(1, UNUSED, permitted=True, tries=2, **away), InDoubt)


def test_the_reason_names_the_latest_try() -> None:
    """A claim that was tried again tells when that was."""
    one = claim_of(tries=2, tried_at=at(50))
    found = decide(situation(presented=(one,)))
    assert isinstance(found, InDoubt)
    assert found.reason == "the reply to a refresh was lost at 2026-01-01T00:00:50Z, for the second time"


def test_a_replay_obeys_hold_and_cooldown() -> None:
    """Promise 5: one more try is a request like any other."""
    cooling = ProviderRecord("p", cooldown_until=at(9000))
    assert isinstance(doubt(1, SAFE, provider=cooling), CoolingDown)
    held = Hold(DIGEST, at(100), at(50), "in_doubt", "lost")
    assert doubt(1, SAFE, hold=held) == CoolingDown(at(100), "in_doubt", "lost")
    assert isinstance(doubt(100, SAFE, hold=held), Due)
