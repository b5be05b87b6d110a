"""The handler under Lambda's own runtime, with emulators of AWS behind it: what its events do, and how it fails."""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from rotator.testing.sandbox import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, SandboxServer, dailypay_face
from tests.deploy.lambda_runtime import Function, FunctionFailed, SandboxGone
from tests.integration.conftest import KEY, table
from tests.servers import REGION, moto

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["table"]

pytestmark = [pytest.mark.xdist_group("lambda"), pytest.mark.timeout(900)]

WINDOW_S = 3600
FEW = 3
MANY = 200
WORKERS = 3
KILLS = 12
COMES_AGAIN_S = 5.0
ALL_WITHIN_S = 700.0


@dataclass
class Cloud:
    """An account, a provider, and the environment of a function between them."""

    sandbox: SandboxServer
    secrets: Any
    queue: Any
    env: dict[str, str]
    folder: Path
    prefix: str
    functions: list[Function] = field(default_factory=list)

    def seed(self, count: int) -> list[str]:
        """Put credentials whose access tokens end in some minutes; return their names, which discovery finds."""
        names = [f"{self.prefix}-{number}" for number in range(count)]
        now = int(time.time())
        for name in names:
            tokens = self.sandbox.face("dailypay").login(DEFAULT_CLIENT_ID)
            document = {**tokens, "issued_at": now - 3000, "expires_at": now + 600}
            self.secrets.create_secret(Name=name, SecretString=json.dumps(document))
        return names

    def document(self, name: str) -> dict[str, Any]:
        return dict(json.loads(self.secrets.get_secret_value(SecretId=name, VersionStage="AWSCURRENT")["SecretString"]))

    def function(self, *, timeout_s: int = 60) -> Function:
        """Start one more sandbox of the function."""
        folder = self.folder / f"function-{len(self.functions)}"
        folder.mkdir()
        function = Function(folder, self.env, timeout_s=timeout_s)
        self.functions.append(function)
        function.start()
        return function

    def living(self, names: list[str]) -> list[str]:
        """Return those whose document holds the refresh token that the provider would take."""
        face = self.sandbox.face("dailypay")
        found = []
        for name in names:
            token = self.document(name)["refresh_token"]
            newest = face.live_refresh_token(face.family_of(token))
            if newest is not None and newest.reveal() == token:
                found.append(name)
        return found


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Moto in a process of its own: the functions ask it while the test's threads wait for them."""
    with moto(tmp_path_factory.mktemp("moto")) as url:
        yield url


@pytest.fixture
def cloud(
    account: str, ministack_url: str, table: str, new_name: Callable[[str], str], tmp_path: Path
) -> Iterator[Cloud]:
    """A fleet that is found by its prefix, at a provider that lets a spent token be presented again for an hour."""
    keys = {"region_name": REGION, "aws_access_key_id": "test", "aws_secret_access_key": "not-a-secret"}
    prefix = new_name("runtime")
    with SandboxServer([dailypay_face(grace_window_s=WINDOW_S)]) as sandbox:
        secrets, sqs = (boto3.client(name, endpoint_url=account, **keys) for name in ("secretsmanager", "sqs"))
        endpoint = sandbox.face("dailypay").token_endpoint
        env = {
            "ROTATOR_CONFIG_YAML": (
                f"version: 1\nstores: {{main: {{type: aws-secrets-manager, endpoint_url: '{account}',"
                " write_quota: {per_second: 1000, share: 1}}}\n"
                f"state: {{type: dynamodb, table: {table}, endpoint_url: '{ministack_url}'}}\n"
                "seal: {key_env: SEAL_KEY}\nworkers: 4\n"
                f"providers: {{dailypay: {{profile: dailypay, token_endpoint: '{endpoint}',"
                f" replay: {{window: {WINDOW_S}s}}}}}}\n"
                f"discover: [{{provider: dailypay, prefix: {prefix}, client_id: {DEFAULT_CLIENT_ID},"
                " client_secret: {env: CLIENT_SECRET}}]\n"
            ),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "not-a-secret",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL_SQS": account,
            "ROTATOR_QUEUE_URL": sqs.create_queue(QueueName=prefix)["QueueUrl"],
            "SEAL_KEY": KEY,
            "CLIENT_SECRET": DEFAULT_CLIENT_SECRET,
        }
        made = Cloud(sandbox, secrets, sqs, env, tmp_path, prefix)
        try:
            yield made
        finally:
            for function in made.functions:
                function.kill()


