"""Much output, provoked: every command at its most talkative, against everything that may fail.

What is asserted about secrets is asserted by the leak hunt, after each test: see `tests.leak_hunt`.
"""

from __future__ import annotations

import base64
import http.server
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from rotator import aws_session
from rotator.testing.sandbox import DEFAULT_CLIENT_ID, FAULT_KINDS
from rotator.testing.vault_double import VaultDouble
from tests.app import situations
from tests.app.stage import WAIT_S, poll
from tests.leak_forms import forms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.app.stage import Stage

AWS_ENV = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "canary-aws-secret-key",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
SEAL_KEY = base64.b64encode(b"canary-seal-key-of-32-bytes-long"[:32]).decode()
WIRE = ("botocore", "boto3", "urllib3", "requests", "hvac", "httpcore", "apscheduler")

COMMANDS = (
    ("check",),
    ("check", "--live"),
    ("once", "--dry-run"),
    ("once", "--json"),
    ("once", "--force"),
    ("status",),
    ("status", "--json"),
    ("explain", "alpha"),
    ("escrow", "list"),
    ("escrow", "list", "--json"),
    ("escrow", "replay"),
    ("resolve", "alpha", "--replay"),
    ("resolve", "alpha", "--discard"),
    ("resolve", "alpha", "--clear"),
)


def say_everything(stage: Stage) -> list[int]:
    """Run every command that spends nothing more than it has to, at debug level; return the codes."""
    codes = [stage.cli("--log-level", "debug", *command).code for command in COMMANDS]
    assert set(codes) <= {0, 1, 2, 75}
    return codes


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_no_fault_of_a_provider_brings_a_secret_out(stage: Stage, kind: str) -> None:
    """Whatever the provider does in the middle of a refresh, no command tells a secret of it."""
    stage.ready()
    stage.until_due()
    stage.face().fault(kind, delay_s=0.0)  # type: ignore[arg-type]

    say_everything(stage)

    assert stage.events


@pytest.mark.parametrize("situation", [situations.in_doubt, situations.latched, situations.waiting_in_escrow])
def test_no_state_brings_a_secret_out(stage: Stage, situation: Callable[[Stage], None]) -> None:
    """In doubt, latched, with a token set in escrow: no command tells a secret of it."""
    situation(stage)

    say_everything(stage)


