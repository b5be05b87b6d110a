"""What Vault's statuses and the failures of the network become."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from vault_harness import DoubledVault, closed_address, doubled

from rotator.errors import (
    StoreDenied,
    StoreError,
    StoreMissing,
    StoreRejected,
    StoreUnavailable,
    StoreWriteInDoubt,
)
from rotator.testing.contracts import shown
from rotator.testing.vault_double import VaultDouble
from rotator.vault_errors import Absent, CasMismatch

if TYPE_CHECKING:
    from pathlib import Path

    from rotator.vault_session import VaultSession

__all__ = ["doubled"]

NO_ROUTE = '{"errors": ["no handler for route \\"secret/data/app\\". route entry not found."]}'
MISMATCH = '{"errors": ["check-and-set parameter did not match the current version"]}'
UPGRADE = '{"errors": ["Waiting for the primary to upgrade from non-versioned to versioned data. Wait."]}'
CANARY = "canary-refresh-token"


@pytest.fixture
def session(doubled: DoubledVault) -> VaultSession:
    """Give a session that is logged in, so that the next request is the one under test."""
    session = doubled.session()
    with pytest.raises(Absent):
        read(session)
    return session


def read(session: VaultSession) -> Any:
    return session.call(
        lambda client: client.secrets.kv.v2.read_secret_version("app", raise_on_deleted_version=True), what="main: app"
    )


def write(session: VaultSession) -> Any:
    return session.call(
        lambda client: client.secrets.kv.v2.create_or_update_secret("app", {"refresh_token": CANARY}, cas=0),
        what="main: app",
        write=True,
    )


@pytest.mark.parametrize(
    ("status", "text", "for_read", "for_write"),
    [
        (200, "<html>", StoreUnavailable, StoreWriteInDoubt),
        (200, "[]", StoreUnavailable, StoreWriteInDoubt),
        (301, "", StoreUnavailable, StoreUnavailable),
        (307, "", StoreUnavailable, StoreUnavailable),
        (400, MISMATCH, CasMismatch, CasMismatch),
        (400, UPGRADE, StoreUnavailable, StoreUnavailable),
        (400, '{"errors": ["no data provided"]}', StoreRejected, StoreRejected),
        (400, '{"errors": null}', StoreRejected, StoreRejected),
        (401, "{}", StoreDenied, StoreDenied),
        (404, NO_ROUTE, StoreMissing, StoreMissing),
        (404, '{"errors": ["1 error occurred:\\n\\t* unsupported path\\n\\n"]}', StoreMissing, StoreMissing),
        (404, '{"errors": []}', Absent, Absent),
        (404, "<html>no such page</html>", StoreUnavailable, StoreUnavailable),
        (405, '{"errors": ["1 error occurred:\\n\\t* unsupported operation\\n\\n"]}', StoreMissing, StoreMissing),
        (412, "{}", StoreUnavailable, StoreUnavailable),
        (413, "{}", StoreRejected, StoreRejected),
        (429, "{}", StoreUnavailable, StoreUnavailable),
        (472, "{}", StoreUnavailable, StoreUnavailable),
        (473, "{}", StoreUnavailable, StoreUnavailable),
        (500, "{}", StoreUnavailable, StoreWriteInDoubt),
        (500, '{"errors": ["put failed due to value being too large"]}', StoreRejected, StoreRejected),
        (501, "{}", StoreUnavailable, StoreUnavailable),
        (502, "<html>", StoreUnavailable, StoreWriteInDoubt),
        (503, '{"errors": ["Vault is sealed"]}', StoreUnavailable, StoreUnavailable),
        (504, "", StoreUnavailable, StoreWriteInDoubt),
        (599, "", StoreUnavailable, StoreWriteInDoubt),
    ],
)
def test_every_status_has_its_meaning(
    doubled: DoubledVault,
    session: VaultSession,
    status: int,
    text: str,
    for_read: type[Exception],
    for_write: type[Exception],
) -> None:
    """An answer becomes the error that says what may be done, and names what was asked for."""
    for call, expected in ((read, for_read), (write, for_write)):
        doubled.double.fail(status, path="secret/data/app", text=text)
        with pytest.raises(expected) as caught:
            call(session)
        assert CANARY not in shown(caught.value)
        if isinstance(caught.value, StoreError):
            assert caught.value.message.startswith("main: app: ")


def test_no_text_of_the_server_is_shown(doubled: DoubledVault, session: VaultSession) -> None:
    """A server that echoes the request into its error puts nothing of it into ours."""
    for status in (400, 401, 404, 405, 413, 500, 503):
        doubled.double.fail(status, path="secret/data/app", text=f'{{"errors": ["{CANARY}", "unsupported path"]}}')
        with pytest.raises(StoreError) as caught:
            write(session)
        assert CANARY not in shown(caught.value)


def test_a_redirect_is_not_followed(doubled: DoubledVault, session: VaultSession) -> None:
    """The token is never carried to the place that a redirect names."""
    before = len(doubled.double.seen)
    location = {"Location": f"{doubled.address}/v1/secret/data/elsewhere"}
    doubled.double.fail(307, path="secret/data/app", text="", headers=location)
    with pytest.raises(StoreUnavailable):
        read(session)
    assert [seen.path for seen in doubled.double.seen[before:]] == ["secret/data/app"]


@pytest.mark.parametrize("applied", [False, True])
def test_a_connection_that_breaks_after_sending_leaves_a_write_in_doubt(
    doubled: DoubledVault, session: VaultSession, applied: bool
) -> None:
    """Whether the server carried it out cannot be seen: reads may be retried, writes must be compared."""
    doubled.double.drop(path="secret/data/app", applied=applied, times=2)
    with pytest.raises(StoreUnavailable):
        read(session)
    with pytest.raises(StoreWriteInDoubt):
        write(session)
    assert doubled.double.act("GET", "secret/data/app").status == (200 if applied else 404)


def test_half_an_answer_is_none(doubled: DoubledVault, session: VaultSession) -> None:
    """An answer that breaks off leaves a write in doubt."""
    doubled.double.cut(path="secret/data/app", times=2)
    with pytest.raises(StoreUnavailable):
        read(session)
    with pytest.raises(StoreWriteInDoubt):
        write(session)


def test_an_answer_that_does_not_come_in_time_leaves_a_write_in_doubt(doubled: DoubledVault) -> None:
    """A read timeout is a lost answer; nothing is sent twice."""
    session = doubled.session(timeout_s=0.3)
    with pytest.raises(Absent):
        read(session)
    before = len(doubled.double.seen)
    release = doubled.double.hold(path="secret/data/app", times=2)
    with pytest.raises(StoreUnavailable):
        read(session)
    with pytest.raises(StoreWriteInDoubt):
        write(session)
    release.set()
    assert len(doubled.double.seen) == before + 2


def test_a_write_that_finds_no_server_is_surely_not_applied(doubled: DoubledVault, session: VaultSession) -> None:
    """A connection that cannot be opened leaves no doubt."""
    session._living("").client.adapter.base_uri = closed_address()
    with pytest.raises(StoreUnavailable) as caught:
        write(session)
    assert "no connection" in str(caught.value)


@pytest.mark.parametrize("address", ["ftp://127.0.0.1", "https://vault\x7f.example"])
def test_an_address_that_is_none_says_so(doubled: DoubledVault, address: str) -> None:
    """A request that cannot be formed is StoreDenied, for a retry cannot help."""
    with pytest.raises(StoreDenied) as caught:
        read(doubled.session(address=address))
    assert "cannot be formed" in str(caught.value)


def test_a_certificate_of_an_unknown_authority_is_refused_until_it_is_given(tmp_path: Path) -> None:
    """An untrusted certificate is StoreDenied that points to ca_cert; with it, and only with it, the call succeeds."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(stranger)
    with VaultDouble(tls=context) as double:
        vault = DoubledVault(double)
        for trusted in (None, str(stranger)):
            with pytest.raises(StoreDenied) as caught:
                write(vault.session(ca_cert=trusted))
            assert "ca_cert" in caught.value.hint
        with pytest.raises(Absent):
            read(vault.session(ca_cert=str(bundle)))
        vault.close()
