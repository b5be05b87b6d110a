"""Fan-out over SQS: what the dispatcher sends, and what workers make of it, on emulators."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError

from rotator import aws_events, aws_fan_out
from rotator.aws_fan_out import Order, send
from rotator.errors import ConfigError, StoreError
from rotator.operations import Operations
from tests.integration.conftest import table
from tests.test_aws_events import Context, deployed, names, sandbox, seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rotator.testing.sandbox import SandboxServer

__all__ = ["deployed", "names", "sandbox", "table"]

FAN_OUT = {"detail": {"fan_out": True}}


class Queue:
    """A queue of moto's, read as Lambda's poller reads it."""

    def __init__(self, moto_url: str, name: str) -> None:
        self.client = boto3.client(
            "sqs", endpoint_url=moto_url, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y"
        )
        self.url = self.client.create_queue(QueueName=name)["QueueUrl"]

    def messages(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while batch := self.client.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            found += [{"messageId": one["MessageId"], "body": one["Body"]} for one in batch]
        return found


@pytest.fixture
def queue(
    moto_url: str, new_name: Callable[[str], str], deployed: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Queue]:
    made = Queue(moto_url, new_name("orders").replace("/", "-"))
    monkeypatch.setenv("ROTATOR_QUEUE_URL", made.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", moto_url)
    monkeypatch.setattr(aws_events, "_CLIENTS", {})
    yield made
    made.client.delete_queue(QueueUrl=made.url)


def test_what_is_due_is_sent_and_workers_rotate_it(deployed: SandboxServer, queue: Queue, names: list[str]) -> None:
    """The dispatcher sends no token request; two workers do the rest, and a second dispatch finds nothing."""
    seed(deployed, due=True)
    assert aws_events.handler(FAN_OUT, Context(300)) == {"sent": 2, "not_sent": [], "not_looked_at": 0, "problems": []}
    assert deployed.face("dailypay").report.requests == 0
    messages = queue.messages()
    assert sorted(json.loads(one["body"])["credential"] for one in messages) == sorted(names)
    for message in messages:
        assert aws_events.handler({"Records": [message]}, Context(300)) == {"batchItemFailures": []}
    assert deployed.face("dailypay").report.spent_twice == ()
    assert aws_events.handler({"horizon": 60, "fan_out": True}, Context(300))["sent"] == 0


def test_every_message_twice_and_in_any_order_is_one_rotation_each(deployed: SandboxServer, queue: Queue) -> None:
    """Standard queues deliver at least once, in any order."""
    seed(deployed, due=True)
    aws_events.handler(FAN_OUT, Context(300))
    messages = 2 * queue.messages()
    random.Random(4).shuffle(messages)
    for message in messages:
        assert aws_events.handler({"Records": [message]}, Context(300)) == {"batchItemFailures": []}
    report = deployed.face("dailypay").report
    assert (report.requests, report.spent_twice) == (2, ())


def test_a_worker_leaves_a_document_that_nobody_compared(
    deployed: SandboxServer, queue: Queue, names: list[str]
) -> None:
    """Somebody logged in since: the message is done with, nothing is sent, and the next schedule finds what is due."""
    seed(deployed, due=True)
    aws_events.handler(FAN_OUT, Context(300))
    messages = queue.messages()
    seed(deployed, due=True)
    assert aws_events.handler({"Records": messages}, Context(300)) == {"batchItemFailures": []}
    assert deployed.face("dailypay").report.requests == 0
    assert aws_events.handler(FAN_OUT, Context(300))["sent"] == 2


def test_two_that_share_a_grant_are_told_and_not_sent(deployed: SandboxServer, queue: Queue, names: list[str]) -> None:
    """A worker sees one of them only, so that the dispatcher has to tell."""
    seed(deployed, due=True)
    app = aws_events._app({})
    first, second = (app.credential(name) for name in names)
    fields = dict(app.stores["main"].read(first.secret).content.fields)  # type: ignore[union-attr]
    Operations(app).put(second, json.dumps(fields))
    report = aws_events.handler(FAN_OUT, Context(300))
    assert report["sent"] == 0
    assert sorted(problem.split(":")[0] for problem in report["problems"]) == sorted(names)
    assert queue.messages() == []


def test_two_that_share_a_grant_are_told_however_far_apart(
    deployed: SandboxServer, queue: Queue, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fleet is looked at in parts; what was found in one is compared with all of them."""
    monkeypatch.setattr(aws_fan_out, "TOGETHER", 1)
    test_two_that_share_a_grant_are_told_and_not_sent(deployed, queue, names)


