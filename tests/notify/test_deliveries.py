"""What becomes of a delivery: redirects, slow answers, commands that hang with their children, queues that fill."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rotator.clocks import SystemClock, SystemIds
from rotator.deliveries import QUEUED, Courier, Deliveries
from rotator.errors import NotDelivered
from rotator.notices import Notice
from rotator.notifiers.aws import subject_of
from rotator.notifiers.command import Command
from rotator.notifiers.posts import Poster
from rotator.notifiers.slack import Slack
from rotator.notifiers.webhook import Webhook, key_of
from rotator.redact import Secret
from rotator.told import Told
from tests.app.stage import poll

if TYPE_CHECKING:
    from tests.notify.receiver import Receiver

AT = datetime(2026, 1, 1, tzinfo=UTC)
DEAD = Notice("case-1.1", "case.opened", AT, "its grant is dead", kind="grant_dead", credential="alpha")


@dataclass
class Taker:
    """A notifier that takes everything."""

    closed: bool = False

    def deliver(self, notice: Notice, *, deadline_s: float) -> None:
        """Take it."""

    def close(self) -> None:
        self.closed = True


def slack(receiver: Receiver) -> Slack:
    return Slack(Poster("ops", lambda: Secret(receiver.url("/secret-place")), SystemClock(), SystemIds()))


def refused(notifier: Any, deadline_s: float = 10.0) -> NotDelivered:
    with pytest.raises(NotDelivered) as caught:
        notifier.deliver(DEAD, deadline_s=deadline_s)
    return caught.value


# ------------------------------------------------------------------------------------------------ over HTTP


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    """A message goes to the address that is configured, or nowhere."""
    receiver.status, receiver.headers = 307, {"Location": receiver.url("/elsewhere")}
    error = refused(slack(receiver))
    assert [one.path for one in receiver.requests] == ["/secret-place"]
    assert (error.message, error.hint) == (
        "notifier ops: HTTP 307",
        "no redirect is followed: name the address it leads to",
    )


def test_an_answer_byte_by_byte_is_not_waited_for(receiver: Receiver) -> None:
    """The deadline is for the whole answer."""
    receiver.trickles = True
    began = time.monotonic()
    error = refused(slack(receiver), deadline_s=1.0)
    assert time.monotonic() - began < 4
    assert "no reply could be read" in error.message


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_is_a_delivery(receiver: Receiver, status: int) -> None:
    """Receivers differ in what they say when they take something."""
    receiver.status = status
    slack(receiver).deliver(DEAD, deadline_s=10)
    assert len(receiver.requests) == 1


def test_retry_after_is_handed_on(receiver: Receiver) -> None:
    """A receiver that asks for a pause is left alone so long; one that only fails says nothing of a pause."""
    receiver.status, receiver.headers = 429, {"Retry-After": "77"}
    assert refused(slack(receiver)).retry_after_s == 77.0
    receiver.status, receiver.headers = 500, {}
    assert refused(slack(receiver)).retry_after_s == 0.0


def test_slack_gets_text_in_which_nothing_is_a_mention(receiver: Receiver) -> None:
    """The three characters of Slack's rule are escaped, in the name and in the provider's own words."""
    notice = replace(DEAD, credential="a&b", detail="<!channel> <https://evil.example|click> & more")
    slack(receiver).deliver(notice, deadline_s=10)
    [body] = receiver.bodies
    assert json.loads(body) == {
        "text": "*rotator: a&amp;b: its grant is dead*\n&lt;!channel&gt; &lt;https://evil.example|click&gt; &amp; more"
    }


def test_a_secret_that_cannot_be_read_is_not_delivered(tmp_path: Path) -> None:
    """A missing file of an address is said by its path, and is read anew with the next message."""
    from rotator.config.secret_sources import FileSource
    from rotator.config.sources import reader

    def never(store: str, secret: str) -> Any:
        raise AssertionError

    source = reader(FileSource(file=str(tmp_path / "url")), where="notifiers.ops.url", env={}, read_secret=never)
    error = refused(Slack(Poster("ops", source, SystemClock(), SystemIds())))
    assert f"the file {tmp_path / 'url'} cannot be read" in error.message


def test_an_address_that_is_none_is_not_quoted() -> None:
    """What stands in the place of an address may be another secret."""
    error = refused(Slack(Poster("ops", lambda: Secret("ftp://canary-secret"), SystemClock(), SystemIds())))
    assert error.message == "notifier ops: its url must begin with https://"


def test_a_webhook_key_is_base64_behind_its_prefix() -> None:
    """As Standard Webhooks writes keys; anything else is the key itself."""
    assert key_of("whsec_AQID") == b"\x01\x02\x03"
    assert key_of("whsec_not base64!") == b"whsec_not base64!"
    assert key_of("AQID") == b"AQID"


def test_each_try_of_a_webhook_is_signed_anew_under_one_id(receiver: Receiver) -> None:
    """The id stays for the receiver to know it by; the time is that of the try."""
    notifier = Webhook(
        Poster("hook", lambda: Secret(receiver.url()), SystemClock(), SystemIds()), lambda: Secret("key")
    )
    for _ in range(2):
        notifier.deliver(DEAD, deadline_s=10)
    assert {one.headers["webhook-id"] for one in receiver.requests} == {"case-1.1"}
    assert all(abs(int(one.headers["webhook-timestamp"]) - time.time()) < 60 for one in receiver.requests)


def test_an_sns_subject_is_what_sns_takes() -> None:
    """At most 100 characters of printable ASCII, whatever a credential is called."""
    subject = subject_of(replace(DEAD, credential="Zoë\n" + "x" * 200))
    assert len(subject) == 100
    assert subject.startswith("rotator: Zo??xxx")
    assert subject.isascii()
    assert subject.isprintable()


# ------------------------------------------------------------------------------------------------ commands

WITH_CHILD = """\
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_command_that_hangs_dies_with_its_children(tmp_path: Path) -> None:
    """At the deadline the whole process group is gone, and the error names the notifier and not the message."""
    file = tmp_path / "pid"
    error = refused(Command("pager", [sys.executable, "-c", WITH_CHILD, str(file)], os.environ), deadline_s=2.0)
    assert error.message == "notifier pager: still running after 2 s, and was killed"
    child = int(file.read_text())
    poll(lambda: not alive(child), "the child's end")


