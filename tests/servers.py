"""The emulators of AWS that tests talk to over HTTP. As fixtures they are started once per test process."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOOPBACK = "127.0.0.1"
REGION = "us-east-1"
READY_WITHIN_S = 60.0
STATE_TABLE: Any = {
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
}
"""The schema of the DynamoDB state store's table."""


@pytest.fixture(scope="session")
def fake_session() -> boto3.Session:
    """A session with credentials of nobody, so that no test depends on, or uses, those of the machine."""
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="not-a-secret", region_name=REGION)


@pytest.fixture
def new_name() -> Callable[[str], str]:
    """Return names that no other test uses: the emulators live for the whole session."""
    return lambda prefix: f"{prefix}-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """The URL of a moto server: Secrets Manager, DynamoDB for one thread, KMS and SQS."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address=LOOPBACK, port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def ministack_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a ministack server: DynamoDB whose conditional writes let one writer win."""
    with ministack(tmp_path_factory.mktemp("ministack")) as url:
        yield url


def create_state_table(url: str, name: str) -> str:
    """Create a table as the DynamoDB state store wants it, and return its name."""
    client = boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="not-a-secret",
    )
    client.create_table(TableName=name, BillingMode="PAY_PER_REQUEST", **STATE_TABLE)
    client.close()
    return name


@contextlib.contextmanager
def moto(home: Path) -> Iterator[str]:
    """A moto server in a process of its own, where its work does not hold up the tests' threads; gives its URL."""
    port = _free_port()
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(home), "TMPDIR": str(home)}
    command = [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(port)]
    with _process(command, environment, home, f"http://{LOOPBACK}:{port}", "/moto-api/") as url:
        yield url


@contextlib.contextmanager
def ministack(home: Path) -> Iterator[str]:
    """A ministack server that knows DynamoDB only; gives its URL.

    It runs in a process of its own with an environment of its own. IOT_MTLS_ENABLED=0 always: its MQTT listener binds
    to all interfaces whatever BIND_HOST says.
    """
    port = _free_port()
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(home),
        "TMPDIR": str(home),
        "BIND_HOST": LOOPBACK,
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "SERVICES": "dynamodb",
        "LOG_LEVEL": "WARNING",
    }
    command = [sys.executable, "-m", "ministack"]
    with _process(command, environment, home, f"http://{LOOPBACK}:{port}", "/_ministack/health") as url:
        yield url


@contextlib.contextmanager
def _process(command: list[str], environment: dict[str, str], home: Path, url: str, health: str) -> Iterator[str]:
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=home)
    try:
        _wait_until_ready(process, url + health, home / "log")
        exposed = _listening_beyond_loopback(process.pid)
        assert not exposed, f"{command[2]} listens on {exposed}"
        yield url
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended: {log.read_text()}"
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise AssertionError(f"{url} is not ready after {READY_WITHIN_S} s: {log.read_text()}")


def _listening_beyond_loopback(pid: int) -> list[str]:
    """Return the addresses other than loopback on which a process listens, from Linux's /proc."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            target = descriptor.readlink().name
        except OSError:
            continue
        sockets.add(target.removeprefix("socket:[").removesuffix("]"))
    exposed = []
    for table, loopback in (("tcp", "0100007F"), ("tcp6", "00000000000000000000000001000000")):
        listing = Path(f"/proc/{pid}/net/{table}")
        for line in listing.read_text().splitlines()[1:] if listing.exists() else []:
            columns = line.split()
            address, state, inode = columns[1], columns[3], columns[9]
            if state == "0A" and inode in sockets and not address.startswith(f"{loopback}:"):
                exposed.append(address)
    return exposed
