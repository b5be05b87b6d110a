"""`writes: fenced` when answers are lost or stale, calls are refused, and processes die or are held up."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from fenced_parts import LOOK, MOVE, PUT, READ, Crash, Fenced, current, fenced, holder
from mended_moto import mended_url
from test_aws_store import ANOTHER_WRITE_ID, NEW

from rotator.errors import StoreUnavailable, StoreWriteInDoubt, VersionConflict
from rotator.model import Document
from rotator.stores.aws_fenced import LATE_S, WAITS_S
from rotator.stores.aws_labels import DISPLACED, PINS

__all__ = ["fenced", "mended_url"]

THEIRS = {"refresh_token": "old", "team": "theirs"}
NEXT = Document({"refresh_token": "next"})

# ------------------------------------------------------------------------------------------------- lost answers


def test_a_put_whose_answer_is_lost_is_found(fenced: Fenced) -> None:
    """When the put was applied, the second one is ignored and the write succeeds."""
    fenced.lose(PUT, applied=True)
    written = fenced.write()
    assert fenced.calls.count(PUT) == 2
    assert fenced.labels() == {fenced.first: ["AWSPREVIOUS"], written.version: ["AWSCURRENT"]}


def test_a_put_whose_answer_is_lost_and_that_displaced_an_edit_is_taken_back(fenced: Fenced) -> None:
    """The lost answer does not hide the edit: theirs is current when the conflict is raised."""
    fenced.before(PUT, fenced.edit)
    fenced.lose(PUT, applied=True)
    with pytest.raises(VersionConflict):
        fenced.write()
    assert current(fenced) == THEIRS


def test_a_put_that_arrives_late_changes_nothing(fenced: Fenced) -> None:
    """A put that AWS applies only after its answer was given up finds its id used, whatever was written since."""
    late: dict[str, Any] = {}
    fenced.before(PUT, lambda: _lost_with(fenced, late))
    written = fenced.write()
    assert fenced.calls == [LOOK, PUT, PUT, MOVE, LOOK]
    fenced.edit('{"n": 1}')
    fenced.arrive_late(late)
    assert current(fenced) == {"n": 1}
    assert holder(fenced.labels(), "AWSPREVIOUS") == written.version


def test_an_edit_before_a_put_that_arrives_late_stays(fenced: Fenced) -> None:
    """The put is lost, somebody writes, the write conflicts; the late put does not displace them."""
    late: dict[str, Any] = {}

    def lost_then_edited() -> None:
        try:
            _lost_with(fenced, late)
        finally:
            fenced.edit()

    fenced.before(PUT, lost_then_edited)
    with pytest.raises(VersionConflict):
        fenced.write()
    fenced.arrive_late(late)
    assert current(fenced) == THEIRS


def test_when_neither_put_is_answered_the_write_is_in_doubt(fenced: Fenced) -> None:
    """Whether it was applied is not known: StoreWriteInDoubt, and the repetition finds out."""
    fenced.lose(PUT, applied=True, nth=0)
    fenced.lose(PUT, applied=False, nth=1)
    with pytest.raises(StoreWriteInDoubt):
        fenced.write()
    fenced.forget()
    assert fenced.write().version == fenced.store.read(fenced.secret).version
    assert fenced.calls[:3] == [LOOK, PUT, LOOK]


def test_a_put_that_is_throttled_is_surely_not_applied(fenced: Fenced) -> None:
    """Throttling is StoreUnavailable after one call, and nothing changed."""
    labels = fenced.labels()
    fenced.fail(PUT, "ThrottlingException")
    with pytest.raises(StoreUnavailable):
        fenced.write()
    assert fenced.calls == [LOOK, PUT]
    assert fenced.labels() == labels


def test_a_move_back_whose_answer_is_lost_is_found(fenced: Fenced) -> None:
    """When the label went back and the answer was lost, the write conflicts after a look."""
    fenced.before(PUT, fenced.edit)
    fenced.lose(MOVE, applied=True)
    with pytest.raises(VersionConflict):
        fenced.write()
    assert fenced.calls.count(MOVE) == 1
    assert current(fenced) == THEIRS


def test_a_move_back_that_is_throttled_is_tried_again(fenced: Fenced) -> None:
    """Throttling delays the move back, and no more."""
    fenced.before(PUT, fenced.edit)
    fenced.fail(MOVE, "ThrottlingException", times=3)
    with pytest.raises(VersionConflict):
        fenced.write()
    assert current(fenced) == THEIRS
    assert fenced.clock.monotonic_s() == pytest.approx(sum(WAITS_S[:3]))


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException"])
def test_an_edit_that_cannot_be_put_back_is_named(fenced: Fenced, caplog: pytest.LogCaptureFixture, code: str) -> None:
    """Where no label can be moved, the write is in doubt and names the version; it still is AWSPREVIOUS."""
    theirs: list[str] = []
    fenced.before(PUT, lambda: theirs.append(fenced.edit()))
    fenced.fail(MOVE, code)
    with caplog.at_level(logging.WARNING), pytest.raises(StoreWriteInDoubt) as caught:
        fenced.write()
    assert theirs[0] in caught.value.hint
    assert theirs[0] in caplog.text
    assert json.loads(fenced.content("AWSPREVIOUS")) == THEIRS


def test_a_label_that_cannot_be_given_at_once_is_given_later(fenced: Fenced) -> None:
    """A displaced edit that nobody else would look for gets its label although AWS was throttling."""
    fenced.before(PUT, fenced.edit)
    fenced.after(PUT, lambda: fenced.edit('{"n": 1}'))
    fenced.fail(MOVE, "ThrottlingException", times=2)
    with pytest.raises(VersionConflict, match=DISPLACED):
        fenced.write()
    assert json.loads(fenced.content(DISPLACED)) == THEIRS


def test_a_second_look_that_fails_for_good_leaves_doubt(fenced: Fenced) -> None:
    """Without an answer to the second look the write is in doubt, not done."""
    for nth in range(1, 9):
        fenced.lose(LOOK, applied=True, nth=nth)
    with pytest.raises(StoreWriteInDoubt):
        fenced.write()
    assert fenced.calls.count(LOOK) == 2 + len(WAITS_S)
    assert fenced.clock.monotonic_s() == pytest.approx(sum(WAITS_S))


# ------------------------------------------------------------------------------------------------- stale answers


def test_a_second_look_that_is_stale_is_repeated(fenced: Fenced) -> None:
    """Labels from before the put are looked at again, until they show it."""
    stale = fenced.labels()
    answers = [None, stale, stale]

    def change(parsed: dict[str, Any]) -> None:
        if answers and (labels := answers.pop(0)):
            parsed["VersionIdsToStages"] = labels

    fenced.alter(LOOK, change)
    fenced.write()
    assert fenced.calls == [LOOK, PUT, LOOK, LOOK, LOOK]


def test_a_put_that_no_look_shows_is_in_doubt(fenced: Fenced) -> None:
    """Labels that stay as before the put leave the write in doubt: to be read and compared."""
    stale = fenced.labels()
    fenced.alter(LOOK, lambda parsed: parsed.update(VersionIdsToStages=stale))
    with pytest.raises(StoreWriteInDoubt):
        fenced.write()
    assert MOVE not in fenced.calls


def test_a_conflict_is_raised_only_when_reads_show_it(fenced: Fenced) -> None:
    """Reads that still show what was taken back are waited for, and are StoreUnavailable in the end.

    A caller that read it would take its write for done, though it no longer is current.
    """
    shown: list[dict[str, Any]] = []
    fenced.before(PUT, fenced.edit)
    fenced.after(PUT, lambda: shown.append(fenced.other.get_secret_value(SecretId=fenced.secret)))
    fenced.alter(READ, lambda parsed: parsed.update(VersionId=shown[0]["VersionId"]))
    with pytest.raises(StoreUnavailable, match="taken back"):
        fenced.write()
    assert fenced.calls.count(READ) == 1 + len(WAITS_S)
    assert current(fenced) == THEIRS


# ------------------------------------------------------------------------------------- crashes and long pauses


def test_an_edit_displaced_before_a_crash_is_kept_by_the_next_write(
    fenced: Fenced, caplog: pytest.LogCaptureFixture
) -> None:
    """The next write, of any process, labels it before AWSPREVIOUS goes on, says so, and is done."""
    fenced.before(PUT, fenced.edit)
    fenced.after(PUT, _die)
    with pytest.raises(Crash):
        fenced.write()
    ours = fenced.store.read(fenced.secret)
    assert ours.content == NEW
    fenced.forget()
    with caplog.at_level(logging.WARNING):
        written = fenced.write(NEXT, expected=ours.version, write_id=ANOTHER_WRITE_ID)
    assert fenced.calls == [LOOK, MOVE, PUT, LOOK]
    assert holder(fenced.labels(), "AWSCURRENT") == written.version
    assert json.loads(fenced.content(DISPLACED)) == THEIRS
    assert DISPLACED in caplog.text


def test_an_edit_displaced_before_a_crash_is_kept_though_somebody_wrote_since(fenced: Fenced) -> None:
    """After one more edit the displaced one has no label left: the next write finds it by its date."""
    _crashed_over_an_edit(fenced)
    newer = fenced.edit('{"n": 1}')
    fenced.write(NEXT, expected=newer, write_id=ANOTHER_WRITE_ID)
    assert current(fenced) == NEXT.fields
    assert json.loads(fenced.content(DISPLACED)) == THEIRS


def test_a_crash_that_displaced_nothing_costs_nothing(fenced: Fenced) -> None:
    """After a crash in an undisturbed write the next one is three calls as ever."""
    fenced.after(PUT, _die)
    with pytest.raises(Crash):
        fenced.write()
    fenced.forget()
    fenced.write(NEXT, expected=fenced.store.read(fenced.secret).version, write_id=ANOTHER_WRITE_ID)
    assert fenced.calls == [READ, LOOK, PUT, LOOK]


def test_nothing_is_written_before_a_displaced_edit_has_its_label(fenced: Fenced) -> None:
    """Where the label cannot be given now, the next write is StoreUnavailable and changes nothing."""
    ours = _crashed_over_an_edit(fenced)
    fenced.fail(MOVE, "ThrottlingException")
    with pytest.raises(StoreUnavailable, match="may hold an edit"):
        fenced.write(NEXT, expected=ours, write_id=ANOTHER_WRITE_ID)
    assert PUT not in fenced.calls
    assert json.loads(fenced.content("AWSPREVIOUS")) == THEIRS


def test_each_displaced_edit_has_a_label_of_its_own_while_there_are_any(fenced: Fenced) -> None:
    """Nine are kept side by side; the tenth is said to have none, and does not hold the tokens up."""
    kept = [DISPLACED, *(f"{DISPLACED}-{number}" for number in range(2, PINS + 1))]
    for number, label in enumerate(kept):
        ours = _crashed_over_an_edit(fenced, number)
        fenced.first = fenced.write(expected=ours, write_id=f"{number:08d}-0000-4000-8000-00000000000a").version
        assert json.loads(fenced.content(label)) == {"edit": number}
    ours = _crashed_over_an_edit(fenced, PINS)
    fenced.write(NEXT, expected=ours, write_id=ANOTHER_WRITE_ID)
    assert current(fenced) == NEXT.fields
    assert [json.loads(fenced.content(label))["edit"] for label in kept] == list(range(PINS))


def test_a_process_that_was_held_up_takes_nothing_back(fenced: Fenced) -> None:
    """Long after the put, others may rely on our version: the edit gets a label, and the write is in doubt."""
    fenced.before(PUT, fenced.edit)
    fenced.after(PUT, lambda: fenced.clock.advance(LATE_S))
    with pytest.raises(StoreWriteInDoubt, match=DISPLACED):
        fenced.write()
    assert fenced.store.read(fenced.secret).content == NEW
    assert json.loads(fenced.content(DISPLACED)) == THEIRS


def _crashed_over_an_edit(fenced: Fenced, number: int | None = None) -> str:
    """Let a write displace an edit and die; return its version, which is current."""
    fenced.forget()
    fenced.before(PUT, lambda: fenced.edit() if number is None else fenced.edit(json.dumps({"edit": number})))
    fenced.after(PUT, _die)
    with pytest.raises(Crash):
        fenced.write(write_id=f"{number or 0:08d}-0000-4000-8000-00000000000b")
    fenced.forget()
    return fenced.store.read(fenced.secret).version


def _lost_with(fenced: Fenced, late: dict[str, Any]) -> None:
    """Keep a put from being sent, remember what it would have sent, and let its answer be lost."""
    late.update(fenced.parameters[PUT])
    raise ReadTimeoutError(endpoint_url="http://moto")


def _die() -> None:
    raise Crash
