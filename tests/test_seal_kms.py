"""The seal key that AWS KMS wraps, kept in the state."""

from __future__ import annotations

import base64
import json
import threading
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from rotator.errors import (
    ConfigError,
    StoreCorrupt,
    StoreUnavailable,
    StoreWriteInDoubt,
    VersionConflict,
)
from rotator.seal import key_from_kms
from rotator.testing.contracts import race, shown
from rotator.testing.memory import MemoryStateStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

KEY = bytes(range(32))
OTHER_KEY = bytes(32)
PLAIN = b"canary-refresh-token"


def encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


@pytest.fixture(scope="module")
def kms_endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def kms_client(endpoint: str, **config: Any) -> Any:
    return boto3.client(
        "kms",
        region_name="us-east-1",
        endpoint_url=endpoint,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=5, **config),
    )


@pytest.fixture
def kms(kms_endpoint: str) -> Any:
    return kms_client(kms_endpoint)


@pytest.fixture
def kms_key_id(kms: Any) -> str:
    key_id: str = kms.create_key()["KeyMetadata"]["KeyId"]
    return key_id


def test_a_kms_key_is_made_once_and_then_found(kms: Any, kms_key_id: str) -> None:
    """The first run makes a key, later runs and other replicas get the same, and the state holds no plain key."""
    state = MemoryStateStore()
    key = key_from_kms(kms, kms_key_id, state)
    assert len(key) == 32
    assert key_from_kms(kms, kms_key_id, state) == key
    body, revision = state.read(f"seal-key/{kms_key_id}")
    assert revision > 0
    assert encoded(key) not in json.dumps(body)
    assert key_from_kms(kms, kms_key_id, MemoryStateStore()) != key


def test_replicas_that_make_the_kms_key_at_once_get_one_key(kms: Any, kms_key_id: str) -> None:
    """Of many that find no key in the state one makes it, and all return it."""
    state = MemoryStateStore()
    keys, _ = race(lambda _: key_from_kms(kms, kms_key_id, state), threads=4)
    assert len(set(keys)) == 1


class LateState(MemoryStateStore):
    """A state in which somebody else is always first, or whose answer to the write is lost."""

    def __init__(self, winner: Mapping[str, Any] | None, error: Exception) -> None:
        super().__init__()
        self._winner, self._error = winner, error

    def compare_and_swap(self, key: str, body: Mapping[str, Any], *, expected: int) -> int:
        super().compare_and_swap(key, self._winner or body, expected=expected)
        raise self._error


def test_who_loses_the_race_takes_the_winners_key(kms: Any, kms_key_id: str) -> None:
    """After a conflict the key in the state is the one that counts."""
    first = MemoryStateStore()
    key = key_from_kms(kms, kms_key_id, first)
    winner, _ = first.read(f"seal-key/{kms_key_id}")
    assert key_from_kms(kms, kms_key_id, LateState(winner, VersionConflict("x", expected=0))) == key


def test_a_lost_answer_to_the_write_does_no_harm(kms: Any, kms_key_id: str) -> None:
    """When it is unknown whether the new key was stored, what the state holds is the key."""
    state = LateState(None, StoreWriteInDoubt("x"))
    key = key_from_kms(kms, kms_key_id, state)
    assert key_from_kms(kms, kms_key_id, state) == key


@pytest.mark.parametrize("body", [{}, {"wrapped": 1}, {"wrapped": "no base64!"}])
def test_a_damaged_entry_in_the_state_is_corrupt(kms: Any, kms_key_id: str, body: dict[str, Any]) -> None:
    """An entry without a wrapped key is StoreCorrupt, names itself, and is not replaced."""
    state = MemoryStateStore()
    state.compare_and_swap(f"seal-key/{kms_key_id}", body, expected=0)
    with pytest.raises(StoreCorrupt, match=f"seal-key/{kms_key_id}"):
        key_from_kms(kms, kms_key_id, state)
    assert state.read(f"seal-key/{kms_key_id}")[0] == body


