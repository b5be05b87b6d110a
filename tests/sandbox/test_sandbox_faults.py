"""What goes wrong on request: what the client sees, and whether the refresh token is spent."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import pytest

from rotator.clocks import SystemClock
from rotator.redact import Secret
from rotator.testing.sandbox import (
    DEFAULT_CLIENT_ID,
    DEFAULT_CLIENT_SECRET,
    FAULT_KINDS,
    SandboxServer,
    auth0_face,
    dailypay_face,
)
from rotator.testing.sandbox.admin import _PARAMETERS_OF_A_FAULT

if TYPE_CHECKING:
    from rotator.testing.memory import VirtualClock
    from rotator.testing.sandbox import Face
    from tests.sandbox.conftest import Refresh, Serve


def _unspent(face: Face, token: str) -> bool:
    return face.report.processed == {} and face.live_refresh_token(1) == Secret(token)


def _spent_and_lost(face: Face, token: str) -> bool:
    live = face.live_refresh_token(1)
    return live not in (None, Secret(token)) and face.report.replies_lost_after_processing == 1


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("rate_limited", 429, "too_many_requests"),
        ("unavailable", 503, "temporarily_unavailable"),
        ("global_limit", 500, "access_denied"),
        ("retry_please", 400, "invalid_request"),
        ("server_error", 500, "server_error"),
    ],
)
def test_refusals_do_not_spend(serve: Serve, refresh: Refresh, kind: Any, status: int, code: str) -> None:
    """An injected refusal answers with its status and code, hits one request, and leaves the refresh token good."""
    face = serve(auth0_face())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    injection = face.fault(kind)
    assert refresh(face, token).error == (status, code)
    assert _unspent(face, token)
    assert refresh(face, token).status == 200
    assert (injection.hits, face.report.faults) == (1, 1)


def test_hydras_transient_refusal_asks_for_a_retry(serve: Serve, refresh: Refresh) -> None:
    """The refusal for two requests at once ends with the words by which it is told from a bad request."""
    face = serve(dailypay_face())
    face.fault("retry_please")
    answer = refresh(face, face.login(DEFAULT_CLIENT_ID)["refresh_token"])
    assert answer.json["error_description"].endswith("Please retry the request.")


def test_auth0s_global_limit_is_named(serve: Serve, refresh: Refresh) -> None:
    """The 500 that is a rate limit carries Auth0's text and headers."""
    face = serve(auth0_face())
    face.fault("global_limit", wait_s=3)
    answer = refresh(face, face.login(DEFAULT_CLIENT_ID)["refresh_token"])
    assert answer.json["error_description"] == "Global limit has been reached"
    assert answer.headers["x-ratelimit-reset"] == "1767225603"


def test_an_html_page_does_not_spend(serve: Serve, refresh: Refresh) -> None:
    """A gateway's page comes with the status asked for and leaves the refresh token good."""
    face = serve(auth0_face())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    face.fault("html_page", status=403)
    answer = refresh(face, token)
    assert (answer.status, answer.headers.get_content_type()) == (403, "text/html")
    assert answer.body.startswith(b"<!DOCTYPE html>")
    assert _unspent(face, token)


@pytest.mark.parametrize("location", [None, "http://127.0.0.1:9/elsewhere"])
def test_a_redirect_leads_back_or_away(serve: Serve, refresh: Refresh, location: str | None) -> None:
    """A redirect leads to the token endpoint, where following it would be counted, or to the place asked for."""
    face = serve(auth0_face())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    face.fault("redirect", location=location)
    answer = refresh(face, token)
    assert (answer.status, answer.headers["Location"]) == (307, location or face.token_endpoint)
    assert _unspent(face, token)


def test_a_dropped_request_is_not_spent(serve: Serve, refresh: Refresh) -> None:
    """A connection reset before processing leaves the refresh token good, though it arrived."""
    face = serve(auth0_face())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    face.fault("drop_before_processing")
    with pytest.raises(ConnectionResetError) as caught:
        refresh(face, token)
    assert caught.type is ConnectionResetError  # and not http.client's, which is the end of the stream
    assert _unspent(face, token)
    assert face.report.presented == {"1.0": 1}


def test_a_connection_can_be_closed_in_order(serve: Serve, refresh: Refresh) -> None:
    """Without `reset` the client sees the end of the stream and no reset."""
    face = serve(auth0_face())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    face.fault("drop_before_processing", reset=False)
    with pytest.raises(http.client.RemoteDisconnected):
        refresh(face, token)


@pytest.mark.parametrize("reset", [True, False])
def test_a_dropped_answer_is_spent_and_lost(serve: Serve, refresh: Refresh, *, reset: bool) -> None:
    """A connection dropped after processing has spent the refresh token, and presenting it again is a reuse."""
    face = serve(auth0_face())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    face.fault("drop_after_processing", reset=reset)
    with pytest.raises(ConnectionError):
        refresh(face, token)
    assert _spent_and_lost(face, token)
    assert refresh(face, token).status == 403
    assert face.report.reuse_detections == 1