def test_a_worker_reads_its_own_credentials_only(deployed: SandboxServer, queue: Queue, names: list[str]) -> None:
    """A batch of ten must not cost the reading of a fleet."""
    seed(deployed, due=True)
    aws_events.handler(FAN_OUT, Context(300))
    message = queue.messages()[0]
    store: Any = aws_events._app({}).stores["main"]
    read: list[str] = []
    real = store.read
    store.read = lambda secret: (read.append(secret), real(secret))[1]
    aws_events.handler({"Records": [message]}, Context(300))
    assert set(read) == {json.loads(message["body"])["credential"]}


def test_a_dispatcher_whose_time_runs_out_says_what_it_left(deployed: SandboxServer, queue: Queue) -> None:
    """What was not looked at is counted; the next schedule looks at it."""
    seed(deployed, due=True)
    report = aws_events.handler(FAN_OUT, Context(1))
    assert (report["sent"], report["not_looked_at"]) == (0, 2)


def test_a_fan_out_without_a_queue_says_so(deployed: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the event's own terms."""
    monkeypatch.delenv("ROTATOR_QUEUE_URL", raising=False)
    with pytest.raises(ConfigError, match="there is no queue"):
        aws_events.handler(FAN_OUT, Context(300))


def test_a_queue_that_does_not_exist_is_told(deployed: SandboxServer, queue: Queue) -> None:
    """Nothing was sent, and nothing rotated."""
    with pytest.raises(StoreError, match="the queue of ROTATOR_QUEUE_URL"):
        send(queue.client, queue.url + "-not-there", [Order("a", "1", "p")])


class HalfDeaf:
    """A queue that takes the first message of every call, and no other."""

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:  # noqa: N803 - boto3's
        return {"Successful": [{"Id": Entries[0]["Id"]}], "Failed": [{"Id": one["Id"]} for one in Entries[1:]]}


class LosesAnswers:
    """A queue whose first answer does not arrive."""

    def __init__(self) -> None:
        self.calls = 0

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:  # noqa: N803 - boto3's
        self.calls += 1
        if self.calls == 1:
            raise ReadTimeoutError(endpoint_url=QueueUrl)
        return {"Successful": [{"Id": one["Id"]} for one in Entries]}


def test_a_lost_answer_stops_no_later_message() -> None:
    """Ten may have been taken: they are named, not sent again, and the others go on."""
    found = [Order(f"c{number:02d}", "1", "p") for number in range(12)]
    assert send(LosesAnswers(), "", found) == (2, [f"c{number:02d}" for number in range(10)])


def test_messages_that_are_not_taken_are_named() -> None:
    """Ten at a time; of each call, those that failed are left for the next schedule."""
    found = [Order(f"c{number:02d}", "1", "p") for number in range(12)]
    assert send(HalfDeaf(), "", found) == (2, [f"c{number:02d}" for number in (*range(1, 10), 11)])


@pytest.mark.parametrize(
    "body", ["{", "{}", '{"credential": 1, "version": "v", "provider": "p"}', "[]", "", 100_000 * '{"a":']
)
def test_a_message_that_is_none_comes_back(deployed: SandboxServer, body: str) -> None:
    """It ends in the dead-letter queue; the rest of its batch is done."""
    answer = aws_events.handler({"Records": [{"messageId": "1", "body": body}]}, None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    assert deployed.face("dailypay").report.requests == 0


def test_a_message_reads_back() -> None:
    """A name alone is a message, too."""
    order = Order("payroll", "v1", "dailypay")
    assert Order.read(order.text()) == order
    assert Order.read(" payroll\n") == Order("payroll")
