"""What the daemon shows of its fleet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rotator import outcomes
from rotator.board import LIVE_S, Board
from rotator.errors import StoreDenied, StoreUnavailable
from rotator.looks import Sight
from tests.core.parts import at
from tests.rotation.world import credential

ALPHA = credential("alpha")


def seen(board: Board, *, until_s: float | None = 100, ends_s: float | None = 400) -> None:
    ends = None if ends_s is None else at(ends_s)
    until = None if until_s is None else at(until_s)
    board.seen(Sight(ALPHA, "1", "lane", ends, until, until, "", b"", at(9000), at(-50), at(-40)))


def test_a_credential_is_shown_from_the_moment_it_is_watched() -> None:
    """Before the first look nothing is said of it, not even that it is not ready."""
    board = Board()
    board.watch(ALPHA)
    [line] = board.lines()
    assert (line.state, line.ready(at(0))) == (None, None)
    board.forget("alpha")
    assert board.lines() == []


def test_one_that_is_configured_as_before_keeps_its_line_and_another_does_not() -> None:
    """A reload forgets nothing that still holds."""
    board = Board()
    board.watch(ALPHA)
    seen(board)
    board.watch(credential("alpha"))
    assert board.lines()[0].state == "fresh"
    board.watch(replace(ALPHA, secret="elsewhere"))
    assert board.lines()[0].state is None


@pytest.mark.parametrize(
    ("outcome", "state", "ready"),
    [
        (outcomes.Rotated("alpha", at(500), "2"), "fresh", True),
        (outcomes.Fresh("alpha", at(100), at(500)), "fresh", True),
        (outcomes.Deferred("alpha", "held", at(5)), "due", True),
        (outcomes.Deferred("alpha", "rate_limited", at(5)), "cooling_down", True),
        (outcomes.Deferred("alpha", "write_back", at(5), "the store is away"), "cooling_down", True),
        (outcomes.Deferred("alpha", "in_doubt", at(5)), "in_doubt", True),
        (outcomes.Failed("alpha", "in_doubt", "perhaps spent", "rotator resolve alpha"), "in_doubt", False),
        (outcomes.Failed("alpha", "latched", "the grant is dead", "log in"), "latched", False),
        (outcomes.Failed("alpha", "misconfigured", "invalid_client", "see the secret"), "unusable", False),
    ],
)
def test_what_became_of_a_credential_says_its_state_and_whether_readers_are_served(
    outcome: outcomes.Outcome, state: str, ready: bool
) -> None:
    """Ready is what needs no person while its access token lasts."""
    board = Board()
    seen(board)
    board.done(ALPHA, outcome, at(60), now=at(50))
    [line] = board.lines()
    assert (line.state, line.ready(at(50)), line.next_at) == (state, ready, at(60))
    assert line.ready(at(501)) is False


def test_an_unknown_end_is_no_end() -> None:
    """Of a token whose life nobody tells it is not said that it has expired."""
    board = Board()
    seen(board, ends_s=None)
    assert board.lines()[0].ready(at(1e6)) is True


def test_what_an_outcome_leaves_open_stays_as_it_was_known() -> None:
    """A pause of the provider does not make the end of the token unknown."""
    board = Board()
    seen(board)
    board.done(ALPHA, outcomes.Deferred("alpha", "rate_limited", at(5)), at(5), now=at(0))
    [line] = board.lines()
    assert (line.expires_at, line.grant_ends_at, line.issued_at, line.rotated_at) == (
        at(400),
        at(9000),
        at(-50),
        at(-40),
    )


def test_a_rotation_brings_its_own_end_of_the_refresh_token() -> None:
    """None where the provider says none."""
    board = Board()
    seen(board)
    board.done(ALPHA, outcomes.Rotated("alpha", at(500), "2", grant_ends_at=None), at(450), now=at(50))
    [line] = board.lines()
    assert line.grant_ends_at is None
    assert line.issued_at == line.rotated_at == at(50)


def test_a_loop_that_turns_lives_and_one_that_does_not_hangs() -> None:
    """By the monotonic clock; one that has not begun is not blamed."""
    board = Board()
    assert board.hangs(1e9) is None
    board.turned(1000.0)
    assert board.hangs(1000.0 + LIVE_S) is None
    assert "not turned for" in (board.hangs(1001.0 + LIVE_S) or "")


def test_it_is_ready_after_the_first_look_and_while_stores_can_be_listed() -> None:
    """What is wrong is told by the store's name, until it is over."""
    board = Board()
    assert board.unready() == ["not every credential was looked at yet"]
    board.starting = False
    board.listed("main", StoreUnavailable("store main: no answer for team/secret"))
    assert board.unready() == ["main: store unavailable"]
    board.listed("main", None)
    assert board.unready() == []


def test_a_listing_that_is_not_allowed_keeps_nothing_from_being_ready() -> None:
    """It will not be allowed by waiting, and refreshes go on without it."""
    board = Board(starting=False)
    board.listed("main", StoreUnavailable("store main: no answer"))
    board.listed("main", StoreDenied("store main: ListSecrets is not allowed"))
    assert board.unready() == []


def test_the_trouble_of_a_store_that_is_configured_no_more_is_over() -> None:
    """Of the others it stays."""
    board = Board(starting=False)
    for name in ("main", "gone"):
        board.listed(name, StoreUnavailable("no answer"))
    board.keep_listed(["main"])
    assert board.unready() == ["main: store unavailable"]
