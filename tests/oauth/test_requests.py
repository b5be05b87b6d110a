# ruff: noqa: N802 - a test is named after its item of the checklist
"""The request side: items R1 to R16 of the checklist."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

import pytest
from oauth_parts import CLIENT_SECRET, REFRESH_TOKEN, TOKENS, request
from scripted_server import answering, message

from rotator import __version__
from rotator.http_messages import HttpRequest
from rotator.model import InDoubt, Misconfigured, Refreshed
from rotator.oauth import ASSERTION_TYPE, build, endpoint_problem
from rotator.redact import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripted_server import ScriptedServer

    from rotator.model import RefreshRequest
    from rotator.token_endpoint import HttpTokenEndpoint

OK = message(json.dumps(TOKENS).encode())


def built(of: RefreshRequest, assertion: Secret | None = None) -> HttpRequest:
    """Build a request that has to be one."""
    http = build(of, assertion)
    assert isinstance(http, HttpRequest), http
    return http


def parameters(of: RefreshRequest, assertion: Secret | None = None) -> list[tuple[str, str]]:
    """Return the parameters of the form that is sent."""
    return parse_qsl(built(of, assertion).body.decode("ascii"), strict_parsing=True)


def refusal(of: RefreshRequest, assertion: Secret | None = None) -> Misconfigured:
    """Build a request that has to be refused."""
    refused = build(of, assertion)
    assert isinstance(refused, Misconfigured)
    assert refused.retry_after_s == 60
    assert refused.hint
    return refused


def test_R01_the_request_is_a_form_post_that_every_token_survives(
    serve: Callable[..., ScriptedServer], endpoint: HttpTokenEndpoint
) -> None:
    """A refresh token of reserved and non-ASCII characters arrives unchanged in a UTF-8 form sent by POST."""
    server = serve(answering(OK))
    token = "a+b/c=d&e%f é\u20ac;?#"
    endpoint.refresh(request({"token_endpoint": server.url()}, refresh_token=Secret(token)), deadline_s=5)
    (heard,) = server.heard
    assert heard.line == "POST /token HTTP/1.1"
    assert heard.values("content-type") == ["application/x-www-form-urlencoded"]
    assert dict(parse_qsl(heard.body.decode("ascii"), strict_parsing=True))["refresh_token"] == token


def test_R01_a_json_body_is_sent_where_the_profile_asks_for_one() -> None:
    """With `body: json` the same parameters travel as a JSON object in UTF-8."""
    http = built(request({"body": "json"}))
    assert http.headers["Content-Type"] == "application/json"
    assert json.loads(http.body) == {
        "grant_type": "refresh_token",
        "refresh_token": REFRESH_TOKEN,
        "client_id": "client-1",
        "client_secret": CLIENT_SECRET,
    }


def test_R02_grant_type_and_refresh_token_are_sent_exactly_once() -> None:
    """The body holds the grant type and the presented refresh token once each, and no name twice."""
    sent = parameters(request())
    assert ("grant_type", "refresh_token") in sent
    assert ("refresh_token", REFRESH_TOKEN) in sent
    assert len({name for name, _ in sent}) == len(sent)


def test_R02_an_empty_refresh_token_is_never_sent() -> None:
    """Without a refresh token there is no request."""
    assert "no refresh token" in refusal(request(refresh_token=Secret(""))).error


def test_R02_half_a_surrogate_pair_is_refused_without_being_quoted() -> None:
    """A value that UTF-8 cannot carry is a configuration error in every place it can stand."""
    half = Secret("secret-text-\ud800")
    for of in (
        request(refresh_token=half),
        request({"body": "json"}, refresh_token=half),
        request({"client_auth": "client_secret_basic"}, client_secret=half),
        request({"client_auth": "client_secret_basic", "basic_encoding": "raw"}, client_secret=half),
    ):
        assert "secret-text" not in str(refusal(of))


def test_R03_an_existing_query_is_kept_and_nothing_is_added_to_the_address(
    serve: Callable[..., ScriptedServer], endpoint: HttpTokenEndpoint
) -> None:
    """The query of the configured token endpoint goes out as it is, with no credential beside it."""
    server = serve(answering(OK))
    endpoint.refresh(request({"token_endpoint": server.url(path="/t?x=1&y=%20")}), deadline_s=5)
    assert server.heard[0].line == "POST /t?x=1&y=%20 HTTP/1.1"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://id.example/token#f", "fragment"),
        ("https://id.example/token#", "fragment"),
        ("https://user@id.example/token", "user name"),
        ("https://@id.example/token", "user name"),
        ("https://user:pass@id.example/token", "user name"),
        ("https:///token", "no host"),
        ("https://id.example:0/token", "port 0"),
        ("https://id.example:port/token", "not a URL"),
        ("https://[::1/token", "not a URL"),
        ("https://a..example/token", "not a URL"),
        (f"https://{'a' * 64}.example/token", "not a URL"),
        ("https://id.example\\@evil.example/", "characters"),
        ("https://id.example/to ken", "characters"),
        ("https://id.example/\r\nX: y", "characters"),
        ("https://bücher.example/token", "characters"),
        ("", "empty"),
        ("ftp://id.example/token", "https://"),
    ],
)
def test_R03_an_address_that_endangers_credentials_is_refused(url: str, problem: str) -> None:
    """Fragments, user information and what is no plain https address are refused before anything is sent."""
    assert problem in str(endpoint_problem(url))
    assert problem in refusal(request({"token_endpoint": url})).error


def test_R04_basic_credentials_are_form_encoded_first() -> None:
    """The vector of AppAuth-Android#337 comes out, and its parts decode to what was given."""
    secret = "z/tZ9VwFZqApmIQ+ZH1I5pLk/uB4ud:X2/8bL+wfFTt1rFw="
    header = built(
        request({"client_auth": "client_secret_basic"}, client_id="1PpG/Q 1", client_secret=Secret(secret))
    ).headers["Authorization"]
    assert header == (
        "Basic MVBwRyUyRlErMTp6JTJGdFo5VndGWnFBcG1JUSUyQlpIMUk1cExrJTJGdUI0dWQlM0FYMiUyRjhiTCUyQndmRlR0MXJGdyUzRA=="
    )
    client_id, _, encoded = base64.b64decode(header.split()[1]).decode().partition(":")
    assert (unquote_plus(client_id), unquote_plus(encoded)) == ("1PpG/Q 1", secret)


