"""How a person lets a client in: authorization code with PKCE, and the device authorization grant.

RFC 6749 section 4.1 with RFC 7636, and RFC 8628, over a tenant's token book.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from authlib.oauth2.rfc6749 import BaseGrant, InvalidGrantError, InvalidRequestError, TokenEndpointMixin
from authlib.oauth2.rfc6749.errors import AccessDeniedError
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oauth2.rfc8628 import AuthorizationPendingError, ExpiredTokenError, SlowDownError

from rotator.testing.sandbox.messages import Reply, error_reply, json_reply, text_reply

if TYPE_CHECKING:
    from datetime import datetime

    from rotator.ports import Clock, Ids
    from rotator.testing.sandbox.families import TokenBook
    from rotator.testing.sandbox.settings import FaceSettings

CODE_LIVES_S: Final = 60.0
DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass(slots=True)
class Code:
    """An authorization code that was handed out."""

    client_id: str
    redirect_uri: str
    challenge: str
    scope: str
    ends_at: datetime
    used: bool = False


@dataclass(slots=True)
class Device:
    """A device that waits for its person."""

    client_id: str
    scope: str
    user_code: str
    ends_at: datetime
    interval_s: float
    polled_at: datetime | None = None
    word: str = ""


@dataclass(slots=True)
class Logins:
    """What persons were asked and said. Not thread-safe: the face calls it under its lock."""

    settings: FaceSettings
    book: TokenBook
    clock: Clock
    ids: Ids
    codes: dict[str, Code] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)

    def authorize(self, query: str, issuer: str) -> Reply:
        """Answer a browser's visit as a person would who is logged in: with a redirect to the client."""
        asked = dict(parse_qsl(query))
        client = self.settings.clients.get(asked.get("client_id", ""))
        redirect = asked.get("redirect_uri", "")
        if client is None or urlsplit(redirect).hostname not in {"127.0.0.1", "localhost", "::1"}:
            return error_reply(400, "invalid_request", "The client or its redirect_uri is not registered.")
        answer = {"state": asked.get("state", ""), "iss": issuer}
        if asked.get("response_type") != "code" or asked.get("code_challenge_method") != "S256":
            answer |= {"error": "invalid_request", "error_description": "A code with PKCE by S256 must be asked for."}
        elif self.settings.person == "denies":
            answer |= {"error": "access_denied", "error_description": "The person said no."}
        else:
            code = self.ids.new_id().replace("-", "")
            ends_at = self.clock.now() + timedelta(seconds=CODE_LIVES_S)
            self.codes[code] = Code(
                client.client_id, redirect, asked.get("code_challenge", ""), asked.get("scope", ""), ends_at
            )
            answer["code"] = f"sandbox_code_{code}"
        if self.settings.person == "forged":
            answer["state"] = "of-somebody-else"
        return Reply(302, (("Location", f"{redirect}?{urlencode(answer)}"), ("Cache-Control", "no-store")), b"")

    def device(self, parameters: dict[str, str], verification_uri: str) -> Reply:
        """Answer a device authorization request (RFC 8628 section 3.2)."""
        client = self.settings.clients.get(parameters.get("client_id", ""))
        if client is None:
            return error_reply(401, "invalid_client", "The client is not known.")
        code = f"sandbox_device_{self.ids.new_id().replace('-', '')}"
        lives_s, interval_s = self.settings.device_lives_s, self.settings.device_interval_s
        ends_at = self.clock.now() + timedelta(seconds=lives_s)
        user_code = self.ids.new_id()[:8].upper()
        self.devices[code] = Device(client.client_id, parameters.get("scope", ""), user_code, ends_at, interval_s)
        body = {
            "device_code": code,
            "user_code": user_code,
            "verification_uri": verification_uri,
            "verification_uri_complete": f"{verification_uri}?user_code={user_code}",
            "expires_in": int(lives_s),
            "interval": int(interval_s),
        }
        return json_reply(200, body)

    def activate(self, query: str) -> Reply:
        """Answer a visit to the address that a device shows, as a person would who is logged in and enters the code."""
        user_code = dict(parse_qsl(query)).get("user_code", "")
        word = "denied" if self.settings.person == "denies" else "approved"
        try:
            self.say(user_code, word)
        except LookupError:
            return text_reply(404, "No device shows this code: ?user_code=CODE takes the one that is shown.")
        return text_reply(200, f"The device is {word}.")

    def say(self, user_code: str, word: str) -> None:
        """Let the person approve or deny a device; `approved` or `denied`.

        Raises:
            LookupError: No device shows this code.
        """
        for device in self.devices.values():
            if device.user_code == user_code:
                device.word = word
                return
        raise LookupError(f"{self.settings.name}: no device shows {user_code}")


class CodeGrant(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]  # authlib has no types
    """RFC 6749 section 4.1.3 with RFC 7636 section 4.6; a code that comes twice kills nothing here, and is refused."""

    GRANT_TYPE = "authorization_code"

    def validate_token_request(self) -> None:
        """See that client, code, redirect_uri and verifier belong together."""
        client = self.authenticate_token_endpoint_client()
        data = self.request.payload.data
        logins: Logins = self.server.logins
        code = logins.codes.get(data.get("code", "").removeprefix("sandbox_code_"))
        if code is None or code.used or code.ends_at <= logins.clock.now():
            raise InvalidGrantError("The code is not known, used or too old.")
        if (code.client_id, code.redirect_uri) != (client.client_id, data.get("redirect_uri")):
            raise InvalidGrantError("The code was issued to another client, or for another redirect_uri.")
        if create_s256_code_challenge(data.get("code_verifier", "")) != code.challenge:
            raise InvalidGrantError("The code_verifier does not fit.")
        self.request.client = client
        self._code = code

    def create_token_response(self) -> Any:
        """Spend the code."""
        self._code.used = True
        reply = self.server.book.login(self._code.client_id, self._code.scope, "sandbox|user")
        return 200, reply, []


class DeviceGrant(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]  # authlib has no types
    """RFC 8628 section 3.4 and 3.5."""

    GRANT_TYPE = DEVICE_GRANT

    def validate_token_request(self) -> None:
        """Say what the person has said by now; who asks too often is told to slow down."""
        client = self.authenticate_token_endpoint_client()
        logins: Logins = self.server.logins
        device = logins.devices.get(self.request.payload.data.get("device_code", ""))
        if device is None or device.client_id != client.client_id:
            raise InvalidRequestError("The device_code is not known.")
        now, before = logins.clock.now(), device.polled_at
        device.polled_at = now
        if device.ends_at <= now:
            raise ExpiredTokenError
        if before is not None and now - before < timedelta(seconds=device.interval_s):
            device.interval_s += 5
            raise SlowDownError
        if device.word == "denied":
            raise AccessDeniedError
        if device.word != "approved":
            raise AuthorizationPendingError
        self.request.client = client
        self._device = device

    def create_token_response(self) -> Any:
        """Let the device in, once."""
        logins: Logins = self.server.logins
        logins.devices = {code: one for code, one in logins.devices.items() if one is not self._device}
        reply = self.server.book.login(self._device.client_id, self._device.scope, "sandbox|user")
        return 200, reply, []