def test_only_token_responses_can_be_lost(serve: Serve, refresh: Refresh) -> None:
    """A refusal that is dropped is no lost answer, and one that should be bent stays as it is."""
    face = serve(auth0_face())
    face.fault("drop_after_processing")
    face.fault("malformed_json")
    with pytest.raises(ConnectionError):
        refresh(face, "sandbox_rt_invented")
    assert refresh(face, "sandbox_rt_invented").error == (403, "invalid_grant")
    assert face.report.replies_lost_after_processing == 0


def test_a_truncated_answer_is_spent_and_lost(serve: Serve, refresh: Refresh) -> None:
    """An answer that is cut off promises more bytes than it has."""
    face = serve(auth0_face())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    face.fault("truncated")
    with pytest.raises(http.client.IncompleteRead):
        refresh(face, token)
    assert _spent_and_lost(face, token)


def test_malformed_json_is_spent_and_lost(serve: Serve, refresh: Refresh) -> None:
    """An answer of the right length may be no JSON."""
    face = serve(auth0_face())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    face.fault("malformed_json")
    answer = refresh(face, token)
    assert answer.status == 200
    with pytest.raises(json.JSONDecodeError):
        _ = answer.json
    assert _spent_and_lost(face, token)


def test_a_gateway_may_lose_the_answer(serve: Serve, refresh: Refresh) -> None:
    """A gateway's page may hide that the refresh token was spent."""
    face = serve(auth0_face())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    face.fault("html_after_processing")
    assert refresh(face, token).status == 502
    assert _spent_and_lost(face, token)


def test_a_wrong_content_type_hides_a_good_answer(serve: Serve, refresh: Refresh) -> None:
    """An answer may say that it is HTML while it is the token response."""
    face = serve(auth0_face())
    face.fault("wrong_content_type")
    answer = refresh(face, face.login(DEFAULT_CLIENT_ID)["refresh_token"])
    assert answer.headers.get_all("Content-Type") == ["text/html"]
    assert face.live_refresh_token(1) == Secret(answer.json["refresh_token"])
    assert face.report.replies_lost_after_processing == 0


def test_names_may_be_there_twice(serve: Serve, refresh: Refresh) -> None:
    """An answer may name two access tokens."""
    face = serve(auth0_face())
    face.fault("duplicate_names")
    answer = refresh(face, face.login(DEFAULT_CLIENT_ID)["refresh_token"])
    names = [name for name, _ in json.loads(answer.body, object_pairs_hook=list)]
    assert names.count("access_token") == 2


