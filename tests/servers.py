"""The emulators of AWS that tests talk to over HTTP. Started once per test process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOOPBACK = "127.0.0.1"
REGION = "us-east-1"
READY_WITHIN_S = 60.0


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
    """The URL of a ministack server: DynamoDB whose conditional writes let one writer win.

    It runs in a process of its own with an environment of its own. IOT_MTLS_ENABLED=0 always: its MQTT listener binds
    to all interfaces whatever BIND_HOST says.
    """
    home = tmp_path_factory.mktemp("ministack")
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
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"], env=environment, stdout=log, stderr=log, cwd=home
        )
    try:
        url = f"http://{LOOPBACK}:{port}"
        _wait_until_ready(process, url, home / "log")
        exposed = _listening_beyond_loopback(process.pid)
        assert not exposed, f"ministack listens on {exposed}"
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
        assert process.poll() is None, f"ministack ended: {log.read_text()}"
        try:
            with urllib.request.urlopen(f"{url}/_ministack/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    pytest.fail(f"ministack is not ready after {READY_WITHIN_S} s: {log.read_text()}")


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
