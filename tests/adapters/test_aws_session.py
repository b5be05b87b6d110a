"""Clients are made once per process, with bounded waits, and say what is wrong with the configuration."""

from __future__ import annotations

import logging
import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import boto3
import pytest
import trustme
from botocore.exceptions import ClientError

from rotator import __version__, aws_session
from rotator.aws_errors import AWS_ERRORS, Subject, mapped
from rotator.errors import StoreDenied, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_waits_are_bounded_and_nothing_is_repeated(fake_session: boto3.Session) -> None:
    """A client waits 5 s for a connection and 10 s for an answer, sends once, and has a connection per worker."""
    config = aws_session.client("kms", session=fake_session, workers=40).meta.config
    assert (config.connect_timeout, config.read_timeout, config.max_pool_connections) == (5.0, 10.0, 40)
    assert config.retries["total_max_attempts"] == 1


def test_the_environment_cannot_bring_retries_back(
    fake_session: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS_MAX_ATTEMPTS does not make botocore send a write twice."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "9")
    assert aws_session.client("kms", session=fake_session).meta.config.retries["total_max_attempts"] == 1


def test_many_threads_share_one_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients made by many threads at once come from one session."""
    made: list[boto3.Session] = []
    monkeypatch.setattr(aws_session, "_SHARED", made)
    together = threading.Barrier(4)

    def make() -> None:
        together.wait(timeout=30)
        aws_session.client("kms", region="us-east-1")

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(made) == 1


def test_a_missing_region_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a region anywhere the hint says to set one."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(StoreDenied, match="`region`"):
        aws_session.client("dynamodb", session=boto3.Session())


def test_an_unknown_profile_is_denied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """AWS_PROFILE with a name that is in no file is StoreDenied, not a traceback of botocore."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setattr(aws_session, "_SHARED", [])
    with pytest.raises(StoreDenied, match="ProfileNotFound"):
        aws_session.client("dynamodb", region="us-east-1")


def test_a_malformed_endpoint_is_named(fake_session: boto3.Session) -> None:
    """An endpoint_url that is no URL is StoreDenied and quoted."""
    with pytest.raises(StoreDenied, match="endpoint_url localhost is malformed"):
        aws_session.client("dynamodb", endpoint_url="localhost", session=fake_session)


@pytest.mark.parametrize(
    ("before", "after"),
    [(logging.NOTSET, logging.WARNING), (logging.DEBUG, logging.WARNING), (logging.ERROR, logging.ERROR)],
)
def test_debug_lines_of_botocore_are_off(
    fake_session: boto3.Session, monkeypatch: pytest.MonkeyPatch, before: int, after: int
) -> None:
    """Debug lines of botocore, which hold requests, stay off; a level that somebody set above them stays."""
    logger = logging.getLogger("botocore")
    monkeypatch.setattr(logger, "level", before)
    logging.Logger.manager._clear_cache()  # type: ignore[attr-defined]
    aws_session.client("kms", session=fake_session)
    assert logger.level == after


@pytest.fixture
def untrusted_url() -> Iterator[str]:
    """An HTTPS server whose certificate nobody trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler, bind_and_activate=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_untrusted_certificate_is_surely_not_applied(fake_session: boto3.Session, untrusted_url: str) -> None:
    """A handshake that fails on the certificate sent nothing, so it leaves no doubt; the hint names the CA."""
    client = aws_session.client("secretsmanager", endpoint_url=untrusted_url, session=fake_session)
    with pytest.raises(AWS_ERRORS) as caught:
        client.get_secret_value(SecretId="oauth/a")
    assert not isinstance(caught.value, ClientError)
    error = mapped(caught.value, Subject("x"), "write")
    assert type(error) is StoreUnavailable
    assert "AWS_CA_BUNDLE" in error.hint


def test_requests_name_rotator(fake_session: boto3.Session) -> None:
    """CloudTrail and AWS's support see which program calls, and which SDK it calls with."""
    agent = aws_session.client("kms", session=fake_session).meta.config.user_agent
    assert agent.startswith(f"rotator/{__version__} Boto3/{boto3.__version__} Botocore/")
