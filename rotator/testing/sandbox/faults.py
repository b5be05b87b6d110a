"""What can go wrong on purpose between a client and a tenant: which requests it hits, and with what."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

from rotator.testing.sandbox.messages import Reply, error_reply, json_reply
from rotator.testing.sandbox.pacing import PacedBy, pacing_headers

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from datetime import datetime

    from rotator.testing.sandbox.messages import TokenRequest

Refusal = Literal[
    "rate_limited", "unavailable", "global_limit", "retry_please", "html_page", "redirect", "server_error"
]
"""Answered without looking at the refresh token.

`rate_limited`: 429. `unavailable`: 503. `global_limit`: Auth0's 500 for a rate limit. `retry_please`: Hydra's 400 for
two requests at once. `html_page`: 502 from a gateway. `redirect`: 307 back to the token endpoint, so that following
it shows as a second request. `server_error`: a bare 500.
"""
Loss = Literal["drop_after_processing", "truncated", "malformed_json", "html_after_processing"]
"""The refresh token is spent and the answer is lost: not sent; cut in the middle; with its last brace missing; replaced
by a gateway's error page."""
Oddity = Literal["wrong_content_type", "trickled", "duplicate_names"]
"""The answer arrives whole but odd: as `text/html`; in small pieces; with `access_token` in it twice."""
Delay = Literal["delay_before_processing", "delay_before_reply"]
FaultKind = Literal[Refusal, Loss, Oddity, Delay, "drop_before_processing"]

FAULT_KINDS: Final[tuple[str, ...]] = get_args(FaultKind)
_REFUSALS: Final = frozenset(get_args(Refusal))
_LOSSES: Final = frozenset(get_args(Loss))
_STATUS: Final[dict[Refusal, int]] = {
    "rate_limited": 429,
    "unavailable": 503,
    "global_limit": 500,
    "retry_please": 400,
    "html_page": 502,
    "redirect": 307,
    "server_error": 500,
}
_HTML: Final = b"<!DOCTYPE html><html><head><title>Error</title></head><body><h1>Error</h1></body></html>\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. Fields that its kind has no use for are ignored.

    Args:
        status: Replaces the HTTP status of a refusal or of a gateway's page.
        wait_s: How long `rate_limited`, `unavailable` and `global_limit` tell the client to wait.
        paced_by: In which header they do so; by default in the tenant's own, and with 503 in `Retry-After`.
        delay_s: Of a delay in all, of `trickled` between two pieces.
        until: Ends a delay as soon as it is set; `delay_s` is then counted in real seconds.
        reset: A dropped connection is reset (RST); without it, it is closed in order (FIN).
        location: Where `redirect` leads to; by default to the token endpoint itself.
    """

    kind: FaultKind
    status: int | None = None
    wait_s: float = 1.0
    paced_by: PacedBy | None = None
    delay_s: float = 0.0
    until: threading.Event | None = None
    reset: bool = True
    location: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in FAULT_KINDS:
            raise ValueError(f"no fault {self.kind!r}; there are {', '.join(FAULT_KINDS)}")

    @property
    def refuses(self) -> bool:
        """Whether the request is answered without being processed."""
        return self.kind in _REFUSALS

    @property
    def loses_the_answer(self) -> bool:
        """Whether a token response does not reach the client readably."""
        return self.kind in _LOSSES


class Injection:
    """A fault and the requests that it hits.

    Args:
        times: How many requests it hits before it is over; None is without end.
        probability: With which a matching request is hit; drawn from `seed`, one number per matching request.
        when: Which requests match; all by default.
    """

    def __init__(
        self,
        fault: Fault,
        *,
        times: int | None = 1,
        probability: float = 1.0,
        seed: int = 0,
        when: Callable[[TokenRequest], bool] = lambda _: True,
    ) -> None:
        self.fault = fault
        self.hits = 0
        self._times = times
        self._probability = probability
        self._random = random.Random(seed)  # noqa: S311 - which requests fail has to be repeatable
        self._when = when

    def strikes(self, request: TokenRequest) -> bool:
        """Return whether it hits this request, and count it if so. Not thread-safe."""
        if self._times is not None and self.hits >= self._times:
            return False
        if not self._when(request) or self._random.random() >= self._probability:
            return False
        self.hits += 1
        return True


def refusal(fault: Fault, *, own_pacing: PacedBy, endpoint: str, now: datetime) -> tuple[Reply, datetime]:
    """Return the answer of a fault that refuses, and the instant before which its client should not come again."""
    kind: Refusal = fault.kind  # type: ignore[assignment]  # the caller asked `refuses`
    status = fault.status or _STATUS[kind]
    if kind == "html_page":
        return html_page(status), now
    if kind == "redirect":
        return Reply(status, (("Location", fault.location or endpoint),), b""), now
    if kind == "retry_please":
        description = (
            "Failed to refresh token because of multiple concurrent requests using the same token."
            " Please retry the request."
        )
        return error_reply(status, "invalid_request", description), now
    if kind == "server_error":
        return json_reply(status, {"error": "server_error"}), now
    paced_by = fault.paced_by or ("seconds" if kind == "unavailable" else own_pacing)
    headers, not_before = pacing_headers(paced_by, fault.wait_s, now)
    if kind == "rate_limited":
        return over_rate(status, headers), not_before
    if kind == "global_limit":
        return error_reply(status, "access_denied", "Global limit has been reached", headers), not_before
    return error_reply(status, "temporarily_unavailable", "Come again later.", headers), not_before


def over_rate(status: int, headers: tuple[tuple[str, str], ...]) -> Reply:
    """Return the refusal of a request over the rate, as Auth0 words it."""
    return error_reply(status, "too_many_requests", "Rate limit exceeded.", headers)


def html_page(status: int) -> Reply:
    """Return a gateway's error page."""
    return Reply(status, (("Content-Type", "text/html; charset=utf-8"),), _HTML)


def bent(fault: Fault, reply: Reply) -> Reply:
    """Return the answer as the fault changes its text; other faults leave it as it is."""
    if fault.kind == "html_after_processing":
        return html_page(fault.status or 502)
    if fault.kind == "malformed_json":
        return Reply(reply.status, reply.headers, reply.body[:-1])
    if fault.kind == "duplicate_names":
        return Reply(reply.status, reply.headers, b'{"access_token": "sandbox_at_decoy", ' + reply.body[1:])
    if fault.kind == "wrong_content_type":
        others = tuple(header for header in reply.headers if header[0] != "Content-Type")
        return Reply(reply.status, (*others, ("Content-Type", "text/html")), reply.body)
    return reply