def test_closing_kills_what_runs(tmp_path: Path) -> None:
    """A command that is under way when the process ends does not outlive it."""
    file = tmp_path / "pid"
    command = Command("pager", [sys.executable, "-c", WITH_CHILD, str(file)], os.environ)
    errors: list[NotDelivered] = []
    thread = threading.Thread(target=lambda: errors.append(refused(command, 60.0)))
    thread.start()
    child = int(poll(lambda: file.exists() and file.read_text(), "its child"))
    command.close()
    thread.join(20)
    assert [error.message for error in errors] == ["notifier pager: exit code -9"]
    poll(lambda: not alive(child), "the child's end")


def test_a_command_gets_the_message_and_no_secret_of_ours(tmp_path: Path) -> None:
    """JSON on stdin, a few variables, and of the environment only what it needs or is named."""
    script = "import json, os, sys; json.dump([json.load(sys.stdin), dict(os.environ)], open(sys.argv[1], 'w'))"
    env = {**os.environ, "CLIENT_SECRET": "canary", "PAGER_TOKEN": "for-the-pager", "HOME": "/home/rotator"}
    file = tmp_path / "got"
    Command("pager", [sys.executable, "-c", script, str(file)], env, ["PAGER_TOKEN"]).deliver(DEAD, deadline_s=10)
    message, seen = json.loads(file.read_text())
    assert message == DEAD.body()
    assert (
        seen.items()
        >= {
            "ROTATOR_NOTICE_ID": "case-1.1",
            "ROTATOR_NOTICE_TYPE": "case.opened",
            "ROTATOR_NOTICE_KIND": "grant_dead",
            "ROTATOR_CREDENTIAL": "alpha",
            "PAGER_TOKEN": "for-the-pager",
            "HOME": "/home/rotator",
        }.items()
    )
    assert "CLIENT_SECRET" not in seen


def test_a_command_that_reads_nothing_is_a_delivery_by_its_exit_code() -> None:
    """Who needs no more than the variables may leave stdin alone, and print as much as it likes."""
    for script in ("pass", "print('x' * 10_000_000)"):
        Command("pager", [sys.executable, "-c", script], os.environ).deliver(DEAD, deadline_s=10)


# ------------------------------------------------------------------------------------------------ rounds and queues


@dataclass
class Scripted:
    """A plug-in's notifier, as bad as it may be."""

    error: Exception | None = None
    gate: threading.Event | None = None
    taken: list[str] = field(default_factory=list)

    def deliver(self, notice: Notice, *, deadline_s: float) -> None:
        if self.gate:
            self.gate.wait(60)
        if self.error:
            raise self.error
        self.taken.append(notice.id)

    def close(self) -> None:
        """Nothing is open."""


