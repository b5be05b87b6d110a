"""What is explored: the kind of provider, the escrow, the bounds, and which safeguard is left out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Omission = Literal[
    "no_claim",
    "forget_claim",
    "no_compare_and_swap",
    "give_back_after_lost_reply",
    "no_escrow",
    "escrow_after_write",
    "clear_escrow_first",
    "no_send_by",
    "no_comparison",
    "no_retake",
    "third_try",
    "keep_unasked",
    "spent_later_counts",
    "drop_unwritten",
    "late_in_window",
    "recover_unasked",
]
"""Safeguards that can be left out; `tests.model.test_model.OMISSIONS` says what each is for."""


@dataclass(frozen=True, slots=True)
class Setup:
    """One exploration.

    Args:
        tokens: How many token sets the provider issues before nothing falls due any more.
        crashes: How often any process dies.
        losses: How often a request or a reply is lost, or the escrow does not take what arrived.
        escrow_fails: Whether the last of these is among them.
        people: How often a person changes the document.
        deeds: What that person does: logs in again, edits another field, puts an old copy back.
        words: How often an operator allows one more try.
        expiry: Whether the access token may expire, which ends the wait for another host's private escrow.
        restore: Whether the state record may be replaced by an empty one, as by an old backup.
    """

    replicas: int = 2
    replay: Literal["never", "safe", "until_successor_used", "window"] = "never"
    on_doubt: Literal["wait_then_replay", "operator"] = "wait_then_replay"
    rotates: bool = True
    shared: bool = True
    tokens: int = 3
    crashes: int = 1
    losses: int = 1
    escrow_fails: bool = True
    people: int = 0
    deeds: tuple[str, ...] = ("logs in again", "edits another field")
    words: int = 0
    expiry: bool = False
    restore: bool = False
    omits: frozenset[Omission] = frozenset()


@dataclass(frozen=True, slots=True)
class Left:
    """A safeguard that is left out, where that shows, and the property that then breaks."""

    breaks: str
    setup: Setup


_SMALL = Setup(tokens=2)
_QUIET = replace(_SMALL, crashes=0, losses=0)
_FORGIVING = replace(_QUIET, replay="until_successor_used", tokens=3)
_PERSON = replace(_QUIET, people=1)
_WINDOW = Setup(replay="window", on_doubt="operator", tokens=1, escrow_fails=False, words=1)

SETUPS: dict[str, Setup] = {
    "strict": _SMALL,
    "strict, three generations": replace(_QUIET, tokens=3),
    "strict, an operator decides": replace(_SMALL, on_doubt="operator", crashes=0, words=1),
    "strict, a person logs in again or edits": _PERSON,
    "strict, a person puts an old copy back": replace(_PERSON, deeds=("puts an old copy back",)),
    "strict, private escrow": replace(_SMALL, shared=False, losses=0),
    "until the successor is used": replace(_FORGIVING, tokens=2, crashes=1),
    "until the successor is used, three generations": _FORGIVING,
    "within a window": _WINDOW,
    "replay is safe": replace(_QUIET, replay="safe"),
    "the refresh token is kept": replace(_QUIET, rotates=False, crashes=1),
}
"""Small enough to be explored whole in seconds."""


def _left(breaks: str, setup: Setup, *omits: Omission) -> Left:
    return Left(breaks, replace(setup, omits=frozenset(omits)))


OMISSIONS: dict[str, Left] = {
    "no_claim": _left("twice", _SMALL, "no_claim"),
    "forget_claim": _left("twice", _SMALL, "forget_claim"),
    "no_compare_and_swap": _left("twice", _SMALL, "no_compare_and_swap"),
    "no_compare_and_swap, fence": _left("fence", _SMALL, "no_compare_and_swap"),
    "give_back_after_lost_reply": _left("twice", _SMALL, "give_back_after_lost_reply"),
    "no_escrow": _left("lost", _SMALL, "no_escrow"),
    "escrow_after_write": _left("lost", _SMALL, "escrow_after_write"),
    "clear_escrow_first": _left("twice", _SMALL, "clear_escrow_first"),
    "no_send_by": _left("twice", _SMALL, "no_send_by"),
    "no_comparison": _left("kept", _SMALL, "no_comparison"),
    "third_try": _left("thrice", replace(_SMALL, crashes=2), "third_try"),
    # The claim is looked at before the escrow and again in the same write; either alone would do where it is shared.
    "no_retake": _left("kept", _FORGIVING, "no_retake", "keep_unasked"),
    "keep_unasked": _left("kept", _FORGIVING, "keep_unasked"),
    "spent_later_counts": _left("descendant", _PERSON, "spent_later_counts"),
    "spent_later_counts, recover_unasked": _left(
        "descendant", replace(_QUIET, tokens=3), "spent_later_counts", "recover_unasked"
    ),
    "drop_unwritten": _left("kept", _PERSON, "drop_unwritten"),
    "recover_unasked": _left("kept", _FORGIVING, "recover_unasked"),
    "late_in_window": _left("window", _WINDOW, "late_in_window"),
}
