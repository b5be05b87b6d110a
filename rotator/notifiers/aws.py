"""Amazon SNS and Amazon EventBridge."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from rotator.errors import NotDelivered, RotatorError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.notices import Notice

LONGEST_SUBJECT = 100
"""Of a message to SNS: ASCII, at most so many characters, no line breaks (API reference, Publish)."""

SOURCE = "rotator"

ANSWER_S = 4.5
"""For a whole answer; connecting has its own five seconds. Together they stay below what a delivery may take."""


class AwsNotifier:
    """What both share: a client that is made on first use and sends once, within bounds of its own.

    Args:
        make: Returns the client; its answers take ANSWER_S at most.
    """

    def __init__(self, name: str, make: Callable[[], Any]) -> None:
        self._name = name
        self._make = make
        self._client: Any = None
        self._closed = False
        self._lock = threading.Lock()

    def close(self) -> None:
        """See `Notifier.close`."""
        self._closed = True

    def _call(self, what: str, call: Callable[[Any], Any]) -> Any:
        if self._closed:
            raise NotDelivered(f"notifier {self._name}: closed")
        from rotator.aws_errors import AWS_ERRORS, Subject, mapped  # noqa: PLC0415 - botocore, with the first message

        try:
            with self._lock:
                if self._client is None:
                    self._client = self._make()
            return call(self._client)
        except AWS_ERRORS as error:
            told = mapped(error, Subject(what), "write")
            raise NotDelivered(f"notifier {self._name}: {told.message}", hint=told.hint) from None
        except RotatorError as error:  # no library, no region
            raise NotDelivered(f"notifier {self._name}: {error.message}", hint=error.hint) from None


class Sns(AwsNotifier):
    """`notifier.Notifier`: publishes the notice's JSON; `type`, `kind` and `credential` are attributes to filter by."""

    def __init__(self, name: str, make: Callable[[], Any], topic_arn: str) -> None:
        super().__init__(name, make)
        self._topic_arn = topic_arn

    def deliver(self, notice: Notice, *, deadline_s: float) -> None:  # noqa: ARG002 - see the class
        """See `Notifier.deliver`."""
        facts = {"type": notice.type, "kind": notice.kind or "", "credential": notice.credential}
        # A FIFO topic wants a group, and finds repetitions by the id itself.
        fifo = {"MessageGroupId": notice.credential or SOURCE, "MessageDeduplicationId": notice.id}
        answer = self._call(
            f"SNS topic {self._topic_arn}",
            lambda client: client.publish(
                TopicArn=self._topic_arn,
                Subject=subject_of(notice),
                Message=notice.json(),
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value} for name, value in facts.items() if value
                },
                **(fifo if self._topic_arn.endswith(".fifo") else {}),
            ),
        )
        if not answer.get("MessageId"):
            raise NotDelivered(f"notifier {self._name}: the answer is of another service", hint="check endpoint_url")


class EventBridge(AwsNotifier):
    """`notifier.Notifier`: puts one event; its source is `rotator`, its detail type the notice's."""

    def __init__(self, name: str, make: Callable[[], Any], bus: str) -> None:
        super().__init__(name, make)
        self._bus = bus

    def deliver(self, notice: Notice, *, deadline_s: float) -> None:  # noqa: ARG002 - see the class
        """See `Notifier.deliver`."""
        entry = {
            "EventBusName": self._bus,
            "Source": SOURCE,
            "DetailType": notice.type,
            "Detail": notice.json(),
            "Time": notice.at,
        }
        answer = self._call(f"event bus {self._bus}", lambda client: client.put_events(Entries=[entry]))
        entries = answer.get("Entries") or [{}]
        if answer.get("FailedEntryCount") or not entries[0].get("EventId"):
            code = str(entries[0].get("ErrorCode") or "the answer is of another service")
            shown = code if code.isascii() and code.isprintable() else "an unknown error"
            raise NotDelivered(
                f"notifier {self._name}: not taken: {shown[:80]}", hint="check the bus and events:PutEvents"
            )


def subject_of(notice: Notice) -> str:
    """Return the title as SNS takes it."""
    text = "".join(one if one.isascii() and one.isprintable() else "?" for one in f"rotator: {notice.title}")
    return text if len(text) <= LONGEST_SUBJECT else f"{text[: LONGEST_SUBJECT - 3]}..."
