"""What somebody should be told of, by what is known of a credential."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.conditions import DUE_GRACE_S, ESCROW_GRACE_S, Known, standing
from tests.notify.parts import FRESH, START, after

if TYPE_CHECKING:
    from datetime import datetime

    from rotator.notices import Kind

DAY = 86_400.0


def kinds(known: Known, now: datetime = START) -> set[Kind]:
    return {kind for kind, finding in standing(known, now).items() if finding is not None}


def over(known: Known, now: datetime = START) -> set[Kind]:
    return {kind for kind, finding in standing(known, now).items() if finding is None}


def known(**facts: Any) -> Known:
    return replace(FRESH, **facts)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, set()),
        ({"state": "latched"}, {"grant_dead"}),
        ({"state": "in_doubt"}, {"in_doubt"}),
        ({"state": "unusable"}, {"needs_person"}),
        ({"state": "cooling_down", "reason": "rate_limited"}, set()),
        ({"state": "due"}, set()),
        ({"waiting_since": after(-ESCROW_GRACE_S)}, {"escrow_waiting"}),
        ({"waiting_since": after(1 - ESCROW_GRACE_S)}, set()),
        # The access token.
        ({"expires_at": after(-1)}, {"token_expiring"}),
        ({"state": "cooling_down", "expires_at": after(600), "next_at": after(599)}, set()),
        ({"state": "cooling_down", "expires_at": after(600), "next_at": after(600)}, {"token_expiring"}),
        ({"state": "latched", "expires_at": after(600), "next_at": after(900)}, {"grant_dead"}),
        ({"state": "latched", "expires_at": after(0)}, {"grant_dead", "token_expiring"}),
        ({"state": "unusable", "expires_at": after(0)}, {"needs_person", "token_expiring"}),
        ({"state": "due", "expires_at": after(-9999), "due_since": after(1 - DUE_GRACE_S)}, set()),
        ({"state": "due", "expires_at": after(-9999), "due_since": after(-DUE_GRACE_S)}, {"token_expiring"}),
        ({"state": "due", "expires_at": after(-9999)}, set()),
        # The refresh token's end: a week before, a quarter of a shorter life.
        ({"grant_ends_at": after(7 * DAY), "grant_since": after(-90 * DAY)}, {"refresh_token_ending"}),
        ({"grant_ends_at": after(7 * DAY + 1), "grant_since": after(-90 * DAY)}, set()),
        ({"grant_ends_at": after(6 * 3600), "grant_since": after(-18 * 3600)}, {"refresh_token_ending"}),
        ({"grant_ends_at": after(6 * 3600 + 1), "grant_since": after(-18 * 3600)}, set()),
        ({"grant_ends_at": after(-5), "grant_since": after(-DAY)}, {"refresh_token_ending"}),
        ({"grant_ends_at": after(0), "state": "latched"}, {"grant_dead"}),
        # Its idle end, which a rotation in time puts off.
        ({"idle_s": 4 * DAY, "issued_at": after(-3 * DAY), "next_at": after(DAY - 1)}, set()),
        ({"idle_s": 4 * DAY, "issued_at": after(-3 * DAY), "next_at": after(DAY)}, {"refresh_token_ending"}),
        ({"idle_s": 4 * DAY, "issued_at": after(-3 * DAY), "state": "cooling_down"}, {"refresh_token_ending"}),
        ({"idle_s": 4 * DAY, "issued_at": after(-3 * DAY + 1), "state": "cooling_down"}, set()),
    ],
)
def test_what_is_the_case(facts: dict[str, Any], expected: set[Kind]) -> None:
    """Each kind by the facts that make it, and by those that just do not."""
    assert kinds(known(**facts)) == expected


@pytest.mark.parametrize(
    ("state", "ended"),
    [
        ("fresh", {"grant_dead", "in_doubt", "needs_person", "token_expiring", "refresh_token_ending"}),
        ("latched", {"in_doubt", "needs_person", "refresh_token_ending"}),
        ("in_doubt", {"grant_dead", "needs_person"}),
        ("unusable", set()),
        ("due", set()),
        ("cooling_down", set()),
    ],
)
def test_what_is_surely_over(state: Any, ended: set[Kind]) -> None:
    """A case ends by what is known to be otherwise, not by what is not known."""
    assert over(known(state=state)) == ended | {"escrow_waiting"}


def test_before_the_first_look_nothing_is_known() -> None:
    """A process that has not looked opens nothing and ends nothing, an escrow that it has not read included."""
    assert standing(known(state=None, expires_at=after(-1)), START) == {}


STATES = st.sampled_from(["fresh", "due", "in_doubt", "latched", "cooling_down", "unusable"])
INSTANTS = st.none() | st.integers(-400 * 86_400, 400 * 86_400).map(after)


@given(
    facts=st.fixed_dictionaries(
        {
            "state": STATES,
            "expires_at": INSTANTS,
            "next_at": INSTANTS,
            "due_since": INSTANTS,
            "grant_since": INSTANTS,
            "grant_ends_at": INSTANTS,
            "issued_at": INSTANTS,
            "idle_s": st.none() | st.floats(1, 1e8),
            "waiting_since": INSTANTS,
        }
    )
)
def test_every_finding_says_what_to_do(facts: dict[str, Any]) -> None:
    """Whatever is known, each finding has words or a state of its own, and an action."""
    one = known(**facts, login="rotator login alpha")
    for kind, finding in standing(one, START).items():
        if finding is not None:
            assert finding.kind == kind
            assert finding.action
            assert finding.detail or one.reason == ""


def test_instants_at_the_ends_of_time_are_no_defect() -> None:
    """An end in the year 2199 and one in 1970 are told like others."""
    far = known(grant_ends_at=START.replace(year=2199), grant_since=START - timedelta(days=20_000))
    assert kinds(far) == set()
    assert kinds(replace(far, grant_ends_at=START.replace(year=1970))) == {"refresh_token_ending"}
