"""Building the token request with the client's authentication (RFC 6749 section 2.3). Pure.

A refresh (section 6), client credentials (section 4.4) or a JWT bearer assertion (RFC 7523 section 2.1). Whatever is
wrong with the request is found here, before anything is sent: a refresh token stays unspent.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Literal, assert_never
from urllib.parse import quote_plus, urlencode, urlsplit

from rotator import __version__
from rotator.addresses import is_loopback
from rotator.http_messages import HttpRequest
from rotator.model import Misconfigured
from rotator.redact import Secret, spellings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rotator.model import Provider, RefreshRequest

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"

RETRY_MISCONFIGURED_S = 3600.0
"""What the provider refuses is mended at the provider, or by a restart: an hourly retry notices it."""

RETRY_REFUSED_S = 60.0
"""What is refused here, before anything is sent, is mended here, and costs the provider nothing."""

_URL_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")  # RFC 3986 section 2


def build(
    request: RefreshRequest, assertion: Secret | None, grant_assertion: Secret | None = None
) -> HttpRequest | Misconfigured:
    """Return the one request that asks for tokens, or why it must not be sent.

    Exactly one method authenticates the client; none is tried after another, for a trial with the wrong one would
    show the refresh token to the server twice.

    Args:
        assertion: The signed client assertion; required by `private_key_jwt`, ignored by the others.
        grant_assertion: The signed assertion of the grant `jwt_bearer`.
    """
    provider = request.provider
    problem = endpoint_problem(provider.token_endpoint)
    if problem:
        return _refused(f"the token endpoint of {provider.name} {problem}", "mend token_endpoint")
    problem = _scope_problem(request)
    if problem:
        return _refused(problem, "ask for less in `scope`, leave it out, or log in again with the wider scope")
    presented = _presented(request, grant_assertion)
    if isinstance(presented, Misconfigured):
        return presented
    parameters = {**presented, "scope": " ".join((request.scope or "").split())}
    secrets = (grant_assertion,) if grant_assertion else ()
    return as_client(request, assertion, provider.token_endpoint, parameters, *secrets)


def _presented(request: RefreshRequest, grant_assertion: Secret | None) -> dict[str, str] | Misconfigured:
    """Return the parameters of the grant."""
    provider = request.provider
    match provider.grant:
        case "refresh_token":
            if not request.refresh_token:
                return _refused("there is no refresh token to present", "put one into the document: rotator put NAME")
            return {"grant_type": "refresh_token", "refresh_token": request.refresh_token.reveal()}
        case "client_credentials":
            return {**dict(provider.token_parameters), "grant_type": "client_credentials"}
        case "jwt_bearer":
            if not grant_assertion:
                return _refused("the assertion of the grant is missing", "set private_key")
            asserted = {"grant_type": JWT_BEARER, "assertion": grant_assertion.reveal()}
            return {**dict(provider.token_parameters), **asserted}
        case _:
            assert_never(provider.grant)


def as_client(
    request: RefreshRequest, assertion: Secret | None, url: str, parameters: Mapping[str, str], *secrets: Secret
) -> HttpRequest | Misconfigured:
    """Return a POST to one of the provider's endpoints in the name of a request's client, or why it must not be sent.

    Args:
        request: Names the provider and the client; its own refresh token takes no part.
        parameters: Those that are empty are left out.
        secrets: Among the parameters, beside those of the client.
    """
    provider = request.provider
    authenticated = _client_authentication(request, assertion)
    if isinstance(authenticated, Misconfigured):
        return authenticated
    headers, more = authenticated
    try:
        body = _encoded({name: value for name, value in {**parameters, **more}.items() if value}, provider.body)
    except UnicodeEncodeError:  # half a surrogate pair, out of a document's \ud800
        return _refused("a value of the request is no Unicode text", "mend the document or the client credentials")
    sent = (*(Secret(value.split()[-1]) for value in headers.values()), *secrets)
    return HttpRequest(
        url=url,
        headers={
            "Accept": "application/json",  # GitHub and Salesforce answer in other formats without it
            "Accept-Encoding": "identity",  # nothing to unpack means no bomb to unpack
            "Connection": "close",
            "Content-Type": "application/json" if provider.body == "json" else "application/x-www-form-urlencoded",
            "User-Agent": f"rotator/{__version__}",
            **headers,
        },
        body=body,
        echoes=echoes_of(request, assertion, *sent),
    )


def echoes_of(request: RefreshRequest, *others: Secret | None) -> tuple[Secret, ...]:
    """Return every secret of a request in each spelling in which a server might quote it."""
    secrets = (request.refresh_token, request.client_secret, request.private_key, request.id_token, *others)
    texts = {secret.reveal() for secret in secrets if secret}
    return longest_first(*(Secret(spelling) for text in texts for spelling in spellings(text)))


def longest_first(*secrets: Secret) -> tuple[Secret, ...]:
    """Return the order in which to mask: a secret that is part of another would break it and leave the rest."""
    return tuple(sorted(secrets, key=lambda secret: len(secret.reveal()), reverse=True))


def endpoint_problem(url: str) -> str | None:
    """Return what forbids sending a credential to this address, worded to follow its name; None when nothing does.

    RFC 6749 section 3.2: TLS, no fragment; section 2.3.1: no credential in the address. `http` is for loopback only.
    """
    if not _URL_CHARACTERS.fullmatch(url):
        return "is empty or holds characters that no URL has (write an international host in its xn-- form)"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")  # labels that are empty or too long for the resolver
    except ValueError:
        return "is not a URL"
    if not host:
        return "names no host"
    if port == 0:
        return "names port 0"
    if parts.scheme not in {"https", "http"}:
        return "must begin with https://"
    if parts.scheme == "http" and not is_loopback(host):
        return "must begin with https://, for http is allowed on a loopback address only"
    if "#" in url:
        return "must not have a fragment"
    if "@" in parts.netloc:
        return "must not hold a user name or password"
    return None


def scopes(text: str | None) -> frozenset[str]:
    """Return the set of scopes in a list; the order means nothing (RFC 6749 section 3.3), some servers use commas."""
    return frozenset((text or "").replace(",", " ").split())


def _scope_problem(request: RefreshRequest) -> str | None:
    if not request.scope or not request.granted_scope:
        return None
    beyond = scopes(request.scope) - scopes(request.granted_scope)
    return f"the configured scope exceeds the grant: {' '.join(sorted(beyond))}" if beyond else None


def _client_authentication(
    request: RefreshRequest, assertion: Secret | None
) -> tuple[Mapping[str, str], dict[str, str]] | Misconfigured:
    """Return the headers and the parameters of the configured method."""
    client_id = request.client_id
    method = request.provider.client_auth
    if method == "none" and request.provider.grant == "jwt_bearer":
        return {}, {}  # the assertion says who asks, and needs no client beside it (RFC 7523 section 2.1)
    if not client_id:
        return _refused("the client_id is missing", "set client_id in the credential's entry or in the document")
    if method == "none" or (request.provider.secret_optional and not (request.client_secret or assertion)):
        return {}, {"client_id": client_id}
    if method == "private_key_jwt":
        if not assertion:
            return _refused("the client assertion is missing", "set private_key")
        # The client_id says what the assertion says (RFC 7521 section 4.2); Entra asks for it all the same.
        assertions = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion.reveal()}
        return {}, {"client_id": client_id, **assertions}
    if not request.client_secret:
        return _refused(
            f"the client_secret is missing, and {method} needs one",
            "set client_secret in the credential's entry or in the document; a public client has client_auth: none",
        )
    if method == "client_secret_post":
        return {}, {"client_id": client_id, "client_secret": request.client_secret.reveal()}
    try:
        return {"Authorization": _basic(client_id, request.client_secret, request.provider)}, {}
    except UnicodeEncodeError:
        return _refused("the client_id or client_secret is no Unicode text", "mend it where it is configured")


def _basic(client_id: str, client_secret: Secret, provider: Provider) -> str:
    """Return HTTP Basic credentials, form-encoded first, as RFC 6749 section 2.3.1 demands and few clients do."""
    pair = [client_id, client_secret.reveal()]
    if provider.basic_encoding == "form":
        pair = [quote_plus(part) for part in pair]
    return "Basic " + base64.b64encode(":".join(pair).encode()).decode()


def _encoded(parameters: Mapping[str, str], body: Literal["form", "json"]) -> bytes:
    if body == "json":
        return json.dumps(parameters, ensure_ascii=False).encode()
    return urlencode(parameters).encode()


def _refused(error: str, hint: str) -> Misconfigured:
    return Misconfigured(error, hint, RETRY_REFUSED_S)
