"""One tenant of the sandbox: its settings, its tokens, its faults and its report, behind one lock."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rotator.testing.sandbox.families import TokenBook
from rotator.testing.sandbox.faults import Fault, Injection, bent, over_rate, refusal
from rotator.testing.sandbox.logins import Logins
from rotator.testing.sandbox.messages import error_reply, json_reply, read_token_request
from rotator.testing.sandbox.oauth import TokenServer
from rotator.testing.sandbox.pacing import SlidingWindow, Waits, pacing_headers
from rotator.testing.sandbox.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.ports import Clock, Ids
    from rotator.redact import Secret
    from rotator.testing.sandbox.faults import FaultKind
    from rotator.testing.sandbox.messages import Reply, TokenReply, TokenRequest
    from rotator.testing.sandbox.pacing import PacedBy
    from rotator.testing.sandbox.settings import FaceSettings


@dataclass(frozen=True, slots=True)
class Arrival:
    """A token request on its way through a face.

    Args:
        fault: What is to go wrong with it, if anything.
        refused: The answer, when it is refused before it is looked at.
        headers: To be added to the answer if it is processed.
    """

    request: TokenRequest
    fault: Fault | None = None
    refused: Reply | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def loses_the_answer(self) -> bool:
        """Whether the fault keeps a token response from the client."""
        return self.fault is not None and self.fault.loses_the_answer


class Face:
    """One tenant. Thread-safe; each request is processed as a whole, so two never interleave."""

    def __init__(self, settings: FaceSettings, clock: Clock, ids: Ids) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.RLock()
        self._counters = Report()
        self._book = TokenBook(settings, clock, ids, self._counters)
        self._logins = Logins(settings, self._book, clock, ids)
        self._oauth = TokenServer(settings, self._book, clock, self._audiences, self._logins)
        self._window = SlidingWindow(clock)
        self._waits = Waits(clock)
        self._injections: list[Injection] = []
        self._url = ""

    @property
    def settings(self) -> FaceSettings:
        """The settings, which may be changed in place."""
        return self._settings

    @property
    def token_endpoint(self) -> str:
        """The URL of the token endpoint, once the server listens."""
        return self._url + self._settings.token_path

    def at(self, url: str) -> None:
        """Say where the server listens."""
        self._url = url
        self._book.issuer = f"{url}/"

    # ------------------------------------------------------------------------------------------- for the tests

    def login(
        self, client_id: str, *, scope: str = "openid offline_access", subject: str = "sandbox|user"
    ) -> TokenReply:
        """Let a person log in and return the token response (RFC 6749 section 5.1): a new family.

        Raises:
            LookupError: There is no such client.
        """
        if client_id not in self._settings.clients:
            raise LookupError(f"{self._settings.name}: there is no client {client_id!r}")
        with self._lock:
            return self._book.login(client_id, scope, subject)

    def fault(
        self,
        kind: FaultKind,
        *,
        times: int | None = 1,
        probability: float = 1.0,
        seed: int = 0,
        when: Callable[[TokenRequest], bool] = lambda _: True,
        **details: Any,
    ) -> Injection:
        """Inject a fault; when several match a request, the one injected first hits it.

        Args:
            kind: One of `rotator.testing.sandbox.faults.FAULT_KINDS`.
            times: As in `Injection`, like `probability`, `seed` and `when`.
            details: Fields of `Fault`.

        Returns:
            The injection; its `hits` counts the requests hit so far.

        Raises:
            ValueError: There is no such kind.
        """
        injection = Injection(Fault(kind=kind, **details), times=times, probability=probability, seed=seed, when=when)
        with self._lock:
            self._injections.append(injection)
        return injection

    def clear_faults(self) -> None:
        """Take all faults back."""
        with self._lock:
            self._injections.clear()

    @property
    def report(self) -> Report:
        """What happened so far."""
        with self._lock:
            return self._counters.copy()

    def dump(self) -> dict[str, Any]:
        """Return the report and the number of logins that still work, as JSON values; no token is in it."""
        with self._lock:
            return {**asdict(self._counters.copy()), "live_families": self._book.live_families()}

    def access_token_valid(self, token: str) -> bool:
        """Return whether a resource server would accept the access token now."""
        with self._lock:
            return self._book.access_token_valid(token)

    def family_of(self, refresh_token: str) -> int:
        """Return the number of the login that a refresh token, used or not, descends from.

        Raises:
            LookupError: It was not issued here.
        """
        with self._lock:
            family = self._book.family_of(refresh_token)
        if family is None:
            raise LookupError(f"{self._settings.name}: the refresh token was not issued here")
        return family.number

    def live_refresh_token(self, family: int) -> Secret | None:
        """Return the newest refresh token of a login that still works; None when a person has to log in again.

        Raises:
            LookupError: There is no such login.
        """
        with self._lock:
            return self._book.live(self._book.numbered(family))

    def revoke(self, family: int) -> None:
        """Revoke a login, as a person does at the provider.

        Raises:
            LookupError: There is no such login.
        """
        with self._lock:
            self._book.revoke(self._book.numbered(family))

    def label(self, refresh_token: str) -> str:
        """Return the label under which a refresh token appears in the report."""
        with self._lock:
            return self._book.label(refresh_token)

    # ------------------------------------------------------------------------------------------ for the server

    def arrival(self, authorization: str, content_type: str, body: bytes) -> Arrival:
        """Count a request that arrived whole and say what becomes of it; a header that is missing is empty."""
        request = read_token_request(authorization, content_type, body, self._settings)
        client_id = request.claimed_client_id
        with self._lock:
            self._counters.requests += 1
            self._counters.sent_too_early += self._waits.too_early(client_id)
            if request.refresh_token is not None:
                self._counters.presented[self._book.label(request.refresh_token)] += 1
            refused, headers_of_pace = self._paced(client_id)
            if refused:
                return Arrival(request, refused=refused)
            fault = self._next_fault(request)
            if fault is None or not fault.refuses:
                return Arrival(request, fault=fault, headers=headers_of_pace)
            answer, not_before = refusal(
                fault, own_pacing=self._own_pacing, endpoint=self.token_endpoint, now=self._clock.now()
            )
            self._waits.told(client_id, not_before)
            return Arrival(request, fault=fault, refused=answer)

    def process(self, arrival: Arrival) -> Reply:
        """Look at the request and answer it: from here on its refresh token is spent if it is good."""
        with self._lock:
            if arrival.request.refresh_token is not None:
                self._counters.processed[self._book.label(arrival.request.refresh_token)] += 1
            reply = self._oauth.answer(arrival.request)
            self._counters.refreshes += reply.issued_tokens
            self._counters.replies_lost_after_processing += reply.issued_tokens and arrival.loses_the_answer
            return reply.with_headers(arrival.headers)

    def bend(self, arrival: Arrival, reply: Reply) -> Reply:
        """Return the answer as the fault of this request changes it, if it does."""
        return bent(arrival.fault, reply) if arrival.fault and reply.issued_tokens else reply

    def undelivered(self, arrival: Arrival, reply: Reply) -> None:
        """Count a token response that the client was not there to read, unless its fault has counted it."""
        with self._lock:
            self._counters.replies_lost_after_processing += reply.issued_tokens and not arrival.loses_the_answer

    def elsewhere(self, method: str, path: str, query: str, content_type: str, body: bytes) -> Reply | None:
        """Answer a request to one of the tenant's other endpoints; None where there is none of this path.

        They lie below the token endpoint: `/authorize`, `/device` and the page `/activate` for its person, `/revoke`,
        and `/.well-known/openid-configuration`.
        """
        below = path.removeprefix(self._settings.token_path)
        with self._lock:
            match method, below if below != path else "":
                case "GET", "/authorize":
                    return self._logins.authorize(query, self.issuer)
                case "POST", "/device":
                    request = read_token_request("", content_type, body, self._settings)
                    if request.problem:
                        return error_reply(400, "invalid_request", request.problem)
                    return self._logins.device(dict(request.parameters), f"{self.token_endpoint}/activate")
                case "GET", "/activate":
                    return self._logins.activate(query)
                case "POST", "/revoke":
                    request = read_token_request("", content_type, body, self._settings)
                    return self._revocation(dict(request.parameters))
                case "GET", "/.well-known/openid-configuration":
                    return json_reply(200, self.metadata)
                case _:
                    return None

    def _revocation(self, parameters: dict[str, str]) -> Reply:
        """Answer RFC 7009: 200 also for what is not known; the client proves itself in the body."""
        client = self._settings.clients.get(parameters.get("client_id", ""))
        if client is None or not client.check_client_secret(parameters.get("client_secret", "")):
            return error_reply(401, "invalid_client", "The client is not known.")
        if self._settings.person == "denies":
            return error_reply(503, "temporarily_unavailable", "Not now.")
        family = self._book.family_of(parameters.get("token", ""))
        if family is not None and family.client_id == client.client_id:
            self._book.revoke(family)
        return json_reply(200, {})

    def say(self, user_code: str, word: str) -> None:
        """Let a person say `approved` or `denied` to a device that shows a code.

        Raises:
            LookupError: None shows it.
        """
        with self._lock:
            self._logins.say(user_code, word)

    @property
    def issuer(self) -> str:
        """Under which the tenant's metadata is found."""
        return self.token_endpoint

    @property
    def metadata(self) -> dict[str, str]:
        """What it says of itself (RFC 8414 section 2)."""
        return {
            "issuer": self.issuer,
            "token_endpoint": self.token_endpoint,
            "authorization_endpoint": f"{self.token_endpoint}/authorize",
            "device_authorization_endpoint": f"{self.token_endpoint}/device",
            "revocation_endpoint": f"{self.token_endpoint}/revoke",
        }

    def _audiences(self) -> tuple[str, ...]:
        return self.token_endpoint, self._url, f"{self._url}/"

    @property
    def _own_pacing(self) -> PacedBy:
        return "seconds" if self._settings.paced_by == "retry_after" else "x_ratelimit"

    def _next_fault(self, request: TokenRequest) -> Fault | None:
        for injection in self._injections:
            if injection.strikes(request):
                self._counters.faults += 1
                return injection.fault
        return None

    def _paced(self, client_id: str) -> tuple[Reply | None, tuple[tuple[str, str], ...]]:
        """Count the request against the limit; return its refusal, or the headers that go with its answer."""
        limit = self._settings.rate_limit
        if limit is None:
            return None, ()
        pace = self._window.arrival(client_id, limit)
        now = self._clock.now()
        if pace.over:
            self._counters.rejected_over_rate += 1
            headers, not_before = pacing_headers(self._own_pacing, pace.reset_s, now, limit=pace.limit)
            self._waits.told(client_id, not_before)
            return over_rate(429, headers), ()
        if self._settings.paced_by == "retry_after":
            return None, ()
        reset = (now + timedelta(seconds=pace.reset_s)).timestamp()
        return None, (
            ("x-ratelimit-limit", str(pace.limit)),
            ("x-ratelimit-remaining", str(pace.remaining)),
            ("x-ratelimit-reset", str(int(reset))),
        )
