"""All five notifiers under the shipped contract: over HTTP, against moto, as a process."""

from __future__ import annotations

import abc
import json
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from rotator import aws_session
from rotator.clocks import SystemClock, SystemIds
from rotator.notifiers.aws import ANSWER_S, EventBridge, Sns
from rotator.notifiers.command import Command
from rotator.notifiers.posts import Poster
from rotator.notifiers.slack import Slack
from rotator.notifiers.webhook import Webhook
from rotator.redact import Secret
from rotator.testing.contracts import NotifierContract, NotifierHarness
from tests.notify.receiver import Receiver, closed_port, silent_port
from tests.servers import REGION, fake_session, moto_url, new_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import boto3

    from rotator.notifier import Notifier


__all__ = ["fake_session", "moto_url", "new_name"]

PATH = "/services/T0CANARY/B0CANARY/secret-part-of-the-address"
KEY = "whsec_" + "Y2FuYXJ5LXNpZ25pbmcta2V5LW9mLTMyLWJ5dGVzISE="


class OverHttp(NotifierHarness):
    secrets = (PATH, "secret-part-of-the-address", KEY)

    def __init__(self, receiver: Receiver, make: Callable[[Poster], Notifier]) -> None:
        self.receiver = receiver
        self.make = make
        self.notifier = self.leading_to(receiver.url(PATH))

    def leading_to(self, url: str) -> Notifier:
        return self.make(Poster("ops", lambda: Secret(url), SystemClock(), SystemIds()))

    def received(self) -> list[str]:
        return self.receiver.bodies

    def refusing(self) -> Notifier:
        self.receiver.status = 403
        return self.notifier

    def hanging(self) -> Notifier:
        self.receiver.hangs = True
        return self.notifier

    def unreachable(self) -> Notifier:
        return self.leading_to(f"http://127.0.0.1:{closed_port()}{PATH}")


class TestWebhook(NotifierContract):
    @pytest.fixture
    def harness(self, receiver: Receiver) -> OverHttp:
        return OverHttp(receiver, lambda poster: Webhook(poster, lambda: Secret(KEY)))


class TestSlack(NotifierContract):
    @pytest.fixture
    def harness(self, receiver: Receiver) -> OverHttp:
        return OverHttp(receiver, Slack)


SCRIPT = """\
import pathlib, sys, uuid
text = sys.stdin.read()
pathlib.Path(sys.argv[1], uuid.uuid4().hex).write_text(text)
"""


class AsProcess(NotifierHarness):
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notifier = self.running("-c", SCRIPT, str(folder))

    def running(self, *arguments: str) -> Command:
        return Command("pager", [sys.executable, *arguments], os.environ)

    def received(self) -> list[str]:
        return [path.read_text() for path in self.folder.iterdir()]

    def refusing(self) -> Notifier:
        return self.running("-c", "import sys; sys.stdin.read(); sys.exit(3)")

    def hanging(self) -> Notifier:
        return self.running("-c", "import time; time.sleep(60)")

    def unreachable(self) -> Notifier:
        return Command("pager", [str(self.folder / "no-such-program")], os.environ)


class TestCommand(NotifierContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> AsProcess:
        (tmp_path / "got").mkdir()
        return AsProcess(tmp_path / "got")


class OnAws(NotifierHarness):
    """Messages are read from an SQS queue behind the topic or the bus."""

    hangs_s = 10.0

    def __init__(self, session: boto3.Session, url: str, name: str, silent: int, refusing: Receiver) -> None:
        self.session, self.silent, self.name, self.refuses = session, silent, name, refusing
        self.sqs: Any = session.client("sqs", endpoint_url=url)
        self.queue = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        self.queue_arn = f"arn:aws:sqs:{REGION}:123456789012:{name}"
        self.url = url
        self.notifier = self.prepared()

    def client(self, service: Any, url: str) -> Any:
        return aws_session.client(service, endpoint_url=url, session=self.session, answer_s=ANSWER_S)

    @abc.abstractmethod
    def prepared(self) -> Notifier:
        """Make the topic or the bus, subscribe the queue to it, and return a notifier of it."""

    @abc.abstractmethod
    def leading_to(self, url: str) -> Notifier:
        """Return a notifier of what was prepared, with a service at `url`."""

    def received(self) -> list[str]:
        found: dict[str, str] = {}
        for _ in range(20):
            answer = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10, VisibilityTimeout=0)
            found |= {one["MessageId"]: one["Body"] for one in answer.get("Messages", ())}
        return list(found.values())

    def hanging(self) -> Notifier:
        return self.leading_to(f"http://127.0.0.1:{self.silent}")

    def unreachable(self) -> Notifier:
        return self.leading_to(f"http://127.0.0.1:{closed_port()}")


class OnSns(OnAws):
    def prepared(self) -> Notifier:
        sns = self.session.client("sns", endpoint_url=self.url)
        self.arn = sns.create_topic(Name=self.name)["TopicArn"]
        sns.subscribe(TopicArn=self.arn, Protocol="sqs", Endpoint=self.queue_arn)
        return self.leading_to(self.url)

    def leading_to(self, url: str) -> Notifier:
        return Sns("topic", partial(self.client, "sns", url), self.arn)

    def refusing(self) -> Notifier:
        return Sns("topic", partial(self.client, "sns", self.url), f"{self.arn}-of-nobody")


class TestSns(NotifierContract):
    @pytest.fixture
    def harness(
        self, fake_session: boto3.Session, moto_url: str, new_name: Callable[[str], str], receiver: Receiver
    ) -> Iterator[OnSns]:
        with silent_port() as port:
            yield OnSns(fake_session, moto_url, new_name("topic"), port, receiver)


class OnEventBridge(OnAws):
    def prepared(self) -> Notifier:
        events = self.session.client("events", endpoint_url=self.url)
        events.create_event_bus(Name=self.name)
        events.put_rule(Name=self.name, EventBusName=self.name, EventPattern=json.dumps({"source": ["rotator"]}))
        events.put_targets(Rule=self.name, EventBusName=self.name, Targets=[{"Id": "1", "Arn": self.queue_arn}])
        return self.leading_to(self.url)

    def leading_to(self, url: str) -> Notifier:
        return EventBridge("bus", partial(self.client, "events", url), self.name)

    def refusing(self) -> Notifier:
        # moto takes every event. The real service answers 200 all the same, and says in it that an entry failed.
        entry = {"ErrorCode": "AccessDeniedException", "ErrorMessage": "detail-that-no-error-shows"}
        self.refuses.answer = json.dumps({"FailedEntryCount": 1, "Entries": [entry]})
        return self.leading_to(self.refuses.url(""))


class TestEventBridge(NotifierContract):
    @pytest.fixture
    def harness(
        self, fake_session: boto3.Session, moto_url: str, new_name: Callable[[str], str], receiver: Receiver
    ) -> Iterator[OnEventBridge]:
        with silent_port() as port:
            yield OnEventBridge(fake_session, moto_url, new_name("bus"), port, receiver)