def test_a_trickled_answer_arrives_whole_and_late(serve: Serve, refresh: Refresh, clock: VirtualClock) -> None:
    """An answer in small pieces takes the pause before each of them."""
    face = serve(auth0_face())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    face.fault("trickled", delay_s=2)
    answer = refresh(face, token)
    assert face.live_refresh_token(1) == Secret(answer.json["refresh_token"])
    assert clock.monotonic_s() == 2 * -(-len(answer.body) // 16)


@pytest.mark.parametrize("kind", ["delay_before_processing", "delay_before_reply"])
def test_a_delay_passes_on_the_injected_clock(serve: Serve, refresh: Refresh, clock: VirtualClock, kind: Any) -> None:
    """A delayed request is answered all the same, so much later."""
    face = serve(auth0_face())
    face.fault(kind, delay_s=90)
    assert refresh(face, face.login(DEFAULT_CLIENT_ID)["refresh_token"]).status == 200
    assert clock.monotonic_s() == 90


@pytest.mark.parametrize(("kind", "rotations"), [("delay_before_processing", 0), ("delay_before_reply", 1)])
def test_a_request_can_be_held(serve: Serve, refresh: Refresh, kind: Any, rotations: int) -> None:
    """A request that is held stays unprocessed, or processed and unanswered, until the event is set."""
    face = serve(auth0_face())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    release = threading.Event()
    injection = face.fault(kind, until=release, delay_s=20)
    statuses: list[int] = []
    client = threading.Thread(target=lambda: statuses.append(refresh(face, token).status))
    client.start()
    _wait_until(lambda: injection.hits == 1 and face.report.rotations == rotations)
    assert statuses == []
    release.set()
    client.join()
    assert (statuses, face.report.rotations) == ([200], 1)


def test_a_client_that_hung_up_has_lost_the_answer(serve: Serve) -> None:
    """An answer to a client that gave up waiting is counted as lost."""
    face = serve(auth0_face(), clock=SystemClock())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    release = threading.Event()
    face.fault("delay_before_reply", until=release, delay_s=20)
    with _connected(face) as connection:
        connection.sendall(_request(token))
        _wait_until(lambda: face.report.rotations == 1)
    release.set()
    _wait_until(lambda: face.report.replies_lost_after_processing == 1)
    assert face.live_refresh_token(1) != Secret(token)


def test_a_lost_answer_is_counted_once(serve: Serve, refresh: Refresh) -> None:
    """An answer that its fault loses anyway is not counted again when the client hangs up."""
    face = serve(auth0_face(), clock=SystemClock())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    face.fault("truncated")
    with face._lock, _connected(face) as connection:  # nothing is processed before the client has gone
        connection.sendall(_request(token))
    _wait_until(lambda: face.report.rotations == 1)
    assert refresh(face, "sandbox_rt_invented").status == 403
    assert face.report.replies_lost_after_processing == 1


def test_a_request_that_breaks_off_is_not_counted(serve: Serve, refresh: Refresh) -> None:
    """A body that ends too early never arrived."""
    face = serve(auth0_face())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    with _connected(face) as connection:
        connection.sendall(_request(token)[:-1])
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert refresh(face, token).status == 200
    assert face.report.requests == 1


def test_a_client_that_resets_is_no_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that the client resets in the middle of its request leaves no trace."""
    with SandboxServer([auth0_face()]) as server:
        face, handled = server.face("auth0"), threading.Event()
        handle_error = server._server.handle_error
        monkeypatch.setattr(server._server, "handle_error", lambda *broken: (handle_error(*broken), handled.set()))
        connection = _connected(face)
        connection.sendall(_request("sandbox_rt_invented")[:-1])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        assert handled.wait(20)
        assert (server.failures, face.report.requests) == ((), 0)


def test_a_fault_hits_as_often_as_asked(serve: Serve, refresh: Refresh) -> None:
    """A fault for two requests hits two, and one without end hits until it is taken back."""
    face = serve(auth0_face())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    face.fault("unavailable", times=2)
    assert [refresh(face, token).status for _ in range(2)] == [503, 503]
    face.fault("rate_limited", times=None)
    assert [refresh(face, token).status for _ in range(3)] == [429, 429, 429]
    face.clear_faults()
    assert refresh(face, token).status == 200


def test_a_fault_hits_the_requests_that_match(serve: Serve, refresh: Refresh) -> None:
    """A fault with a condition lets the others pass."""
    face = serve(auth0_face())
    one, other = (face.login(DEFAULT_CLIENT_ID)["refresh_token"] for _ in range(2))
    face.fault("unavailable", when=lambda request: request.refresh_token == other)
    assert refresh(face, one).status == 200
    assert refresh(face, other).status == 503


def test_a_probable_fault_is_repeatable(serve: Serve, refresh: Refresh) -> None:
    """Which requests a fault with a probability hits follows from the seed."""
    face = serve(auth0_face())
    face.fault("unavailable", times=None, probability=0.5, seed=7)
    statuses = [refresh(face, "sandbox_rt_invented").status for _ in range(20)]
    expected = random.Random(7)
    assert statuses == [503 if expected.random() < 0.5 else 403 for _ in range(20)]
    assert 0 < statuses.count(503) < 20


def test_an_unknown_fault_is_refused(serve: Serve) -> None:
    """A fault that does not exist is an error that lists those that do."""
    with pytest.raises(ValueError, match="no fault 'gremlin'; there are rate_limited, "):
        serve(auth0_face()).fault("gremlin")


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_every_fault_is_counted(serve: Serve, refresh: Refresh, kind: Any) -> None:
    """Each kind of fault does something once and then lets a new login through."""
    face = serve(dailypay_face())
    face.fault(kind)
    with contextlib.suppress(OSError, http.client.HTTPException):
        refresh(face, face.login(DEFAULT_CLIENT_ID)["refresh_token"])
    assert face.report.faults == 1
    assert refresh(face, face.login(DEFAULT_CLIENT_ID)["refresh_token"]).status == 200


def test_a_defect_of_the_sandbox_is_noted_without_its_text(refresh: Refresh, capfd: pytest.CaptureFixture[str]) -> None:
    """An unexpected error drops the connection, prints nothing, and is noted by type and place."""
    with SandboxServer([auth0_face()]) as server:
        face = server.face("auth0")
        face.fault("unavailable", when=lambda request: request.parameters["missing"] == "")
        with pytest.raises(ConnectionError):
            refresh(face, face.login(DEFAULT_CLIENT_ID)["refresh_token"])
        assert [failure.split(":")[0] for failure in server.failures] == [f"KeyError at {__file__}"]
    assert capfd.readouterr().err == ""


def test_admin_knows_every_detail_of_a_fault_that_is_json() -> None:
    """No detail of a fault is forgotten by the admin endpoint but those that are objects."""
    from dataclasses import fields

    from rotator.testing.sandbox import Fault

    names = {field.name for field in fields(Fault)} - {"until"} | {"times", "probability", "seed"}
    assert names == _PARAMETERS_OF_A_FAULT


def _request(token: str) -> bytes:
    body = urlencode(
        {
            "grant_type": "refresh_token",
            "refresh_token": token,
            "client_id": DEFAULT_CLIENT_ID,
            "client_secret": DEFAULT_CLIENT_SECRET,
        }
    )
    head = "POST /oauth/token HTTP/1.1\r\nHost: sandbox\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def _connected(face: Face) -> socket.socket:
    address = urlsplit(face.token_endpoint)
    return socket.create_connection((address.hostname, address.port), timeout=20)


def _wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 20 s"
        time.sleep(0.002)
