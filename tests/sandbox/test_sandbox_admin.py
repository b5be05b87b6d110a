"""The sandbox driven by another process."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from rotator.testing.sandbox import DEFAULT_CLIENT_ID, auth0_face
from rotator.testing.sandbox.__main__ import main

if TYPE_CHECKING:
    from tests.sandbox.conftest import Refresh, Send, Serve


def test_login_by_http(serve: Serve, send: Send, refresh: Refresh) -> None:
    """A login over HTTP returns tokens that can be refreshed, with the scope asked for."""
    face = serve(auth0_face())
    url = face.token_endpoint.replace("/oauth/token", "/sandbox/login")
    tokens = send(f"{url}?face=auth0&client_id={DEFAULT_CLIENT_ID}&scope=user:read").json
    assert tokens["scope"] == "user:read"
    assert refresh(face, tokens["refresh_token"]).status == 200


def test_a_fault_by_http(serve: Serve, send: Send, refresh: Refresh) -> None:
    """A fault injected over HTTP hits the next request."""
    face = serve(auth0_face())
    url = face.token_endpoint.replace("/oauth/token", "/sandbox/fault")
    answer = send(url, body=json.dumps({"face": "auth0", "kind": "unavailable", "wait_s": 4, "times": 1}))
    assert answer.json == {"injected": "unavailable"}
    refused = refresh(face, face.login(DEFAULT_CLIENT_ID)["refresh_token"])
    assert (refused.status, refused.headers["Retry-After"]) == (503, "4")


def test_the_report_by_http(serve: Serve, send: Send, refresh: Refresh) -> None:
    """The report over HTTP is the dump of every tenant."""
    face = serve(auth0_face())
    refresh(face, face.login(DEFAULT_CLIENT_ID)["refresh_token"])
    url = face.token_endpoint.replace("/oauth/token", "/sandbox/report")
    assert send(url, method="GET").json == {"faces": {"auth0": face.dump()}, "failures": []}


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "problem"),
    [
        ("POST", "login?face=okta", "", 400, "no face 'okta'"),
        ("POST", "login?face=auth0", "", 400, "no client ''"),
        ("POST", "login?face=auth0&client_id=sandbox-client&user=x", "", 400, "unexpected keyword"),
        ("POST", "fault", "[]", 400, "a fault is a JSON object"),
        ("POST", "fault", "{", 400, ""),
        ("POST", "fault", '{"face": "auth0"}', 400, "a fault has a kind"),
        ("POST", "fault", '{"face": "auth0", "kind": "truncated", "until": 1}', 400, "a fault has a kind"),
        ("POST", "fault", '{"face": "auth0", "kind": "gremlin"}', 400, "no fault 'gremlin'"),
        ("POST", "report", "", 404, ""),
        ("GET", "else", "", 404, ""),
    ],
)
def test_requests_that_make_no_sense(
    serve: Serve, send: Send, method: str, target: str, body: str, status: int, problem: str
) -> None:
    """An admin request that makes no sense is refused with the reason."""
    url = serve(auth0_face()).token_endpoint.replace("/oauth/token", f"/sandbox/{target}")
    answer = send(url, method=method, body=body)
    assert answer.status == status
    assert problem in answer.json.get("error_description", "")


def test_the_module_serves_and_stops_by_itself() -> None:
    """A process of its own prints where it listens, stops when its time is up, and keeps stderr empty."""
    command = [sys.executable, "-m", "rotator.testing.sandbox", "--seconds", "0.1", "--faces", "dailypay"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    line = json.loads(result.stdout)
    assert line["faces"] == {
        "dailypay": {"token_endpoint": line["url"] + "/oauth2/token", "clients": [DEFAULT_CLIENT_ID]}
    }


def test_a_port_that_is_taken_is_told_in_one_sentence(serve: Serve) -> None:
    """Exit code 2, and nothing on stdout that a script could take for an address; likewise what is no port."""
    taken = urlsplit(serve(auth0_face()).token_endpoint).port
    for port, why in ((taken, "Address already in use"), (99999, "a port is 0 to 65535")):
        command = [sys.executable, "-m", "rotator.testing.sandbox", "--seconds", "0", "--port", str(port)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (result.returncode, result.stdout) == (2, "")
        told = f"python -m rotator.testing.sandbox: cannot listen at 127.0.0.1:{port}: {why}\n"
        assert result.stderr == told


@pytest.mark.parametrize(("person", "word"), [("approves", "approved"), ("denies", "denied")])
def test_a_device_is_answered_at_the_address_that_it_shows(serve: Serve, send: Send, person: Any, word: str) -> None:
    """By whoever visits it with the code; no other code is anybody's."""
    face = serve(auth0_face(person=person))
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    shown = send(face.metadata["device_authorization_endpoint"], body="client_id=sandbox-client", headers=form).json
    assert send(shown["verification_uri"], method="GET").status == 404
    assert send(f"{shown['verification_uri']}?user_code=OTHER", method="GET").status == 404
    page = send(shown["verification_uri_complete"], method="GET")
    assert (page.status, page.body.decode()) == (200, f"The device is {word}.\n")


def test_all_faces_are_served_unless_told_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    """Without `--faces` both tenants are there."""
    assert main(["--seconds", "0"]) == 0
    assert list(json.loads(capsys.readouterr().out)["faces"]) == ["auth0", "dailypay"]
