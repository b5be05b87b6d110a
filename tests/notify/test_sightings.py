"""From a board's lines to what is known of credentials."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from rotator import outcomes
from rotator.board import GRANT, Board, Line
from rotator.cases import findings
from rotator.conditions import DUE_GRACE_S
from rotator.looks import Sight
from rotator.sightings import MOST_LINES, Lookout, _of_line, dull
from tests.notify.parts import START, after
from tests.rotation.world import credential, provider

if TYPE_CHECKING:
    from rotator.model import Credential

ALPHA = credential("alpha")
INSTANTS = st.none() | st.integers(-30 * 86_400, 30 * 86_400).map(after)
STATES = st.sampled_from([None, "fresh", "due", "in_doubt", "latched", "cooling_down", "unusable"])


def with_idle(idle_s: float | None) -> Credential:
    return replace(ALPHA, provider=replace(provider(), refresh_token_idle_s=idle_s))


@given(
    facts=st.fixed_dictionaries(
        {
            "state": STATES,
            "expires_at": INSTANTS,
            "next_at": INSTANTS,
            "grant_ends_at": INSTANTS,
            "grant_since": INSTANTS,
            "issued_at": INSTANTS,
        }
    ),
    idle_s=st.none() | st.floats(60, 60 * 86_400),
)
def test_a_dull_line_holds_no_case(facts: dict[str, Any], idle_s: float | None) -> None:
    """What is passed over unread would have come to no finding."""
    line = Line(with_idle(idle_s), **facts)
    if dull(line, START):
        assert list(findings([_of_line(line, None, "", None)], START)) == []


def test_a_fresh_credential_is_dull() -> None:
    """The usual line costs no more than a glance."""
    line = Line(ALPHA, "fresh", after(3600), after(3240), issued_at=START)
    assert dull(line, START)
    assert dull(replace(line, credential=with_idle(86_400)), START)
    assert not dull(replace(line, grant_ends_at=after(7 * 86_400)), START)


def test_being_due_is_timed_from_when_it_was_seen_first() -> None:
    """A token found expired at a start is a case when a minute of being due has not helped, and not before."""
    board, lookout = Board(), Lookout()
    board.watch(ALPHA)
    board.done(ALPHA, outcomes.Deferred("alpha", "due", None), after(5), now=START)
    board._lines["alpha"] = replace(board._lines["alpha"], expires_at=after(-9999))
    for seconds, kinds in ((0.0, []), (DUE_GRACE_S - 1, []), (DUE_GRACE_S, ["token_expiring"])):
        view = lookout.view(board, {}, "", ("ops",), after(seconds))
        assert [finding.kind for _, finding in view.found] == kinds


def test_what_waits_in_escrow_is_seen_though_the_line_is_dull() -> None:
    """A fresh credential whose tokens wait all the same is a case of that."""
    board, lookout = Board(), Lookout()
    board._lines["alpha"] = Line(ALPHA, "fresh", after(3600), after(3240))
    view = lookout.view(board, {"alpha": after(-600)}, "host:/escrow", ("ops",), START)
    assert [(finding.kind, finding.about) for _, finding in view.found] == [("escrow_waiting", "host:/escrow")]


def test_of_very_many_the_most_urgent_are_looked_at() -> None:
    """A whole fleet in a pause is a thousand findings at most, and the dead grants among them are there."""
    board, lookout = Board(), Lookout()
    for number in range(3000):
        name = f"name-{number:04}"
        state: Any = "latched" if number >= 2990 else "cooling_down"
        board._lines[name] = Line(replace(ALPHA, name=name), state, after(-60), after(900))
    view = lookout.view(board, {}, "", ("ops",), START)
    assert len({known.name for known, _ in view.found}) == MOST_LINES
    assert sum(finding.kind == "grant_dead" for _, finding in view.found) == 10
    assert view.known("name-2500") is not None


def test_an_end_that_moves_with_a_rotation_is_a_new_life() -> None:
    """The board counts a life from when it was renewed, and one that is only restated from its beginning."""
    for moved_s, since in ((2.0, START), (3600.0, after(3600))):
        board = Board()
        board._lines["alpha"] = Line(ALPHA, "fresh", grant_ends_at=after(86_400), grant_since=START)
        ends = after(86_400) + timedelta(seconds=moved_s)
        board.done(ALPHA, outcomes.Rotated("alpha", None, "2", grant_ends_at=ends), after(7000), now=after(3600))
        assert board.lines()[0].grant_since == since


def test_a_death_is_about_the_grant_that_died() -> None:
    """A line names the refresh token that its state is about, whatever has been put since: no new one died."""
    board, lookout = Board(), Lookout()
    board.seen(Sight(ALPHA, "1", "lane", after(3600), after(3000), after(3000), "a" * 32, b""))
    board.done(ALPHA, outcomes.Failed("alpha", "latched", "invalid_grant", "log in"), None, now=START)
    view = lookout.view(board, {}, "", ("ops",), START)
    assert [(finding.kind, finding.about) for _, finding in view.found] == [("grant_dead", "a" * GRANT)]

    board.seen(Sight(ALPHA, "2", "lane", after(3600), after(3000), after(3000), "b" * 32, b""))
    board.done(ALPHA, outcomes.Rotated("alpha", after(3600), "3", digest="c" * 32), after(3000), now=START)
    known = lookout.view(board, {}, "", ("ops",), START).known("alpha")
    assert known is not None
    assert (known.state, known.grant) == ("fresh", "c" * GRANT)
