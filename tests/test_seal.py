"""The seal opens only what it sealed, and its key comes from where it should."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import stat
import threading
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from rotator.errors import (
    ConfigError,
    Problem,
    SealBroken,
    StoreCorrupt,
    StoreUnavailable,
    StoreWriteInDoubt,
    VersionConflict,
)
from rotator.seal import AesSeal, key_from_env, key_from_file, key_from_kms
from rotator.testing.contracts import race, shown
from rotator.testing.memory import MemoryStateStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

KEY = bytes(range(32))
OTHER_KEY = bytes(32)
PLAIN = b"canary-refresh-token"


def sealing(key: bytes = KEY) -> AesSeal:
    return AesSeal(lambda: key)


# ------------------------------------------------------------------------------------------------------- the seal


@pytest.mark.parametrize("plain", [PLAIN, b"", b"\x00\xff" * 50_000])
def test_what_was_sealed_opens(plain: bytes) -> None:
    """Another instance with the same key and context gets back the same bytes."""
    assert sealing().open(sealing().seal(plain, "secret:a"), "secret:a") == plain


def test_a_sealed_text_of_this_version_opens_for_ever() -> None:
    """A text sealed by this version's first release opens: the format and the derivation of the key do not change."""
    sealed = "AUG4Vaie98SA969gfPWLTETY7D8MwxF++ZIAQlg4j1ljJso8t7hsrVV6VBPMcJq2ow=="
    assert sealing().open(sealed, "secret:a") == PLAIN


def test_the_sealed_text_is_base64_and_hides_the_content() -> None:
    """Sealing gives ASCII base64 without the plain bytes, and never the same text twice."""
    first, second = (sealing().seal(PLAIN, "c") for _ in range(2))
    assert first != second
    raw = base64.b64decode(first, validate=True)
    assert raw[0] == 1
    assert len(raw) == 1 + 12 + len(PLAIN) + 16
    assert PLAIN not in raw


@pytest.mark.parametrize(("key", "context"), [(OTHER_KEY, "secret:a"), (KEY, "secret:b"), (KEY, "")])
def test_another_key_or_context_does_not_open(key: bytes, context: str) -> None:
    """With another key or under another context a text is SealBroken, and the error shows nothing of it."""
    sealed = sealing().seal(PLAIN, "secret:a")
    with pytest.raises(SealBroken) as caught:
        sealing(key).open(sealed, context)
    assert sealed not in shown(caught.value)
    assert PLAIN.decode() not in shown(caught.value)


def test_a_changed_text_does_not_open() -> None:
    """Every single changed byte, every cut and anything that is no base64 is SealBroken."""
    sealed = sealing().seal(PLAIN, "c")
    raw = base64.b64decode(sealed)
    changed = [raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] for at in range(len(raw))]
    cut = [raw[:length] for length in range(len(raw))]
    texts = [base64.b64encode(bytes_).decode() for bytes_ in changed + cut] + ["not base64!", sealed[:-1], sealed + "="]
    for text in texts:
        with pytest.raises(SealBroken):
            sealing().open(text, "c")


def test_the_audit_digest_is_keyed_and_short() -> None:
    """The digest is 16 hex digits that follow from key and text alone."""
    digest = sealing().audit_digest("token")
    assert digest == sealing().audit_digest("token") == "5d9f195de8642774"
    assert digest != sealing().audit_digest("token2")
    assert digest != sealing(OTHER_KEY).audit_digest("token")


def test_the_audit_digest_of_half_a_surrogate_pair_is_a_digest() -> None:
    """A text that UTF-8 cannot hold, which JSON can, has a digest and raises no error that would carry it."""
    assert len(sealing().audit_digest("token\ud83d")) == 16


def test_the_key_is_loaded_once_and_not_before_it_is_needed() -> None:
    """However many threads seal, the key is loaded at the first use and once."""
    loads: list[int] = []
    second = threading.Barrier(2)

    def load() -> bytes:
        loads.append(1)
        with contextlib.suppress(threading.BrokenBarrierError):
            second.wait(timeout=0.05)  # long enough for another thread to come here, if any can
        return KEY

    seal = AesSeal(load)
    assert loads == []
    race(lambda _: seal.open(seal.seal(PLAIN, "c"), "c"))
    assert len(loads) == 1