class Echo(http.server.BaseHTTPRequestHandler):
    """An authorization server that quotes what it was sent, wherever a reply has room."""

    quoted = ""
    status = 400
    code = ""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        said = {"error": self.code or self.quoted, "error_description": f"bad: {self.quoted}.", "message": self.quoted}
        body = json.dumps(said).encode()
        self.send_response(self.status, "No")
        for name in ("WWW-Authenticate", "Location", "Retry-After", "Set-Cookie"):
            self.send_header(name, self.quoted)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep stderr for the command under test."""


@pytest.fixture
def echo() -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [200, 307, 400, 401, 429, 500])
@pytest.mark.parametrize("code", ["invalid_grant", "invalid_client", ""])
def test_a_provider_that_quotes_the_request_brings_no_secret_out(
    stage: Stage, echo: http.server.ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, status: int, code: str
) -> None:
    """An error that quotes the refresh token or the client secret, in whatever form, is told without it."""
    monkeypatch.setattr(Echo, "status", status)
    monkeypatch.setattr(Echo, "code", code)
    stage.provider("acme", token_endpoint=f"http://127.0.0.1:{echo.server_port}/token")
    stage.ready()
    quoted = [form for form in forms(stage.document()["refresh_token"]) if b"%" not in form]
    for form in quoted:
        monkeypatch.setattr(Echo, "quoted", form.decode())
        stage.cli("once", "--force")
        stage.cli("status")
        stage.cli("resolve", "alpha", "--clear")
        stage.cli("resolve", "alpha", "--discard")
        stage.advance(7200)


MALFORMED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no object": lambda tokens: [tokens],
    "cut": lambda tokens: json.dumps(tokens)[:-1],
    "the bare token": lambda tokens: tokens["refresh_token"],
    "expires_at is a token": lambda tokens: {**tokens, "expires_at": tokens["access_token"]},
    "expires_in is a token": lambda tokens: {**tokens, "expires_in": tokens["access_token"]},
    "token_type is a token": lambda tokens: {**tokens, "token_type": tokens["access_token"]},
    "scope is a token": lambda tokens: {**tokens, "scope": [tokens["access_token"]]},
    "client_id is an object": lambda tokens: {**tokens, "client_id": tokens},
    "tokens are lists": lambda tokens: {name: [text] for name, text in tokens.items()},
    "a token is a name": lambda tokens: {tokens["refresh_token"]: 1, tokens["access_token"]: 2},
    "a name twice": lambda tokens: json.dumps(tokens)[:-1] + ', "refresh_token": "canary-second"}',
    "a half of a surrogate pair": lambda tokens: {**tokens, "refresh_token": tokens["refresh_token"] + "\ud83d"},
    "line feeds": lambda tokens: {**tokens, "refresh_token": tokens["refresh_token"] + "\r\nX: y"},
    "too deep": lambda tokens: "[" * 100_000 + json.dumps(tokens),
    "a huge number": lambda tokens: json.dumps(tokens)[:-1] + ', "expires_in": ' + "9" * 5000 + "}",
}


@pytest.mark.parametrize("form", MALFORMED)
def test_a_malformed_document_brings_no_secret_out(stage: Stage, form: str) -> None:
    """A document that is not what it should be is told by what is wrong with it, not by its content."""
    stage.ready()
    answer = stage.folder / "answer.json"
    content = MALFORMED[form](stage.face().login(DEFAULT_CLIENT_ID))
    answer.write_text(content if isinstance(content, str) else json.dumps(content))
    put = stage.cli("--log-level", "debug", "put", "alpha", str(answer))
    say_everything(stage)
    if isinstance(content, dict):
        stage.write(**{str(name): value for name, value in content.items()})
        say_everything(stage)
    assert put.code in {0, 2}


# ---------------------------------------------------------------------------------------------------- processes


@pytest.fixture(params=["aws", "vault"])
def remote(
    real_stage: Stage, request: pytest.FixtureRequest, new_name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    """A machine whose documents lie in a remote store, one credential seeded."""
    stage = real_stage
    stage.env |= AWS_ENV | {"SEAL_KEY": SEAL_KEY}
    stage.config["seal"] = {"key_env": "SEAL_KEY"}
    monkeypatch.setattr(aws_session, "_SHARED", [])
    with VaultDouble() as vault:
        stage.env["VAULT_TOKEN"] = vault.root
        for name, text in stage.env.items():
            monkeypatch.setenv(name, text)
        stage.config["stores"]["main"] = (
            {"type": "aws-secrets-manager", "region": "us-east-1", "endpoint_url": request.getfixturevalue("moto_url")}
            if request.param == "aws"
            else {"type": "vault", "address": vault.address, "auth": {"method": "token"}}
        )
        stage.face().settings.lifetime_s = 6
        stage.ready(secret=new_name("talkative"))
        yield stage


def test_debug_level_keeps_the_libraries_quiet(remote: Stage) -> None:
    """`--log-level debug` is rotator's own: requests and answers of the SDKs appear in no line of the daemon's."""
    stage = remote
    process = stage.spawn("--log-level", "debug", "run")
    poll(lambda: "rotation.succeeded" in stage.event_names(), "a rotation", within_s=2 * WAIT_S)
    process.send_signal(signal.SIGHUP)
    rotated = stage.event_names().count("rotation.succeeded")
    poll(lambda: stage.event_names().count("rotation.succeeded") > rotated, "another", within_s=2 * WAIT_S)

    process.send_signal(signal.SIGTERM)
    ended = stage.ended(process)

    lines = [json.loads(line) for line in ended.err.splitlines()]
    assert ended.code == 0
    assert {line["event"] for line in lines} >= {"rotated"}
    talkers = {line["logger"] for line in lines if line["level"] in {"debug", "info"}}
    assert talkers == {"rotator"}


EMBEDDED = """
import logging, sys
logging.basicConfig(level=logging.DEBUG)
for name in sys.argv.pop(1).split(","):
    logging.getLogger(name).setLevel(logging.DEBUG)
from rotator.cli import main
main()
"""


@pytest.mark.parametrize("command", [("once", "--force"), ("check", "--live")], ids=" ".join)
def test_a_program_that_logs_everything_logs_no_secret(remote: Stage, command: tuple[str, ...]) -> None:
    """Even where whoever embeds rotator turns all loggers to DEBUG, no library's line holds a secret."""
    process = spawn_code(remote, EMBEDDED, ",".join(WIRE), "-c", str(remote.save()), *command)

    ended = remote.ended(process)

    assert ended.code == 0
    assert "DEBUG:" in ended.err
    assert "DEBUG:botocore" not in ended.err


def test_a_crash_in_a_request_dumps_no_secret(real_stage: Stage) -> None:
    """SIGABRT under faulthandler, while a refresh is under way, leaves the places on the stack and no values."""
    stage = real_stage
    stage.provider("acme", timeout="30s")
    stage.ready()
    go = threading.Event()
    held = stage.face().fault("delay_before_reply", delay_s=WAIT_S, until=go)
    code = "import faulthandler; faulthandler.enable(); from rotator.cli import main; main()"
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, limits[1]))  # a core dump is memory, and shows all of it
    try:
        process = spawn_code(stage, code, "-c", str(stage.save()), "once", "--force")
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, limits)
    poll(lambda: held.hits, "the request")

    process.send_signal(signal.SIGABRT)
    ended = stage.ended(process)
    go.set()

    assert ended.code == -signal.SIGABRT
    assert "token_endpoint.py" in ended.err
    assert "is at work on it" in stage.cli("status").out


def spawn_code(stage: Stage, code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a program that embeds rotator; the stage ends what is left of it."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **stage.env},
        cwd=stage.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    stage.processes.append(process)
    return process