def test_R05_basic_credentials_stay_raw_where_the_profile_says_so() -> None:
    """With `basic_encoding: raw` id and secret stand unencoded under the base64."""
    http = built(
        request({"client_auth": "client_secret_basic", "basic_encoding": "raw"}, client_secret=Secret("a+b%c"))
    )
    assert base64.b64decode(http.headers["Authorization"].split()[1]) == b"client-1:a+b%c"


@pytest.mark.parametrize(
    ("method", "in_body", "in_header"),
    [
        ("client_secret_basic", set(), True),
        ("client_secret_post", {"client_id", "client_secret"}, False),
        ("private_key_jwt", {"client_id", "client_assertion", "client_assertion_type"}, False),
        ("none", {"client_id"}, False),
    ],
)
def test_R06_exactly_one_method_authenticates_the_client(method: str, in_body: set[str], in_header: bool) -> None:
    """Each method sends its own parameters, and nothing of any other method's."""
    of = request({"client_auth": method}, private_key=Secret("unused"))
    http = built(of, Secret("header.claims.signature"))
    names = {name for name, _ in parse_qsl(http.body.decode())}
    assert names == {"grant_type", "refresh_token"} | in_body
    assert ("Authorization" in http.headers) is in_header


def test_R06_the_assertion_travels_with_its_type() -> None:
    """private_key_jwt sends the assertion with the type of RFC 7523 section 2.2."""
    sent = dict(parameters(request({"client_auth": "private_key_jwt"}), Secret("a.b.c")))
    assert (sent["client_assertion"], sent["client_assertion_type"]) == ("a.b.c", ASSERTION_TYPE)


@pytest.mark.parametrize(
    ("method", "changes", "missing"),
    [
        ("client_secret_post", {"client_id": None}, "client_id"),
        ("client_secret_post", {"client_secret": None}, "client_secret"),
        ("client_secret_basic", {"client_secret": Secret("")}, "client_secret"),
        ("private_key_jwt", {}, "assertion"),
        ("none", {"client_id": ""}, "client_id"),
    ],
)
def test_R06_a_method_without_its_credentials_is_refused(method: str, changes: dict[str, Any], missing: str) -> None:
    """A configured method whose credentials are missing sends nothing and names what is missing."""
    assert missing in refusal(request({"client_auth": method}, **changes)).error


@pytest.mark.parametrize("secret", [None, Secret(""), Secret("left over")])
def test_R07_a_public_client_sends_its_id_and_no_secret_parameter(secret: Secret | None) -> None:
    """`client_auth: none` sends client_id and no client_secret, not even an empty one."""
    sent = parameters(request({"client_auth": "none"}, client_secret=secret))
    assert ("client_id", "client-1") in sent
    assert "client_secret" not in dict(sent)