def test_a_failure_to_load_the_key_is_not_remembered() -> None:
    """When the key's source fails every verb raises its error; when it works again so does the seal."""
    broken = True

    def load() -> bytes:
        if broken:
            raise ConfigError([Problem("seal", "no key")])
        return KEY

    seal = AesSeal(load)
    for verb in (lambda: seal.seal(PLAIN, "c"), lambda: seal.open("", "c"), lambda: seal.audit_digest("t")):
        with pytest.raises(ConfigError, match="no key"):
            verb()
    broken = False
    assert seal.open(seal.seal(PLAIN, "c"), "c") == PLAIN


# ------------------------------------------------------------------------------------------- keys: env and file


def encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable's base64 is the key; white space around it does not matter."""
    monkeypatch.setenv("SEAL", f" {encoded(KEY)}\n")
    assert key_from_env("SEAL") == KEY


BAD_KEYS = {
    "no base64": "canary*key",
    "not ASCII": "canary-schlüssel",
    "too short": encoded(KEY[:16]),
    "too long": encoded(KEY * 2),
    "empty": "",
}


@pytest.mark.parametrize("text", BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_a_bad_key_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A variable without 32 bytes of base64 is a ConfigError that names it, says how to make one, and hides it."""
    monkeypatch.setenv("SEAL", text)
    with pytest.raises(ConfigError, match=r"variable SEAL .*\n.*openssl rand") as caught:
        key_from_env("SEAL")
    assert not text or text not in shown(caught.value)


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing variable is a ConfigError that names it."""
    monkeypatch.delenv("SEAL", raising=False)
    with pytest.raises(ConfigError, match="variable SEAL is not set"):
        key_from_env("SEAL")


def test_a_missing_key_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """At first use the file is made with mode 0600 in a folder with mode 0700, and from then on gives the same key."""
    path = tmp_path / "var" / "key"
    umask = os.umask(0)
    try:
        key = key_from_file(path)
    finally:
        os.umask(umask)
    assert len(key) == 32
    assert [stat.S_IMODE(p.stat().st_mode) for p in (path.parent, path)] == [0o700, 0o600]
    assert list(path.parent.iterdir()) == [path]
    assert key_from_file(path) == key_from_file(path, create=False) == key
    assert path.read_text() == encoded(key) + "\n"
    assert key_from_file(tmp_path / "other") != key


def test_a_missing_key_file_can_be_an_error(tmp_path: Path) -> None:
    """Without `create` a missing file is a ConfigError that names it, and nothing is made."""
    with pytest.raises(ConfigError, match="does not exist"):
        key_from_file(tmp_path / "key", create=False)
    assert list(tmp_path.iterdir()) == []


def test_all_who_make_the_key_file_at_once_get_one_key(tmp_path: Path) -> None:
    """Of many that find no file one makes the key, and all return it."""
    keys, _ = race(lambda _: key_from_file(tmp_path / "var" / "key"))
    assert len(set(keys)) == 1
    assert [file.name for file in (tmp_path / "var").iterdir()] == ["key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_key_file_that_others_can_open_is_refused(tmp_path: Path, mode: int) -> None:
    """A file with any permission for group or world is a ConfigError with the command that mends it."""
    path = tmp_path / "key"
    key_from_file(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"chmod 600 {path}"):
        key_from_file(path)


@pytest.mark.parametrize("text", BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_a_bad_key_in_a_file_is_named(tmp_path: Path, text: str) -> None:
    """A file without 32 bytes of base64 is a ConfigError that names it, hides the value, and is never replaced."""
    path = tmp_path / "key"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=str(path)) as caught:
        key_from_file(path)
    assert not text or text not in shown(caught.value)
    assert path.read_text(encoding="utf-8") == text


def test_a_place_where_no_key_file_can_be_is_named(tmp_path: Path) -> None:
    """A folder in the place of the file, or a file in the place of the folder, is a ConfigError with the path."""
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "key", tmp_path / "file" / "deeper" / "key"):
        with pytest.raises(ConfigError, match="cannot be read or created"):
            key_from_file(path)


# ------------------------------------------------------------------------------------------------------ key: KMS


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
    assert revision == 1
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
    assert state.read(f"seal-key/{kms_key_id}") == (body, 1)


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
