"""Tests that leak on purpose, one for each place and form, for `test_leak_hunt` to run. Collected by nobody else."""

from __future__ import annotations

import base64
import contextlib
import io
import logging
import os
import sqlite3
import subprocess
import sys
import tempfile
import warnings
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import pytest

from rotator import seal
from rotator.audit.sinks import JsonlFileSink
from rotator.audit.trail import AuditTrail
from rotator.clocks import SystemClock, SystemIds, this_actor
from rotator.errors import StoreDenied
from rotator.logs import configure_logging
from rotator.model import Credential, Provider
from rotator.redact import Secret
from rotator.testing.memory import MemoryAudit
from rotator.testing.provider import MemoryProvider
from rotator.testing.sandbox import DEFAULT_CLIENT_ID, SandboxServer
from rotator.testing.vault_double import VaultDouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECRET: Final = os.environ["PLANTED_SECRET"]
RAW: Final = SECRET.encode()

FORMS: Final = {
    "plain": SECRET,
    "percent-encoded": f"token={quote(SECRET, safe='')}".replace("-", "%2d"),
    "percent-encoded, all of it": "".join(f"%{byte:02X}" for byte in RAW),
    "base64": base64.b64encode(RAW).decode(),
    "base64, one byte further": base64.b64encode(b":" + RAW).decode(),
    "base64, two bytes further": base64.b64encode(b"u:" + RAW + b"?").decode(),
    "base64, for URLs": base64.urlsafe_b64encode(b"\xff\xff" + RAW).decode(),
    "hex": RAW.hex(),
    "hex, in capitals": RAW.hex().upper(),
}


def audited(sink: object, text: str) -> None:
    """Record an event that quotes the text."""
    provider = Provider(name="acme", profile="generic", token_endpoint="https://id.example/token")
    credential = Credential("alpha", provider, "main", "alpha")
    trail = AuditTrail([sink], SystemClock(), SystemIds(), this_actor("once"))  # type: ignore[list-item]
    trail.record("rotation.failed", credential, error=f"it says {text}")


def in_write_ahead_log(folder: Path, text: str) -> None:
    """Write into a database whose writer dies before it puts the log into the file."""
    connection = sqlite3.connect(folder / "secrets.db", isolation_level=None)
    connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE secret (plain TEXT)")
    connection.execute("INSERT INTO secret VALUES (?)", (text,))
    log = (folder / "secrets.db-wal").read_bytes()
    connection.close()
    (folder / "secrets.db").unlink()
    (folder / "secrets.db-wal").write_bytes(log)


def in_cause(text: str) -> None:
    """Raise an error whose cause quotes the text, as a traceback would show it."""
    try:
        raise ValueError(text)
    except ValueError as error:
        with pytest.raises(StoreDenied):
            raise StoreDenied("no") from error


def swallowed(text: str) -> None:
    """Make an error that nobody sees."""
    with contextlib.suppress(StoreDenied):
        raise StoreDenied("no", hint=text)


def raised(text: str) -> None:
    """Raise an error of a library's."""
    with pytest.raises(ValueError, match="cannot use"):
        raise ValueError(f"cannot use {text}")


def temporary(text: str) -> None:
    """Leave a temporary file."""
    handle, _ = tempfile.mkstemp()
    os.write(handle, text.encode())
    os.close(handle)


def read_line_by_line(text: str) -> None:
    """Read what a process says."""
    with subprocess.Popen(["sh", "-c", 'echo "$TOLD"'], env={"TOLD": text}, stdout=subprocess.PIPE, text=True) as told:
        assert told.stdout
        assert list(told.stdout)


