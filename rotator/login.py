"""How a person lets rotator in: the device authorization grant, or a browser with PKCE and a loopback redirect.

RFC 8628; RFC 6749 section 4.1 with RFC 7636 and RFC 8252 section 7.3. The token set is put like any other
(`rotator.operations`). Where it cannot be put it is kept in a private file, for a login is a person's time.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from rotator.answers import MISCONFIGURED
from rotator.documents import parse_document
from rotator.errors import LoginFailed, ProviderUnreachable, Refused, RotatorError, SecretNotFound
from rotator.model import Malformed
from rotator.operations import Operations
from rotator.provider_calls import OK, error_code, number, read_json, told
from rotator.redact import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rotator.http_messages import HttpReply
    from rotator.model import Credential, Versioned
    from rotator.provider_calls import ProviderCalls
    from rotator.wiring import App

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
INTERVAL_S = 5.0
"""Between two questions, where the server names no interval; a `slow_down` adds as much (RFC 8628 section 3.5)."""

LONGEST_S = 1800.0
"""A person who takes longer begins anew, whatever the server would allow."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """What a browser brought back to the loopback address (RFC 6749 section 4.1.2)."""

    parameters: Mapping[str, str] = field(repr=False)

    def answers(self, state: str) -> bool:
        """Return whether this belongs to the login that was begun with `state` (RFC 6749 section 10.12)."""
        return hmac.compare_digest(self.parameters.get("state", "").encode(), state.encode())


def _granted(reply: HttpReply, answer: Mapping[str, Any]) -> bool:
    """Return whether an answer brings tokens; GitHub and Slack refuse with status 200, pending logins included."""
    return reply.status == OK and not answer.get("error") and answer.get("ok") is not False


@dataclass(frozen=True, slots=True)
class Login:
    """One person's login for one credential.

    Args:
        calls: Sends requests.
        say: Tells the person what to do.
        command: Begins this login anew, as a command line.
    """

    calls: ProviderCalls
    say: Callable[[str], None]
    command: str

    @property
    def app(self) -> App:
        """The parts."""
        return self.calls.app

    @property
    def credential(self) -> Credential:
        """Whose login it is."""
        return self.calls.credential

    # --------------------------------------------------------------------------------------------- before it begins

    def prepare(self, *, device: bool) -> str | None:
        """See that the token set can be put in the end, and find where the login begins; nobody is asked anything yet.

        Returns:
            The endpoint of this way in; None where the provider has none.

        Raises:
            Refused: The client is not known.
            LoginFailed: The issuer's metadata is not to be trusted, or cannot be read.
            StoreError: The secret cannot be read or written.
            AuditUnavailable: The login could not be recorded.
        """
        with contextlib.suppress(SecretNotFound):
            self.app.retrier.call(lambda: self.app.stores[self.credential.store].prove_writable(self.credential.secret))
        self.app.trail.prove_writable()
        self.calls.client()
        name = "device_authorization_endpoint" if device else "authorization_endpoint"
        return self.calls.found(name)[name]

    # ------------------------------------------------------------------------------------------- the device's way

    def by_device(self, endpoint: str | None) -> Versioned:
        """Show a code that the person enters elsewhere, wait, and put the token set.

        Raises:
            LoginFailed: The person said no, took too long, or the provider offers no such login.
            RotatorError: As `prepare` and `Operations.put`.
        """
        if not endpoint:
            raise LoginFailed(
                f"{self.credential.provider.name} has no device_authorization_endpoint",
                hint=f"log in by a browser: rotator login {self.credential.name}",
            )
        own = {"client_id": self.calls.client().client_id or "", "scope": self._scope}
        reply = self.calls.post(endpoint, {**dict(self.credential.provider.login_parameters), **own})
        answer = read_json(reply)
        code, shown = answer.get("device_code"), answer.get("user_code")
        where = answer.get("verification_uri") or answer.get("verification_url")
        if reply.status != OK or not (isinstance(code, str) and isinstance(shown, str) and isinstance(where, str)):
            hint = self._mend(answer, "see the provider's settings")
            raise LoginFailed(f"no code was handed out: {told(reply, answer)}", hint=hint)
        self.say(f"open {where} and enter {shown}")
        whole = answer.get("verification_uri_complete")
        if isinstance(whole, str):
            self.say(f"or open {whole}")
        return self._put(self._poll(code, number(answer, "interval", INTERVAL_S), number(answer, "expires_in", 600.0)))

    def _poll(self, code: str, interval_s: float, lives_s: float) -> bytes:
        """Ask until the person has spoken (RFC 8628 sections 3.4 and 3.5)."""
        clock = self.app.surroundings.clock
        ends_at = clock.now() + timedelta(seconds=min(lives_s, LONGEST_S))
        while clock.now() < ends_at:
            clock.sleep(interval_s)
            try:
                reply = self.calls.token({"grant_type": DEVICE_GRANT, "device_code": code}, Secret(code))
            except ProviderUnreachable:
                interval_s *= 2  # RFC 8628 section 3.5, of a connection timeout
                continue
            answer = read_json(reply)
            if _granted(reply, answer):
                return reply.body
            match answer.get("error"):
                case "authorization_pending":
                    pass
                case "slow_down":
                    interval_s += INTERVAL_S
                case "access_denied":
                    raise LoginFailed("the person said no", hint=self._again)
                case "expired_token":
                    break
                case _:
                    hint = self._mend(answer, self._again)
                    raise LoginFailed(f"the code was refused: {told(reply, answer)}", hint=hint)
        raise LoginFailed("the code was not entered in time", hint=self._again)

    # ------------------------------------------------------------------------------------------ the browser's way

    def by_browser(
        self,
        endpoint: str | None,
        redirect_uri: str,
        show: Callable[[str], None],
        wait: Callable[[str], Redirect | None],
    ) -> Versioned:
        """Send the person's browser to the provider, take what it brings back, and put the token set.

        Args:
            redirect_uri: Where somebody listens already.
            show: Opens an address in the browser, or prints it.
            wait: Returns what the browser brought back with this `state`; when the time is up what it brought without,
                or None when nobody came.

        Raises:
            LoginFailed: As `by_device`; or what came back was not asked for here.
            RotatorError: As `prepare` and `Operations.put`.
        """
        if not endpoint:
            raise LoginFailed(
                f"{self.credential.provider.name} has no authorization_endpoint",
                hint=f"set it, or `issuer`; or: rotator login {self.credential.name} --device",
            )
        ids = self.app.surroundings.ids
        state, verifier = (f"{ids.new_id()}{ids.new_id()}".replace("-", "") for _ in range(2))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            **dict(self.credential.provider.login_parameters),
            "response_type": "code",
            "client_id": self.calls.client().client_id,
            "redirect_uri": redirect_uri,
            "scope": self._scope,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        joint = "&" if urlsplit(endpoint).query else "?"
        show(f"{endpoint}{joint}{urlencode({name: text for name, text in query.items() if text})}")
        back = wait(state)
        if back is None:
            raise LoginFailed("nobody came back from the browser in time", hint=self._again)
        code = self._code(back, state)
        parameters = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        reply = self.calls.token(parameters, Secret(code), Secret(verifier))
        answer = read_json(reply)
        if not _granted(reply, answer):
            hint = self._mend(answer, self._again)
            raise LoginFailed(f"the code was refused: {told(reply, answer)}", hint=hint)
        return self._put(reply.body)

    def _code(self, back: Redirect, state: str) -> str:
        """Return the code that came back, if it came back from where the browser was sent."""
        given = back.parameters
        if not back.answers(state):
            raise LoginFailed("what the browser brought back was not asked for here: another `state`", hint=self._again)
        issuer = self.credential.provider.issuer
        if issuer and "iss" in given and given["iss"] != issuer:  # RFC 9207 section 2.4
            raise LoginFailed("what the browser brought back is another issuer's", hint=self._again)
        if "error" in given:
            if given["error"] == "access_denied":
                raise LoginFailed("the person said no", hint=self._again)
            raise LoginFailed(f"it was refused{error_code(given)}", hint=self._mend(given, self._again))
        if not given.get("code"):
            raise LoginFailed("the browser brought no code back", hint=self._again)
        return given["code"]

    # ---------------------------------------------------------------------------------------------- what is shared

    @property
    def _scope(self) -> str:
        return " ".join((self.credential.scope or self.credential.provider.login_scope or "").split())

    @property
    def _again(self) -> str:
        return f"begin anew: {self.command}"

    def _mend(self, answer: Mapping[str, Any], otherwise: str) -> str:
        """Return what to do about a refusal: to begin anew mends none that is about the client or the request."""
        code = answer.get("error")
        return MISCONFIGURED.get(code, otherwise) if isinstance(code, str) else otherwise

    def _put(self, body: bytes) -> Versioned:
        """Put the token set; where that fails, keep it for the person in a file that nobody else can read."""
        if isinstance(parse_document(body), Malformed):
            raise LoginFailed("the provider's answer is no token set", hint=self._again)
        operations = Operations(self.app)
        try:
            return self.app.retrier.call(lambda: operations.put(self.credential, body))
        except Refused:
            raise  # no usable token set: there is nothing to keep
        except RotatorError as error:
            problem = error.message
        what = f"the login worked, and its token set may not have been put: {problem}"
        file = Path(f"rotator-login-{self.app.surroundings.ids.new_id()}.json")
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(body)
                stream.flush()
                os.fsync(descriptor)
        except OSError as error:
            raise LoginFailed(f"{what}; nor can it be kept here: {error.strerror}", hint=self._again) from None
        raise LoginFailed(
            f"{what}; it is kept in {file}",
            hint=f"mend that, then: rotator put {self.credential.name} {file} && rm {file}",
        )
