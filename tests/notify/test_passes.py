"""A pass tells when it is done: once among all runs, within a bounded time, whatever its exit code is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from rotator import telling_passes
from rotator.case_ledger import CaseLedger
from rotator.errors import StoreUnavailable
from rotator.stores.local import LocalSecretStore
from rotator.testing.sandbox import DEFAULT_CLIENT_ID
from tests.app import situations
from tests.notify.daemons import HOOK_KEY, hook, messages

if TYPE_CHECKING:
    from tests.app.stage import Stage
    from tests.notify.receiver import Receiver

DIED = ("case.opened", "grant_dead", "alpha")


@pytest.fixture
def told(stage: Stage, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A stage whose passes tell the receiver."""
    monkeypatch.setenv("HOOK_KEY", HOOK_KEY)
    hook(stage, receiver)
    return stage


def dead(stage: Stage) -> None:
    stage.ready()
    stage.until_due()
    stage.face().revoke(1)


def test_passes_tell_once_again_after_a_day_and_when_it_is_over(told: Stage, receiver: Receiver) -> None:
    """A pass every quarter of an hour for a day and more: an opening, a reminder, an end."""
    dead(told)
    for _ in range(4 * 25):
        assert told.cli("once").code == 1
        told.advance(900)
    told.write(**told.face().login(DEFAULT_CLIENT_ID), issued_at=None, expires_at=None)
    assert told.cli("once").code == 0
    assert told.cli("once").code == 0
    assert [one for one in messages(receiver) if one[1] == "grant_dead"] == [
        DIED,
        ("case.reminder", "grant_dead", "alpha"),
        ("case.over", "grant_dead", "alpha"),
    ]


def test_a_notifier_that_fails_changes_no_exit_code(told: Stage, receiver: Receiver) -> None:
    """The pass ends as it would, with a warning on stderr; the next one tells."""
    dead(told)
    told.ready("beta")
    receiver.status = 500
    ended = told.cli("once", "--json")
    assert ended.code == 1
    assert [one["name"] for one in ended.json["failed"]] == ["alpha"]
    assert "rotator: warning: not told; it is tried again (notifier: hook, messages: 1, problem: " in ended.err
    assert "HTTP 500" in ended.err
    receiver.status = 200
    told.advance(60)
    told.cli("once")
    assert [one for one in messages(receiver) if one[1] == "grant_dead"] == [DIED, DIED]


def test_a_notifier_that_hangs_holds_the_end_up_for_seconds(
    told: Stage, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass whose receiver never answers ends within the time for telling, and says what was not told."""
    monkeypatch.setattr(
        telling_passes.PassTelling.finish, "__kwdefaults__", {"within_s": 1.5, "hurried": False, "last": True}
    )
    dead(told)
    receiver.hangs = True
    began = time.monotonic()
    ended = told.cli("once")
    assert time.monotonic() - began < 8
    assert ended.code == 1
    assert "warning: " in ended.err


def test_a_defect_in_the_telling_is_one_line(told: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a state that raises what its port does not name, a pass tells the kind: no traceback, and no other code."""

    def defect(*_: Any) -> None:
        raise ZeroDivisionError("detail-that-no-error-shows")

    dead(told)
    monkeypatch.setattr(CaseLedger, "change", defect)
    ended = told.cli("once")
    assert ended.code == 1
    assert "rotator: warning: open cases cannot be told now (problem: ZeroDivisionError)\n" in ended.err
    assert "Traceback" not in ended.err
    assert "detail-that-no-error-shows" not in ended.err


def test_readers_are_told_by_a_pass(told: Stage, receiver: Receiver) -> None:
    """Each rotation of a pass is told to whom `on_rotated` names, before the pass ends."""
    told.config["on_rotated"] = ["hook"]
    told.ready("alpha", "beta", "gamma")
    told.until_due("gamma")
    assert told.cli("once").code == 0
    assert sorted(messages(receiver)) == [("rotated", "", name) for name in ("alpha", "beta", "gamma")]


def test_a_dry_run_tells_nobody(told: Stage, receiver: Receiver) -> None:
    """Who only looks sends nothing and writes nothing."""
    dead(told)
    told.cli("once", "--dry-run")
    assert receiver.requests == []
    assert "notify/cases" not in told.records()


def test_without_notifiers_no_record_is_made(stage: Stage) -> None:
    """Nothing of it is read or written where nobody is told."""
    dead(stage)
    assert stage.cli("once").code == 1
    assert "notify/cases" not in stage.records()


def test_a_storm_is_told_in_few_messages(told: Stage, receiver: Receiver) -> None:
    """Thirty grants that die together are nine messages and a summary that counts and names the others."""
    names = [f"name-{number:02}" for number in range(30)]
    told.ready(*names)
    told.until_due(names[-1])
    for family in range(1, 31):
        told.face().revoke(family)
    told.cli("once")
    types = [one[0] for one in messages(receiver)]
    assert types == ["case.opened"] * 9 + ["cases.summary"]
    assert "its grant is dead: 21 (name-09, name-10, " in receiver.bodies[-1]
    told.cli("once")
    assert len(receiver.requests) == 10


def test_the_escrow_lists_no_case(told: Stage, receiver: Receiver) -> None:
    """The record of the cases is none of a secret's: `escrow list` and `escrow replay` pass it by."""
    told.config["escrow"] = {"type": "state"}
    dead(told)
    told.cli("once")
    assert "notify/cases" in told.records()
    assert told.cli("escrow", "list").out == ""
    assert told.cli("escrow", "replay").code == 0


def test_tokens_in_escrow_are_told_until_they_are_written(
    told: Stage, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for its store longer than a write back takes is a case, and over when it is written."""
    situations.waiting_in_escrow(told)
    told.advance(121)

    def away(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("store main: away")

    with monkeypatch.context() as patches:
        patches.setattr(LocalSecretStore, "compare_and_swap", away)
        told.cli("once")
    assert [one for one in messages(receiver) if one[1] == "escrow_waiting"] == [
        ("case.opened", "escrow_waiting", "alpha")
    ]
    assert told.cli("once", "--force").code == 0
    assert messages(receiver)[-1] == ("case.over", "escrow_waiting", "alpha")


def test_the_end_of_a_refresh_token_is_told_a_week_before(told: Stage, receiver: Receiver) -> None:
    """Of a grant that lives thirty days, by passes that keep its access token fresh all the time."""
    told.provider("acme", refresh_token_absolute="30d")
    told.ready()
    days: dict[int, tuple[str, str, str]] = {}
    for day in range(26):
        told.until_due()
        told.cli("once")
        for message in messages(receiver)[len(days) :]:
            days[day] = message
        told.advance(86_400)
    assert days == {
        day: (f"case.{'opened' if day == 23 else 'reminder'}", "refresh_token_ending", "alpha") for day in (23, 24, 25)
    }
