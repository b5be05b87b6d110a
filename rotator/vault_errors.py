"""Vault's answers and the failures on the way to it, mapped to rotator's errors in this one place.

Statuses are read from the answer itself, not from hvac's exception classes: hvac has one class for all of 412, 472,
473 and 504, and a redirect is none of its errors. No text of Vault's goes into a message: a login that AWS STS
refuses quotes the signed request, session token included.
"""

from __future__ import annotations

import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import requests
from hvac.adapters import JSONAdapter, RawAdapter
from requests import exceptions as requests_errors
from urllib3.exceptions import HTTPError, NewConnectionError

from rotator.documents import number_of
from rotator.errors import (
    StoreDenied,
    StoreMissing,
    StoreRejected,
    StoreUnavailable,
    StoreWriteInDoubt,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rotator.errors import StoreError

_CAS_MISMATCH = "check-and-set parameter did not match"
_UPGRADING = "from non-versioned to versioned data"
"""Part of both texts with which a KV mount says that its upgrade to version 2 is not over yet (HTTP 400)."""
_NO_ROUTE = ("no handler for route", "unsupported path")
_TOO_LARGE = "value being too large"
"""From the storage behind Vault (Raft: 1 MiB an entry), inside an HTTP 500."""

_NOT_DONE = {
    412: "it waits for its own replication",
    429: "its rate limit is reached",
    472: "it is a disaster-recovery secondary",
    473: "it is a performance standby",
    501: "it is not initialised",
    503: "it is sealed, in maintenance, or a standby",
}
"""Statuses with which Vault says that it did nothing, and may later
(https://developer.hashicorp.com/vault/api-docs#http-status-codes)."""

_REDIRECTS = range(300, 400)


class Answered(Exception):
    """Vault, or something in front of it, answered with a status that is no success.

    Args:
        status: The HTTP status.
        body: The JSON object that came with it; None when there was none.
    """

    def __init__(self, status: int, body: Mapping[str, Any] | None) -> None:
        self.status = status
        self.body = body
        super().__init__(f"HTTP {status}")

    def says(self, *phrases: str) -> bool:
        """Return whether one of Vault's error texts holds one of the phrases."""
        errors = (self.body or {}).get("errors")
        texts = errors if isinstance(errors, list) else []
        return any(phrase in str(text) for phrase in phrases for text in texts)


class Absent(Exception):
    """Nothing is at that path.

    Args:
        version: The metadata of the newest version when that was deleted or destroyed, else None.
    """

    def __init__(self, version: Mapping[str, Any] | None) -> None:
        self.version = version
        super().__init__("absent")


class CasMismatch(Exception):
    """The check-and-set parameter is not the current version; nothing was written."""


class PlainAdapter(JSONAdapter):  # type: ignore[misc]  # hvac has no types
    """hvac's adapter with one way out for every answer that is no success: `Answered`.

    Answers are parsed here: Vault keeps a number as the text that was sent, and hvac's parser loses digits of it.
    """

    def request(self, *args: Any, **kwargs: Any) -> Any:
        """Send one request.

        Returns:
            The JSON object of a 200.

        Raises:
            Answered: Any other answer; a redirect, a 204 and a 200 that is not a JSON object are not asked for here.
        """
        answer = RawAdapter.request(self, *args, **{**kwargs, "raise_exception": False})
        body = _object_in(answer)
        if answer.status_code != HTTPStatus.OK or body is None:
            raise Answered(answer.status_code, body)
        return body


def _object_in(answer: requests.Response) -> dict[str, Any] | None:
    try:
        body = answer.json(parse_float=number_of)
    except (ValueError, RecursionError):  # no JSON, or deeper than the parser goes
        return None
    return body if isinstance(body, dict) else None


FAILURES = (Answered, requests_errors.RequestException, HTTPError)
"""What a call through hvac may raise and `translate` maps."""


def translate(error: Exception, *, what: str, write: bool) -> StoreError | Absent | CasMismatch:
    """Return what a failure of a call through hvac means.

    Args:
        error: One of `FAILURES`.
        what: Store and path, for the message.
        write: Whether the call changes something: then a lost answer leaves doubt.
    """
    if isinstance(error, Answered):
        return _from_status(error, what=what, write=write)
    if isinstance(error, requests_errors.InvalidJSONError):
        return StoreRejected(f"{what}: the content has no JSON form", hint="NaN and infinities are not JSON")
    if isinstance(
        error,
        (
            requests_errors.InvalidURL,
            requests_errors.InvalidHeader,
            requests_errors.MissingSchema,
            requests_errors.InvalidSchema,
        ),
    ):
        return StoreDenied(
            f"{what}: the request to Vault cannot be formed: {type(error).__name__}",
            hint="check address and namespace, and that the token has no line break inside",
        )
    if _certificate_refused(error):
        return StoreDenied(
            f"{what}: Vault's certificate is not trusted",
            hint="set ca_cert to the CA bundle that signed it, and check the host in address",
        )
    if _never_sent(error):
        return StoreUnavailable(
            f"{what}: no connection to Vault: {type(error).__name__}", hint="check address and that Vault is up"
        )
    return _lost(f"{what}: Vault's answer did not arrive: {type(error).__name__}", write=write)


def _from_status(answer: Answered, *, what: str, write: bool) -> StoreError | Absent | CasMismatch:
    status = answer.status
    if status == HTTPStatus.BAD_REQUEST and answer.says(_CAS_MISMATCH):
        return CasMismatch()
    if status == HTTPStatus.BAD_REQUEST and answer.says(_UPGRADING):
        return StoreUnavailable(f"{what}: the mount is being upgraded to KV version 2")
    if status == HTTPStatus.NOT_FOUND:
        return _not_there(answer, what=what)
    if status in {401, 403}:
        return StoreDenied(
            f"{what}: Vault refuses it (HTTP {status}), also with a fresh login",
            hint="grant it in the policy of the role: `vault policy read`",
        )
    if status in {400, 413} or answer.says(_TOO_LARGE):
        return StoreRejected(
            f"{what}: Vault refuses the request (HTTP {status})",
            hint="the content may be larger than Vault's storage allows",
        )
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return _no_kv(what)
    if status in _NOT_DONE:
        return StoreUnavailable(f"{what}: Vault did nothing: {_NOT_DONE[status]} (HTTP {status})")
    if status in _REDIRECTS:
        # Not followed: requests would carry the token to whatever host the answer names.
        return StoreUnavailable(
            f"{what}: the address redirects (HTTP {status})",
            hint="let address name the active node or the load balancer itself",
        )
    return _lost(f"{what}: no usable answer from Vault or a proxy before it (HTTP {status})", write=write)


def _not_there(answer: Answered, *, what: str) -> StoreError | Absent:
    if answer.body is None:
        return StoreUnavailable(f"{what}: HTTP 404 that is not Vault's", hint="check address: is it a proxy?")
    if answer.says(*_NO_ROUTE):
        return _no_kv(what)
    data = answer.body.get("data")
    version = data.get("metadata") if isinstance(data, dict) else None
    return Absent(version if isinstance(version, dict) else None)


def _no_kv(what: str) -> StoreMissing:
    return StoreMissing(
        f"{what}: there is no KV version 2 engine at that mount",
        hint="check mount and namespace: `vault secrets list -detailed`",
    )


def _lost(message: str, *, write: bool) -> StoreError:
    return StoreWriteInDoubt(message, hint="read it again") if write else StoreUnavailable(message)


def _certificate_refused(error: Exception) -> bool:
    return isinstance(error, requests_errors.SSLError) and any(
        isinstance(one, ssl.SSLCertVerificationError) for one in _inside(error)
    )


def _never_sent(error: Exception) -> bool:
    return isinstance(error, requests_errors.ConnectTimeout) or any(
        isinstance(one, NewConnectionError) for one in _inside(error)
    )


def _inside(error: object) -> list[object]:
    """Return the exceptions that requests and urllib3 packed into each other's `args` and `reason`."""
    found: list[object] = []
    while isinstance(error, Exception) and error not in found:
        found.append(error)
        error = getattr(error, "reason", None) or (error.args[0] if error.args else None)
    return found
