"""What rotator asks a provider beside refreshes: in a client's name, at endpoints that are configured or discovered."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rotator.documents import stored_tokens
from rotator.errors import LoginFailed, Refused, SecretNotFound
from rotator.http_messages import HttpRequest
from rotator.model import Malformed, Misconfigured, RefreshRequest
from rotator.oauth import as_client, endpoint_problem
from rotator.redact import Secret, without

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rotator.http_messages import HttpReply
    from rotator.model import Credential
    from rotator.token_endpoint import HttpTokenEndpoint
    from rotator.wiring import App

WELL_KNOWN = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")
OK, NOT_FOUND = 200, 404
_CODE = re.compile(r"[A-Za-z0-9_]{1,60}")
LONGEST_NUMBER = 1800.0
"""Of seconds that a server names and that are believed."""


@dataclass(frozen=True, slots=True)
class ProviderCalls:
    """Requests for one credential. None of them carries its refresh token, but for a revocation.

    Args:
        endpoint: Sends them.
    """

    app: App
    credential: Credential
    endpoint: HttpTokenEndpoint

    def found(self, *names: str) -> dict[str, str | None]:
        """Return endpoints by their names in the provider's entry: as configured, else as the issuer says.

        Raises:
            LoginFailed: The issuer's metadata is not to be trusted, in one of these endpoints say, or cannot be read.
            ProviderUnreachable: It does not answer.
        """
        provider = self.credential.provider
        known: dict[str, str | None] = {name: getattr(provider, name) for name in names}
        if all(known.values()) or not provider.issuer:
            return known
        metadata = self.metadata(provider.issuer)
        return {name: url or self._named(metadata, name) for name, url in known.items()}

    def _named(self, metadata: Mapping[str, Any], name: str) -> str | None:
        """Return an endpoint that the metadata names; None where they name none."""
        found: object = metadata.get(name)
        if found is None:
            return None
        provider = self.credential.provider
        problem = endpoint_problem(found) if isinstance(found, str) else "is not a text"
        if problem:
            what = f"the {name} in the metadata at {provider.issuer} {problem}"
            raise LoginFailed(what, hint=f"have it mended there, or set {name} of the provider {provider.name}")
        return str(found)

    def metadata(self, issuer: str) -> Mapping[str, Any]:
        """Return what the issuer says of itself, if it is the issuer, and names the token endpoint that is configured.

        RFC 8414 section 3.3: the issuer is the same, letter by letter. The token endpoint is pinned: metadata that
        names another one would lead a refresh token elsewhere, and is not believed in anything.
        """
        provider = self.credential.provider
        for path in WELL_KNOWN:
            reply = self._get(issuer.rstrip("/") + path)
            if reply.status == NOT_FOUND:
                continue
            metadata = read_json(reply)
            if metadata.get("issuer") != issuer:
                raise LoginFailed(
                    f"the metadata at {issuer} names {_another('issuer', metadata)}",
                    hint=f"correct `issuer` of the provider {provider.name}, letter by letter",
                )
            if metadata.get("token_endpoint") != provider.token_endpoint:
                raise LoginFailed(
                    f"the metadata at {issuer} names {_another('token_endpoint', metadata)}",
                    hint=f"correct `token_endpoint` or `issuer` of the provider {provider.name}",
                )
            return metadata
        raise LoginFailed(
            f"{issuer} has no metadata", hint="set authorization_endpoint, or device_authorization_endpoint"
        )

    def client(self) -> RefreshRequest:
        """Return who asks: the credential's client, or its document's."""
        credential = self.credential
        client_id, client_secret = credential.client_id, credential.client_secret()
        if client_id is None or client_secret is None:
            with contextlib.suppress(SecretNotFound):
                stored = self.app.retrier.call(lambda: self.app.stores[credential.store].read(credential.secret))
                tokens = stored_tokens(stored, credential.provider)
                if not isinstance(tokens, Malformed):
                    client_id, client_secret = client_id or tokens.client_id, client_secret or tokens.client_secret
        if not client_id:
            raise Refused(f"{credential.name} has no client_id", hint="set client_id in the credential's entry")
        return RefreshRequest(credential.provider, Secret(""), client_id, client_secret, credential.private_key())

    def _get(self, url: str) -> HttpReply:
        problem = endpoint_problem(url)
        if problem:
            raise LoginFailed(f"the issuer {problem}", hint="mend `issuer`")
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "Connection": "close"}
        return self.endpoint.ask(HttpRequest(url, headers, b"", method="GET"), deadline_s=self._timeout_s)

    def token(self, parameters: Mapping[str, str], *secrets: Secret) -> HttpReply:
        """Ask the token endpoint for anything but a refresh; raises as `post`."""
        return self.post(self.credential.provider.token_endpoint, parameters, *secrets)

    def post(self, url: str, parameters: Mapping[str, str], *secrets: Secret) -> HttpReply:
        """Send a form in the client's name, once.

        Args:
            secrets: Among the parameters: they are masked in whatever comes back.

        Raises:
            LoginFailed: The address or the client's authentication is not fit to be sent.
            ProviderUnreachable: No reply could be read.
        """
        problem = endpoint_problem(url)
        client = self.client()
        assertion = self.endpoint.assertion(client)
        if problem:
            raise LoginFailed(f"the address {problem}", hint="mend the provider's endpoints")
        if isinstance(assertion, Misconfigured):
            raise LoginFailed(assertion.error, hint=assertion.hint)
        # A login's requests are forms, whatever a refresh is (RFC 6749 section 4.1.3, RFC 8628 section 3.1).
        form = replace(client, provider=replace(client.provider, body="form"))
        http = as_client(form, assertion, url, parameters, *secrets)
        if isinstance(http, Misconfigured):
            raise LoginFailed(http.error, hint=http.hint)
        return self.endpoint.ask(http, deadline_s=self._timeout_s)

    @property
    def _timeout_s(self) -> float:
        return self.credential.provider.timeout_s


def read_json(reply: HttpReply) -> Mapping[str, Any]:
    """Return the object in a reply's body; an empty one where there is none."""
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(reply.body)
        if isinstance(found, dict):
            return found
    return {}


def _another(name: str, metadata: Mapping[str, Any]) -> str:
    words, found = name.replace("_", " "), metadata.get(name)
    return f"no {words}" if found is None else f"another {words}: {str(found)[:200]!r}"


def number(answer: Mapping[str, Any], name: str, default: float) -> float:
    """Return a number of seconds out of an answer, if it is one that can be meant."""
    found = answer.get(name)
    usable = isinstance(found, int | float) and not isinstance(found, bool) and 0 < found <= LONGEST_NUMBER
    return float(found) if usable and found is not None else default


def told(reply: HttpReply, answer: Mapping[str, Any]) -> str:
    """Return what an answer says is wrong: its status, and the code of its error."""
    return f"HTTP {reply.status}{error_code(answer)}"


def error_code(answer: Mapping[str, Any]) -> str:
    """Return `, CODE` of an error (RFC 6749 sections 4.1.2.1 and 5.2); nothing where it is no code.

    Whatever is longer, or holds more than letters, digits and underscores, could be anything, a secret too.
    """
    code = answer.get("error")
    if isinstance(code, str) and _CODE.fullmatch(code):
        return f", {without(code, ())}"
    return ""
