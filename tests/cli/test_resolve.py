"""`rotator resolve`: an operator's word on a doubt or a latch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.app import situations

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.app.stage import Stage


def state(stage: Stage) -> str:
    return str(stage.cli("status", "--json").json["credentials"][0]["state"])


def test_replay_allows_one_more_try(stage: Stage) -> None:
    """After `--replay` the next pass presents the token in doubt once more, and only once."""
    stage.provider("acme", on_doubt="operator")
    stage.ready()
    stage.until_due()
    stage.face().fault("drop_before_processing")
    stage.cli("once")

    ended = stage.cli("resolve", "alpha", "--replay")
    stage.cli("once")

    assert (ended.code, ended.out) == (
        0,
        "alpha: its refresh token may be presented one more time: rotator once --name alpha\n",
    )
    assert stage.is_live()
    assert stage.face().report.rotations == 1
    assert [event["reason"] for event in stage.events if event["event"] == "credential.resolved"] == ["replay"]


def test_discard_gives_the_doubt_up(stage: Stage) -> None:
    """After `--discard` the credential is latched until a new token set is put, and no try is made."""
    situations.in_doubt(stage)

    ended = stage.cli("resolve", "alpha", "--discard")

    assert (ended.code, ended.out) == (
        0,
        "alpha: the rotation in doubt is given up; log in again and put the new token set: rotator put alpha\n",
    )
    assert state(stage) == "latched"
    assert stage.cli("once", "--force").code == 1
    assert stage.face().report.requests == 1


def test_discard_drops_the_unreadable_reply_from_escrow(stage: Stage) -> None:
    """What arrived of a reply that could not be read leaves the escrow with `--discard`."""
    stage.ready()
    stage.until_due()
    stage.face().fault("truncated")
    stage.cli("once")
    kept = stage.cli("escrow", "list").out

    assert stage.cli("resolve", "alpha", "--discard").err == ""

    assert kept.startswith("alpha\treply\t")
    assert stage.cli("escrow", "list").out == ""


def test_clear_takes_a_latch_away(stage: Stage) -> None:
    """After `--clear` a latched token may be presented again, for a provider that was wrong to refuse it."""
    situations.latched(stage)

    ended = stage.cli("resolve", "alpha", "--clear")

    assert (ended.code, ended.out) == (0, "alpha: the latch or pause is cleared; try it: rotator once --name alpha\n")
    assert state(stage) == "due"
    assert stage.record().presented == ()


def test_clear_ends_a_pause(stage: Stage) -> None:
    """After `--clear` a credential that was misconfigured is tried again at once."""
    clients = dict(stage.face().settings.clients)
    situations.misconfigured(stage)
    stage.face().settings.clients.update(clients)
    assert stage.cli("once").code == 1

    stage.cli("resolve", "alpha", "--clear")

    assert stage.cli("once").code == 0
    assert stage.is_live()


REFUSALS = [
    (situations.fresh, "--replay", "no rotation of alpha is in doubt", "see: rotator explain alpha"),
    (situations.latched, "--replay", "no rotation of alpha is in doubt", "see: rotator explain alpha"),
    (situations.in_doubt_twice, "--replay", "its refresh token was already tried twice", "rotator put alpha"),
    (situations.fresh, "--discard", "no rotation of alpha is in doubt", "see: rotator explain alpha"),
    (situations.waiting_in_escrow, "--discard", "its successor waits in escrow", "rotator escrow replay"),
    (situations.fresh, "--clear", "alpha is not latched: there is nothing to clear", "rotator explain alpha"),
    (
        situations.in_doubt,
        "--clear",
        "alpha is in doubt, not latched",
        "rotator resolve alpha --replay, or rotator resolve alpha --discard",
    ),
    (situations.given_up, "--clear", "the rotation of alpha was given up", "rotator put alpha"),
    (situations.without_refresh_token, "--clear", "it has no refresh_token", "rotator put alpha"),
]


@pytest.mark.parametrize(
    ("bring_about", "word", "problem", "hint"), REFUSALS, ids=[f"{row[0].__name__} {row[1]}" for row in REFUSALS]
)
def test_a_word_that_does_not_fit_is_refused(
    stage: Stage, bring_about: Callable[[Stage], None], word: str, problem: str, hint: str
) -> None:
    """A word that does not fit the state ends with 2 and the reason, and changes neither record nor trail."""
    bring_about(stage)
    before = (stage.records(), stage.events)

    ended = stage.cli("resolve", "alpha", word)

    assert (ended.code, ended.out) == (2, "")
    assert problem in ended.err
    assert hint in ended.err
    assert (stage.records(), stage.events) == before


@pytest.mark.parametrize("word", ["--replay", "--discard"])
def test_no_word_while_a_holder_is_at_work(stage: Stage, word: str) -> None:
    """While the request may still be in flight, its lease keeps an operator from deciding."""
    stage.ready()
    stage.until_due()
    situations.crash_before_the_write(stage)

    ended = stage.cli("resolve", "alpha", word)

    assert ended.code == 2
    assert "is at work on alpha" in ended.err
    assert "wait until 2026-01-01T01:" in ended.err


def test_replay_where_replays_are_safe_has_no_bound(stage: Stage) -> None:
    """With `replay: safe` a token that was tried twice may be tried again."""
    situations.in_doubt_twice(stage)
    stage.config["providers"]["acme"]["replay"] = "safe"

    assert stage.cli("resolve", "alpha", "--replay").code == 0


def test_resolve_wants_a_word(stage: Stage) -> None:
    """Without one of the three words it is bad usage that names them."""
    stage.ready()

    ended = stage.cli("resolve", "alpha")

    assert ended.code == 2
    assert "say one of --replay, --discard and --clear" in ended.err