def notices(count: int) -> list[Notice]:
    return [replace(DEAD, id=f"n-{number}") for number in range(count)]


def test_a_notifier_that_ignores_its_deadline_is_left_behind() -> None:
    """The round ends in time, the others are told, and the one that hangs is asked nothing more while it does."""
    gate = threading.Event()
    stuck, well = Scripted(gate=gate), Scripted()
    deliveries = Deliveries({"stuck": stuck, "well": well}, SystemClock())
    began = time.monotonic()
    first = deliveries.round({"stuck": notices(2), "well": notices(2)}, within_s=0.5)
    second = deliveries.round({"stuck": notices(1)}, within_s=0.5)
    assert time.monotonic() - began < 3
    assert {key: error is None for key, error in first.items()} == {
        ("n-0", "stuck"): False,
        ("n-1", "stuck"): False,
        ("n-0", "well"): True,
        ("n-1", "well"): True,
    }
    assert str(second["n-0", "stuck"]).startswith("notifier stuck: it is still at an earlier message")
    gate.set()
    poll(lambda: stuck.taken, "its end")


def test_a_defect_in_a_notifier_is_a_failure_like_any_other() -> None:
    """Whatever a plug-in raises, its text is not shown, and what follows is not tried in this round."""
    bad = Scripted(error=ZeroDivisionError("canary text"))
    results = Deliveries({"bad": bad}, SystemClock()).round({"bad": notices(3)})
    assert len(results) == 3
    for error in results.values():
        assert error is not None
        assert "ZeroDivisionError" in error.message
        assert "canary" not in str(error)


def test_a_full_queue_drops_counts_and_blocks_nobody() -> None:
    """A notifier that hangs costs the sender no time; what has no room is counted, and said now and then."""
    gate = threading.Event()
    notes: list[tuple[str, dict[str, Any]]] = []
    stuck = Scripted(gate=gate)
    courier = Courier("hook", stuck, lambda text, **facts: notes.append((text, facts)))
    courier.send(notices(1)[0])
    poll(courier._queue.empty, "the first one under way")
    began = time.monotonic()
    for notice in notices(QUEUED + 150):
        courier.send(notice)
    assert time.monotonic() - began < 2
    assert courier.lost == 150
    assert [facts["lost"] for _, facts in notes] == [1, 10, 100]
    gate.set()
    courier.close(SystemClock(), SystemClock().monotonic_s() + 20)
    assert len(stuck.taken) == 1 + QUEUED
    assert courier.lost == 150


def test_what_waits_when_the_process_ends_is_counted_as_lost() -> None:
    """A courier whose notifier hangs is not waited for; how many messages that cost is said."""
    gate = threading.Event()
    notes: list[tuple[str, dict[str, Any]]] = []
    courier = Courier("hook", Scripted(gate=gate), lambda text, **facts: notes.append((text, facts)))
    for notice in notices(4):
        courier.send(notice)
    poll(lambda: courier._queue.qsize() == 3, "the first one under way")
    began = time.monotonic()
    courier.close(SystemClock(), SystemClock().monotonic_s() + 0.3)
    assert time.monotonic() - began < 3
    assert notes == [("messages about rotations are lost: the process ends", {"notifier": "hook", "messages": 3})]
    gate.set()


def test_a_thread_that_the_system_does_not_allow_loses_messages_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a container whose limit of processes is reached: told as lost, or tried again by a later round."""

    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    notes: list[str] = []
    courier = Courier("hook", Taker(), lambda text, **_: notes.append(text))
    deliveries = Deliveries({"hook": Taker()}, SystemClock())
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refused)
        courier.send(DEAD)
        assert all(deliveries.round({"hook": [DEAD]}).values())
    assert (courier.lost, notes) == (1, ["a message about a rotation is lost"])
    assert not any(deliveries.round({"hook": [DEAD]}).values())
    courier.send(DEAD)
    courier.close(SystemClock(), SystemClock().monotonic_s() + 10)
    assert courier.lost == 1


def test_a_notifier_that_cannot_be_closed_is_left() -> None:
    """A plug-in's defect at the end of a run changes nothing about it, and the others are closed."""

    class Bad(Taker):
        def close(self) -> None:
            raise OSError("no")

    good = Taker()
    Told({"bad": Bad(), "good": good}, (), (), {}).close()
    assert good.closed