def test_a_kms_key_that_does_not_exist_is_a_configuration_error(kms: Any) -> None:
    """An unknown key is a ConfigError that names it and KMS's answer, and nothing is stored."""
    state = MemoryStateStore()
    with pytest.raises(ConfigError, match=r"GenerateDataKey with key 0000.*NotFoundException"):
        key_from_kms(kms, "00000000-0000-4000-8000-000000000000", state)
    assert state.keys("") == []


def test_the_wrapped_key_opens_for_its_purpose_only(kms: Any, kms_key_id: str) -> None:
    """Without rotator's encryption context KMS does not unwrap the key, whoever asks."""
    state = MemoryStateStore()
    key = key_from_kms(kms, kms_key_id, state)
    body: Any = state.read(f"seal-key/{kms_key_id}")[0]
    wrapped = base64.b64decode(body["wrapped"])
    with pytest.raises(kms.exceptions.InvalidCiphertextException):
        kms.decrypt(CiphertextBlob=wrapped, KeyId=kms_key_id)
    assert kms.decrypt(CiphertextBlob=wrapped, EncryptionContext={"purpose": "rotator seal key"})["Plaintext"] == key


def test_kms_out_of_reach_is_unavailable(kms_endpoint: str) -> None:
    """When nobody answers at the endpoint it is StoreUnavailable: run again later."""
    with pytest.raises(StoreUnavailable, match="EndpointConnectionError"):
        key_from_kms(kms_client("http://127.0.0.1:9"), "k", MemoryStateStore())


def test_a_caller_without_credentials_is_a_configuration_error(
    kms_endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without AWS credentials it is a ConfigError that says so."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    client = boto3.Session().client("kms", region_name="us-east-1", endpoint_url=kms_endpoint)
    with pytest.raises(ConfigError, match="NoCredentialsError"):
        key_from_kms(client, "k", MemoryStateStore())


@pytest.fixture
def answering(request: pytest.FixtureRequest) -> Iterator[Callable[[int, dict[str, Any]], Any]]:
    """Serve one given answer to every request, as KMS words it."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    answer: tuple[int, dict[str, Any]] = (500, {})

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = answer
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def serve(status: int, body: dict[str, Any]) -> Any:
        nonlocal answer
        answer = (status, body)
        return kms_client(f"http://127.0.0.1:{server.server_port}")

    yield serve
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "AccessDeniedException", ConfigError),
        (400, "DisabledException", ConfigError),
        (400, "InvalidCiphertextException", ConfigError),
        (400, "ThrottlingException", StoreUnavailable),
        (500, "KMSInternalException", StoreUnavailable),
        (503, "SomethingNew", StoreUnavailable),
    ],
)
def test_the_answers_of_kms_are_told_apart(
    answering: Callable[[int, dict[str, Any]], Any], status: int, code: str, error: type[Exception]
) -> None:
    """A refusal is a ConfigError, an overload or a fault of KMS is StoreUnavailable; both name the code only."""
    client = answering(status, {"__type": code, "message": "canary text"})
    made = MemoryStateStore()
    made.compare_and_swap("seal-key/k", {"wrapped": encoded(b"wrapped")}, expected=0)
    for action, state in (("GenerateDataKey", MemoryStateStore()), ("Decrypt", made)):
        with pytest.raises(error, match=f"KMS {action} with key k: {code}") as caught:
            key_from_kms(client, "k", state)
        assert "canary" not in shown(caught.value)


def test_a_key_of_another_length_from_kms_is_refused(answering: Callable[[int, dict[str, Any]], Any]) -> None:
    """An unwrapped key that is not 32 bytes long is a ConfigError that says so."""
    client = answering(200, {"CiphertextBlob": encoded(b"wrapped"), "Plaintext": encoded(KEY[:16])})
    with pytest.raises(ConfigError, match="16 bytes long"):
        key_from_kms(client, "k", MemoryStateStore())
