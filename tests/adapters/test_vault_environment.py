"""What the environment says of proxies, authorities and logins, as far as it goes for Vault."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
import trustme
from vault_harness import DoubledVault, doubled

from rotator.errors import StoreDenied, StoreUnavailable
from rotator.testing.vault_double import VaultDouble
from rotator.vault_errors import Absent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rotator.vault_session import VaultSession

__all__ = ["doubled"]


class Recorder(ThreadingHTTPServer):
    """Takes every request down, headers included, and answers 503 as a proxy without a way out does."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str]]] = []
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append((self.path, dict(self.headers)))
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def ask(session: VaultSession) -> None:
    session.call(lambda client: client.secrets.kv.v2.read_secret_metadata("app"), what="store main: secret/app")


def test_a_proxy_of_the_environment_is_used(
    doubled: DoubledVault, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP_PROXY leads requests to a Vault through the proxy."""
    monkeypatch.setenv("HTTP_PROXY", recorder.url)
    with pytest.raises(StoreUnavailable):
        ask(doubled.session(address="http://vault.internal:8200"))
    assert [path for path, _ in recorder.seen] == ["http://vault.internal:8200/v1/auth/token/lookup-self"]


def test_no_proxy_of_the_environment_is_heard(doubled: DoubledVault, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_PROXY names a Vault that is reached directly."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(Absent):
        ask(doubled.session())


def test_a_login_in_a_netrc_is_not_sent(
    doubled: DoubledVault, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Vault is asked with its token alone; what a file says of the host is no business of its."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password swordfish\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with pytest.raises(StoreUnavailable):
        ask(doubled.session(address=recorder.url))
    [(_, headers)] = recorder.seen
    assert "X-Vault-Token" in headers
    assert "Authorization" not in headers


def test_authorities_of_the_environment_are_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """REQUESTS_CA_BUNDLE stands in for ca_cert, which goes before it."""
    authority, stranger = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ours, theirs = tmp_path / "ours.pem", tmp_path / "theirs.pem"
    authority.cert_pem.write_to_path(ours)
    stranger.cert_pem.write_to_path(theirs)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ours))
    with VaultDouble(tls=context) as double:
        vault = DoubledVault(double)
        with pytest.raises(Absent):
            ask(vault.session())
        with pytest.raises(StoreDenied):
            ask(vault.session(ca_cert=str(theirs)))
        vault.close()