def test_a_schedule_rotates_what_is_due_and_reports_it(cloud: Cloud) -> None:
    """The second event finds nothing due; one sandbox answers both."""
    names = cloud.seed(FEW)
    function = cloud.function()
    report = function.invoke({"horizon": "20m"})
    assert sorted(one["name"] for one in report["rotated"]) == names
    assert function.invoke({"horizon": "5m"})["fresh"] == FEW
    assert cloud.sandbox.face("dailypay").report.requests == FEW
    assert cloud.living(names) == names


def test_a_function_about_to_end_reports_what_it_leaves(cloud: Cloud) -> None:
    """By its own remaining time: nothing is sent whose answer might come too late."""
    names = cloud.seed(FEW)
    report = cloud.function(timeout_s=20).invoke({"horizon": "20m"})
    assert sorted(one["name"] for one in report["deferred"]) == names
    assert {one["reason"] for one in report["deferred"]} == {"no_time_left"}
    assert cloud.sandbox.face("dailypay").report.requests == 0


def test_one_bad_message_among_ten_comes_back_alone(cloud: Cloud) -> None:
    """Lambda deletes the other nine."""
    names = cloud.seed(9)
    records = [{"messageId": str(number), "body": name} for number, name in enumerate([*names[:4], "{", *names[4:]])]
    assert cloud.function().invoke({"Records": records}) == {"batchItemFailures": [{"itemIdentifier": "4"}]}
    assert cloud.sandbox.face("dailypay").report.refreshes == len(names)


def test_the_four_steps_may_each_be_a_sandbox_of_its_own(cloud: Cloud) -> None:
    """As Lambda may have it; one of them is killed after its answer, another asked twice."""
    [name] = cloud.seed(1)
    before = cloud.document(name)["refresh_token"]
    token = str(uuid.uuid4())
    for step in ("createSecret", "createSecret", "setSecret", "testSecret", "finishSecret"):
        function = cloud.function()
        assert function.invoke({"Step": step, "SecretId": name, "ClientRequestToken": token}) == {}
        function.kill()
    assert cloud.document(name)["refresh_token"] != before
    assert cloud.sandbox.face("dailypay").report.refreshes == 1
    assert cloud.living([name]) == [name]


def test_a_step_that_is_killed_in_its_exchange_is_taken_up_by_the_next(cloud: Cloud) -> None:
    """The claim was written before; nobody else sends meanwhile, and the tokens are not lost."""
    [name] = cloud.seed(1)
    face = cloud.sandbox.face("dailypay")
    face.fault("delay_before_reply", delay_s=5.0)
    function = cloud.function()
    token = str(uuid.uuid4())
    event = {"Step": "createSecret", "SecretId": name, "ClientRequestToken": token}

    def killed() -> None:
        ends = time.monotonic() + 60
        while not face.report.requests and time.monotonic() < ends:
            time.sleep(0.01)
        function.kill()

    killer = threading.Thread(target=killed)
    killer.start()
    with pytest.raises(SandboxGone):
        function.invoke(event)
    killer.join()
    with pytest.raises(FunctionFailed) as raised:
        cloud.function().invoke(event)
    assert name in str(raised.value)
    assert face.report.requests == 1  # who was killed might still be at it: its claim is waited for


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ([], "event: is no JSON object"),
        ({"horizon": "soon"}, "event.horizon"),
        ({"names": "payroll"}, "event.names"),
        ({"names": ["nobody"]}, "nobody"),
        ({"Records": {}}, "event.Records"),
        ({"Step": "dropSecret", "SecretId": "x", "ClientRequestToken": "y" * 36}, "event.Step"),
        ({"Step": "createSecret", "SecretId": "nobody", "ClientRequestToken": "y" * 36}, "event.SecretId"),
    ],
)
def test_an_event_that_means_nothing_is_told_in_its_own_terms(cloud: Cloud, event: Any, told: str) -> None:
    """With no secret in what is told or logged, and nothing sent."""
    function = cloud.function()
    with pytest.raises(FunctionFailed) as raised:
        function.invoke(event)
    assert told in raised.value.told["errorMessage"]
    assert cloud.sandbox.face("dailypay").report.requests == 0
    assert DEFAULT_CLIENT_SECRET not in function.log.read_text()