def test_R08_a_refused_client_is_not_tried_with_another_method(
    serve: Callable[..., ScriptedServer], endpoint: HttpTokenEndpoint
) -> None:
    """After a 401 for the wrong method there is no second request."""
    refused = message(b'{"error":"invalid_client"}', "401 Unauthorized", 'WWW-Authenticate: Basic realm="x"')
    server = serve(answering(refused))
    answer = endpoint.refresh(request({"token_endpoint": server.url()}), deadline_s=5)
    assert isinstance(answer, Misconfigured)
    assert (server.connections, len(server.heard)) == (1, 1)


def test_R11_scope_is_left_out_by_default() -> None:
    """Without a configured scope there is no scope parameter, whatever was granted."""
    assert "scope" not in dict(parameters(request(granted_scope="a b")))


def test_R11_a_configured_scope_within_the_grant_is_sent() -> None:
    """The order of scopes means nothing, and they are sent with single spaces."""
    assert dict(parameters(request(scope="b  a", granted_scope="a b c")))["scope"] == "b a"
    assert dict(parameters(request(scope="a", granted_scope=None)))["scope"] == "a"


def test_R11_a_configured_scope_beyond_the_grant_is_refused(
    serve: Callable[..., ScriptedServer], endpoint: HttpTokenEndpoint
) -> None:
    """A scope that was not granted is named, and nothing is sent."""
    server = serve(answering(OK))
    of = request({"token_endpoint": server.url()}, scope="a admin", granted_scope="a b")
    answer = endpoint.refresh(of, deadline_s=5)
    assert isinstance(answer, Misconfigured)
    assert "admin" in answer.error
    assert server.connections == 0


@pytest.mark.parametrize("scope", ["", "   ", None])
def test_R12_empty_parameters_are_left_out(scope: str | None) -> None:
    """An empty scope is absent from the body."""
    assert b"scope" not in built(request(scope=scope)).body


@pytest.mark.parametrize("url", ["http://id.example/token", "http://10.0.0.1/token", "http://127.1/token"])
def test_R13_plain_http_is_refused_beyond_loopback(url: str) -> None:
    """`http` to a host that is not a loopback address is a configuration error."""
    assert "loopback" in refusal(request({"token_endpoint": url})).error


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
def test_R13_plain_http_is_allowed_on_loopback(host: str) -> None:
    """Loopback names and addresses may be spoken to without TLS."""
    assert endpoint_problem(f"http://{host}:8080/token") is None


def test_R14_redirects_are_never_followed(serve: Callable[..., ScriptedServer], endpoint: HttpTokenEndpoint) -> None:
    """No redirect of any status makes a request elsewhere, or a second one to the same server."""
    elsewhere = serve(answering(OK))
    for status in ("301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"):
        server = serve(answering(message(b"", status, f"Location: {elsewhere.url()}")))
        answer = endpoint.refresh(request({"token_endpoint": server.url()}), deadline_s=5)
        assert isinstance(answer, InDoubt if status.startswith("303") else Misconfigured)
        assert server.connections == 1
    assert elsewhere.connections == 0


def test_R15_the_headers_ask_for_plain_json_and_name_the_client() -> None:
    """Accept, Accept-Encoding, Connection and User-Agent are what servers and middleboxes need to see."""
    headers = built(request()).headers
    assert headers["Accept"] == "application/json"
    assert headers["Accept-Encoding"] == "identity"
    assert headers["Connection"] == "close"
    assert headers["User-Agent"] == f"rotator/{__version__}"


def test_R15_the_host_header_names_the_authority_once(
    serve: Callable[..., ScriptedServer], endpoint: HttpTokenEndpoint
) -> None:
    """Host carries host and port, and Content-Length the length of the body, once each."""
    server = serve(answering(OK))
    endpoint.refresh(request({"token_endpoint": server.url()}), deadline_s=5)
    (heard,) = server.heard
    assert heard.values("host") == [urlsplit(server.url()).netloc]
    assert heard.values("content-length") == [str(len(heard.body))]


def test_R16_every_request_has_a_connection_of_its_own(
    serve: Callable[..., ScriptedServer], endpoint: HttpTokenEndpoint
) -> None:
    """Three requests are three connections, though the server offers to keep the first one."""
    server = serve(answering(message(json.dumps(TOKENS).encode(), "200 OK", "Connection: keep-alive")))
    for _ in range(3):
        assert isinstance(endpoint.refresh(request({"token_endpoint": server.url()}), deadline_s=5), Refreshed)
    assert (server.connections, len(server.heard)) == (3, 3)


def test_E12_a_request_shows_nothing_of_what_it_carries() -> None:
    """The text forms of a request name its address and size only."""
    http = built(request({"client_auth": "client_secret_basic"}))
    for shown in (repr(http), str(http), f"{http}"):
        assert shown == f"HttpRequest(POST https://id.example/token, {len(http.body)} bytes)"