PLACES: Final[dict[str, Callable[[Path, str], object]]] = {
    "stdout": lambda _, text: sys.stdout.write(text),
    "stderr": lambda _, text: sys.stderr.write(text),
    "log": lambda _, text: logging.getLogger("botocore").warning("sent %s", text),
    "log line": lambda _, text: configure_logging("info", io.StringIO()).info("odd", error=text),
    "audit": lambda folder, text: audited(JsonlFileSink(folder / "audit.jsonl"), text),
    "audit ": lambda _, text: audited(MemoryAudit(), text),
    "error": lambda _, text: swallowed(text),
    "exception": lambda _, text: raised(text),
    "exception ": lambda _, text: in_cause(text),
    "arguments": lambda _, text: subprocess.run(["true", text], check=True),
    "output of a process": lambda _, text: subprocess.run(["echo", text], check=True, capture_output=True),
    "output of a process ": lambda _, text: read_line_by_line(text),
    "file core.17": lambda folder, text: (folder / "core.17").write_bytes(b"\0" * 9000 + text.encode() + b"\xff"),
    "file secrets.db-wal": in_write_ahead_log,
    "file tmp*": lambda _, text: temporary(text),
    "name ": lambda folder, text: (folder / f".{text.replace('/', '_')[:99]}.lock").touch(),
}


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Give the root its handlers back."""
    root = logging.getLogger()
    before = root.handlers[:]
    yield
    root.handlers[:] = before


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", PLACES)
def test_leaks(tmp_path: Path, place: str, form: str) -> None:
    """A secret comes out here."""
    PLACES[place](tmp_path, FORMS[form])


def test_leaks_by_capsys(capsys: pytest.CaptureFixture[str]) -> None:
    """A test that reads its own output leaves nothing for pytest to capture."""
    sys.stdout.write(SECRET)
    capsys.readouterr()


def test_leaks_as_title() -> None:
    """A process puts a secret into its name."""
    code = "open('/proc/self/comm', 'w').write(input()); print('done', flush=True); input()"
    command = [sys.executable, "-S", "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{SECRET[:15]}\n")
        process.stdin.flush()
        process.stdout.readline()
        process.terminate()


def test_leaks_what_is_wrapped() -> None:
    """Whatever is a Secret is looked for, marked or not."""
    sys.stdout.write(Secret("Zq81-unmarked-client-secret").reveal())


def test_leaks_a_part_of_what_is_wrapped() -> None:
    """Two thirds of a long secret are the secret."""
    text = Secret("a0b1c2d3e4f5g6h7i8j9k0l1m2n3o4p5q6r7s8t9").reveal()
    sys.stdout.write(text[4:34])


def test_leaks_what_stands_in_a_reply() -> None:
    """Of a reply the token is the secret, and not the frame."""
    Secret('{"access_token": "8f7e6d5c4b3a29181706f5e4d3c2b1a0", "expires_in": 3600}')
    sys.stdout.write("8f7e6d5c4b3a29181706f5e4d3c2b1a0")


def test_leaks_a_seal_key(tmp_path: Path) -> None:
    """A key of the seal is looked for although it is bytes."""
    (tmp_path / "s.key").touch()
    (tmp_path / "s.key").unlink()
    key = seal.key_from_file(tmp_path / "s.key")
    sys.stdout.write(base64.b64encode(key).decode())


def test_leaks_tokens_of_the_sandbox() -> None:
    """The sandbox's tokens are known by their beginning."""
    with SandboxServer() as server:
        sys.stdout.write(str(server.face("auth0").login(DEFAULT_CLIENT_ID)["access_token"]))


def test_leaks_tokens_of_the_vault_double() -> None:
    """The Vault double's tokens are known by their beginning."""
    with VaultDouble() as vault:
        sys.stdout.write(vault.root)


def test_leaks_tokens_of_the_provider_in_memory() -> None:
    """Its tokens are short, and found as a word of their own."""
    sys.stdout.write(f"presented {MemoryProvider(SystemClock()).login()['refresh_token']}")


def test_warns() -> None:
    """A warning is recorded when its test is over: the session fails."""
    warnings.warn(SECRET, stacklevel=1)


def test_leaves_a_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A folder that no single test owns is looked at in the end: the session fails."""
    (tmp_path_factory.mktemp("shared") / "left").write_text(SECRET)


def test_is_clean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Secrets that stay where they belong are no leak: in the environment, masked, sealed, on stdin."""
    secret = Secret(SECRET)
    print(secret, repr(secret))  # noqa: T201 - a mask
    configure_logging("debug").info("odd", token=secret)
    audited(JsonlFileSink(tmp_path / "audit.jsonl"), str(secret))
    sealing = seal.AesSeal(lambda: seal.key_from_file(tmp_path / "s.key"))
    (tmp_path / "sealed").write_text(sealing.seal(RAW, "test"))
    subprocess.run(["sh", "-c", "read -r x"], env={"TOKEN": SECRET}, input=RAW + b"\n", check=True)
    assert "***" in capsys.readouterr().out
