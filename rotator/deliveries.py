"""Deliveries in threads of their own: whatever a notifier does, nobody waits for it longer than was said."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from queue import Empty, Full, Queue, SimpleQueue
from typing import TYPE_CHECKING, Any

from rotator.bounded import started
from rotator.errors import Defect, NotDelivered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rotator.notices import Notice
    from rotator.notifier import Notifier
    from rotator.ports import Clock

DEADLINE_S = 10.0
"""Of one delivery. Slack and webhooks answer within a second, and a command that pages somebody within a few."""

ROUND_S = 40.0
"""Of all deliveries of one round; what was not reached by then is sent with the next one."""

QUEUED = 1000
"""Messages about rotations that wait for one notifier, some kilobyte each; what comes on top is counted and dropped."""

NO_THREAD = "the system allows no further thread"

PAUSES_S = (2.0, 15.0)
"""Between the tries of a message about a rotation. It may be lost: the store itself tells readers the same."""

Delivered = dict[tuple[str, str], NotDelivered | None]
"""By message id and notifier: None where it was taken, else why it was not."""


@dataclass(slots=True)
class Deliveries:
    """Delivers rounds of messages, to all notifiers at once, to each of them in order. For one thread.

    A thread that is not back in time is left behind, and its notifier is asked nothing more until it is: there is never
    more than one. These threads end with the process and hold no end of it up.
    """

    notifiers: Mapping[str, Notifier]
    clock: Clock
    _threads: dict[str, threading.Thread] = field(default_factory=dict)

    def round(self, messages: Mapping[str, Sequence[Notice]], *, within_s: float = ROUND_S) -> Delivered:
        """Deliver messages, by notifier, and return what became of each. Raises nothing.

        After its first failure a notifier gets no further message of the round.
        """
        answers: SimpleQueue[tuple[str, str, NotDelivered | None]] = SimpleQueue()
        ends_s = self.clock.monotonic_s() + within_s
        waiting = {(notice.id, name) for name, notices in messages.items() for notice in notices}
        results: Delivered = {}
        for name, notices in messages.items():
            thread = self._threads.get(name)
            if thread is not None and thread.is_alive():
                results |= {(one.id, name): _late(name, "it is still at an earlier message") for one in notices}
                continue
            work = threading.Thread(
                target=self._deliver, args=(name, notices, answers, ends_s), name=f"notify-{name}", daemon=True
            )
            if started(work):
                self._threads[name] = work
            else:
                results |= {(one.id, name): _late(name, NO_THREAD) for one in notices}
        waiting -= results.keys()
        while waiting:
            try:
                identifier, name, error = answers.get(timeout=max(0.0, ends_s - self.clock.monotonic_s()))
            except Empty:
                break
            results[identifier, name] = error
            waiting.discard((identifier, name))
        return results | {(one, name): _late(name, "no answer in time") for one, name in waiting}

    def _deliver(self, name: str, notices: Sequence[Notice], answers: SimpleQueue[Any], ends_s: float) -> None:
        failed: NotDelivered | None = None
        for notice in notices:
            left_s = min(DEADLINE_S, ends_s - self.clock.monotonic_s())
            if failed is None and left_s > 0:
                failed = delivered(self.notifiers[name], notice, left_s)
            elif failed is None:
                failed = _late(name, "no time is left")
            answers.put((notice.id, name, failed))


def delivered(notifier: Notifier, notice: Notice, deadline_s: float) -> NotDelivered | None:
    """Deliver one notice; return why it was not, whatever a notifier raises."""
    try:
        notifier.deliver(notice, deadline_s=deadline_s)
    except NotDelivered as error:
        return error
    except Exception as error:  # noqa: BLE001 - a defect in a plug-in must stop nothing
        defect = Defect.of(error)
        return NotDelivered(f"a notifier failed: {defect.message}", hint=defect.hint)
    return None


def _late(name: str, why: str) -> NotDelivered:
    return NotDelivered(f"notifier {name}: {why}", hint="it is tried again")


@dataclass(slots=True)
class Courier:
    """Sends messages about rotations to one notifier, in order, in a thread that ends with the process.

    Args:
        note: Called in that thread, or in that of `send`, with a short text and facts.
        lost: How many messages were not delivered.
    """

    name: str
    notifier: Notifier
    note: Callable[..., Any]
    lost: int = 0
    _queue: Queue[Notice | None] = field(default_factory=lambda: Queue(QUEUED))
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def send(self, notice: Notice) -> None:
        """Queue a message; never blocks. Where the queue is full it is dropped, counted and noted."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name=f"tell-{self.name}", daemon=True)
            if not started(thread):
                self._lose(notice, NO_THREAD)
                return
            self._thread = thread
        try:
            self._queue.put_nowait(notice)
        except Full:
            self._lose(notice, "it does not keep up")

    def close(self, clock: Clock, ends_s: float) -> None:
        """Deliver what waits, once each, until an instant of the monotonic clock; the rest is lost, and noted."""
        self._stopping.set()
        with contextlib.suppress(Full):  # then it is at work, and sees the wish itself
            self._queue.put_nowait(None)
        if self._thread is not None:
            self._thread.join(max(0.0, ends_s - clock.monotonic_s()))
        left = 0
        with contextlib.suppress(Empty):
            while True:
                left += self._queue.get_nowait() is not None
        if left:
            self.lost += left
            self.note("messages about rotations are lost: the process ends", notifier=self.name, messages=left)

    def _run(self) -> None:
        while not (self._stopping.is_set() and self._queue.empty()):
            notice = self._queue.get()
            if notice is None:
                return
            error = delivered(self.notifier, notice, DEADLINE_S)
            for pause_s in PAUSES_S:
                if error is None or self._stopping.wait(max(pause_s, min(error.retry_after_s, 60.0))):
                    break
                error = delivered(self.notifier, notice, DEADLINE_S)
            if error is not None:
                self._lose(notice, str(error))

    def _lose(self, notice: Notice, why: str) -> None:
        self.lost += 1
        if str(self.lost).strip("0") == "1":  # the first, the tenth, the hundredth: a full queue must not fill the log
            self.note(
                "a message about a rotation is lost",
                notifier=self.name,
                credential=notice.credential,
                problem=why,
                lost=self.lost,
            )