@dataclass
class Poller:
    """Lambda's part between queue and workers: batches of ten in any order, and again what was not done.

    Args:
        messages: Each is there as often as it is delivered at least.
    """

    chance: random.Random
    messages: list[dict[str, str]]
    later: deque[tuple[float, dict[str, str]]] = field(default_factory=deque)
    under_way: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> list[dict[str, str]] | None:
        """Return a batch, empty while nothing is there yet; None when all is done."""
        with self.lock:
            while self.later and self.later[0][0] <= time.monotonic():
                self.messages.append(self.later.popleft()[1])
            if not (self.messages or self.later or self.under_way):
                return None
            self.chance.shuffle(self.messages)
            batch, self.messages = self.messages[:10], self.messages[10:]
            self.under_way += len(batch)
            return batch

    def done(self, batch: list[dict[str, str]], failed: set[str]) -> None:
        with self.lock:
            self.under_way -= len(batch)
            again_at = time.monotonic() + COMES_AGAIN_S
            self.later.extend((again_at, message) for message in batch if message["messageId"] in failed)


def test_messages_that_come_twice_to_workers_that_die_spend_nothing_twice_and_lose_nothing(cloud: Cloud) -> None:
    """200 of them from the dispatcher, delivered twice in any order to three workers, which are killed twelve times."""
    names = cloud.seed(MANY)
    face = cloud.sandbox.face("dailypay")
    face.fault("delay_before_reply", times=None, delay_s=0.2)  # so that some are killed in their exchange
    with cloud.function() as dispatcher:
        assert dispatcher.invoke({"fan_out": True, "horizon": "20m"})["sent"] == MANY
    messages = []
    while found := cloud.queue.receive_message(QueueUrl=cloud.env["ROTATOR_QUEUE_URL"], MaxNumberOfMessages=10).get(
        "Messages"
    ):
        messages += [{"messageId": one["MessageId"], "body": one["Body"]} for one in found]
    assert len(messages) == MANY
    chance = random.Random(5)
    poller = Poller(chance, messages * 2)
    workers = [cloud.function() for _ in range(WORKERS)]
    ends = time.monotonic() + ALL_WITHIN_S

    def work(worker: Function) -> None:
        while (batch := poller.take()) is not None and time.monotonic() < ends:
            if not batch:
                time.sleep(0.05)
                continue
            failed = {message["messageId"] for message in batch}
            try:
                answer = worker.invoke({"Records": batch})
                failed = {one["itemIdentifier"] for one in answer["batchItemFailures"]}
            except SandboxGone:
                worker.start()
            finally:
                poller.done(batch, failed)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for killing in range(KILLS):
        seen = face.report.requests + chance.randrange(2, 14)
        while face.report.requests < seen and any(thread.is_alive() for thread in threads):
            time.sleep(0.002)
        for worker in workers if killing % 3 == 0 else [chance.choice(workers)]:
            worker.kill()
    for thread in threads:
        thread.join()
    assert poller.take() is None
    report = face.report
    assert report.grace_replays >= 1  # some were killed between the provider's work and its answer
    assert (report.reuse_detections, report.families_revoked) == (0, 0)
    assert cloud.living(names) == names
    assert all(cloud.document(name)["expires_at"] > time.time() + 1800 for name in names)
