"""Classifying what a token endpoint answered: by the profile's rules, then the error code, then the status. Pure.

The classes decide whether the refresh token may be presented again, so the rule behind every line is: `RateLimited`,
`Unavailable` and `Misconfigured` are for answers that say "not processed"; what does not say so is `InDoubt`; and
`Rejected` takes an explicit word of the server. Statuses come after codes, for Auth0 sends `invalid_grant` as 403 and
GitHub sends errors as 200. Sources: RFC 6749 section 5.2, RFC 9110 section 15, RFC 6585, the vendors' pages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeGuard, assert_never

from rotator.http_messages import values_of
from rotator.model import InDoubt, Misconfigured, RateLimited, Refreshed, Rejected, Unavailable
from rotator.oauth import RETRY_MISCONFIGURED_S, echoes_of, longest_first
from rotator.pacing import http_date, retry_after_s, told
from rotator.redact import Secret, without
from rotator.token_sets import carries_tokens, members_of, refreshed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from rotator.http_messages import HttpReply
    from rotator.model import AnswerClass, AnswerRule, RefreshRequest, TokenAnswer

RETRY_S = 60.0
"""Without a word of the provider: no grant is asked for more often than once a minute after a failure."""

RETRY_BLOCKED_S = 900.0
"""A 403 without a code is a firewall's; asking quickly makes it worse."""

RETRY_CLIENT_S = 900.0
"""Wrong client credentials: slow enough for a lockout counter (RFC 6749 section 2.3.1), soon enough once mended."""

SKEW_S = 30.0
"""Further apart the clocks endanger client assertions, whose life is a minute."""

LONGEST_CODE = 100
LONGEST_SEARCHED = 4000
"""Characters of a description that a rule's pattern is searched in."""

REJECTED = frozenset({
    "invalid_grant",  # RFC 6749 section 5.2
    "interaction_required", "consent_required", "login_required",  # OpenID Connect Core section 3.1.2.6; Entra
    "mfa_required",  # Auth0
})  # fmt: skip

RATE_LIMITED = frozenset({"too_many_requests", "too_many_attempts"})  # Auth0

UNAVAILABLE = frozenset({"server_error", "temporarily_unavailable"})  # RFC 6749 section 4.1.2.1; Entra, Google, Hydra

_DPOP = "this provider demands DPoP (RFC 9449), which is not supported: turn it off for this client"

MISCONFIGURED = {
    "invalid_request": "the provider calls the request malformed: compare body, client_auth and scope with its page",
    "invalid_client": "the provider refuses the client's credentials: check client_id, client_secret or private_key, "
    "client_auth and basic_encoding",
    "unauthorized_client": "this client may not use this grant, or its credentials are wrong",
    "unsupported_grant_type": "this endpoint does not know this grant: check token_endpoint and `grant`",
    "invalid_scope": "ask for less in `scope`, or leave it out",
    "invalid_target": "check the query of token_endpoint",
    "invalid_resource": "check the query of token_endpoint",
    "access_denied": "the provider denies access: ask its operator whether the user is blocked or a rule denies the "
    "refresh; a new login may be needed",
    "use_dpop_nonce": _DPOP,
    "invalid_dpop_proof": _DPOP,
}

STANDING_REFUSED = (
    "the provider refuses this client's own grant: check its key, `subject`, `audience` and scope, and whether "
    "somebody has to approve it there"
)

WRONG_ENDPOINT = frozenset({404, 405, 406, 413, 415, 501})
"""The address, or what is sent to it, is wrong; nothing looked at the refresh token."""

AT_ONCE = frozenset({408, 421, 425})
"""May be repeated at once on another connection: RFC 9110 sections 15.5.9 and 15.5.20, RFC 8470 section 5.2."""

NOT_PROCESSED = AT_ONCE | {409}
"""With fosite's status for a lost race, after which it rolls back."""


def classify(
    reply: HttpReply, request: RefreshRequest, now: datetime, *, echoes: tuple[Secret, ...] = ()
) -> TokenAnswer:
    """Return what a reply means. Never raises; no text of the answer holds a secret.

    Args:
        now: When the reply arrived.
        echoes: What the server could quote beside the request's own secrets: an assertion, an Authorization header.
    """
    answer = _classified(reply, request, now, echoes)
    if isinstance(answer, Rejected) and request.provider.stands:
        # No login mends it, and the next request does no harm: it is tried again like any other refusal of the client.
        words = f"; it says: {answer.description}" if answer.description else ""
        answer = Misconfigured(answer.error, STANDING_REFUSED + words, RETRY_MISCONFIGURED_S)
    if isinstance(answer, RateLimited):
        return answer
    cooldown_s = retry_after_s(reply.headers, now)
    if isinstance(answer, Refreshed):
        return replace(answer, cooldown_s=cooldown_s, told=told(reply.headers, now))
    return replace(answer, cooldown_s=cooldown_s)


def _classified(reply: HttpReply, request: RefreshRequest, now: datetime, echoes: tuple[Secret, ...]) -> TokenAnswer:
    members = members_of(reply, form=request.provider.form_reply)
    case = _case(reply, request, now, members, echoes)
    if members is not None and carries_tokens(members, request.refresh_token) and not case.grants:
        return case.in_doubt("it carries tokens and is no success")
    if reply.success and members is None:
        return case.in_doubt("it cannot be read")
    if reply.success and members is not None and not case.complains:
        return _success(case, members)
    for rule in request.provider.rules:
        if case.matches(rule):
            return case.of_class(rule.then)
    return _by_code(case) or _by_status(case)


@dataclass(frozen=True, slots=True)
class _Case:
    """A reply with what it says about an error.

    Args:
        code: The error code, unmasked, for comparing only; empty when there is none that is text.
        complains: It reports an error, with or without a code.
        grants: It is a success by status and members.
    """

    reply: HttpReply
    request: RefreshRequest
    now: datetime
    code: str
    description: str
    complains: bool
    grants: bool
    masks: tuple[Secret, ...]

    @property
    def error(self) -> str:
        """The code, else the status, fit to be shown."""
        return self.shown(self.code, LONGEST_CODE) or f"http_{self.reply.status}"

    @property
    def said(self) -> str:
        """The provider's own words, for the end of a hint."""
        challenge = " ".join(values_of(self.reply.headers, "www-authenticate")) if self.reply.status == 401 else ""  # noqa: PLR2004 - RFC 9110 section 11.6.1
        words = self.shown(" ".join(filter(None, (self.description, challenge))))
        return f"; it says: {words}" if words else ""

    def shown(self, text: str, limit: int = 500) -> str:
        return without(text, self.masks, limit=limit)

    def matches(self, rule: AnswerRule) -> bool:
        if rule.status is not None and rule.status != self.reply.status:
            return False
        if rule.code is not None and rule.code != self.code:
            return False
        return rule.description is None or rule.description.search(self.description[:LONGEST_SEARCHED]) is not None

    def of_class(self, then: AnswerClass) -> TokenAnswer:
        match then:
            case "reauthorize":
                return Rejected(self.error, self.shown(self.description))
            case "rate_limited":
                return RateLimited(self.wait_s(RETRY_S, limited=True), self.error)
            case "unavailable":
                return self.unavailable(RETRY_S)
            case "misconfigured":
                return self.misconfigured(MISCONFIGURED.get(self.code, "see the provider's page on this error"))
            case "in_doubt":
                return self.in_doubt(f"it reports {self.error}")
            case _:
                assert_never(then)

    def wait_s(self, default_s: float, *, limited: bool = False) -> float:
        asked_s = retry_after_s(self.reply.headers, self.now, limited=limited)
        return default_s if asked_s is None else asked_s

    def unavailable(self, default_s: float, *, at_once: bool = False) -> Unavailable:
        asked_s = retry_after_s(self.reply.headers, self.now)
        return Unavailable(asked_s or default_s, self.error, at_once=at_once and asked_s is None)

    def misconfigured(self, hint: str, wait_s: float = RETRY_MISCONFIGURED_S) -> Misconfigured:
        return Misconfigured(self.error, f"{hint}{self.said}", max(wait_s, self.wait_s(0.0)))

    def in_doubt(self, why: str) -> InDoubt:
        # Latin-1 turns any bytes into text and back.
        body = Secret(self.reply.body.decode("latin-1")) if self.reply.body else None
        return InDoubt(f"the reply with status {self.reply.status} leaves open what happened: {why}", body)


def _case(
    reply: HttpReply,
    request: RefreshRequest,
    now: datetime,
    members: Mapping[str, Any] | None,
    echoes: tuple[Secret, ...],
) -> _Case:
    members = members or {}
    granted = reply.success and _is_text(members.get("access_token"))
    # Beside a token, `status` and the like may be innocent; `error` and `ok: false` never are.
    names = ("error",) if granted else request.provider.error_members
    values = [members[name] for name in names if members.get(name)]
    complains = bool(values) or bool(members.get("error")) or members.get("ok") is False
    spoken = (members.get(name) for name in request.provider.description_members)
    return _Case(
        reply=reply,
        request=request,
        now=now,
        code=next(filter(_is_text, values), ""),
        description=" ".join(filter(_is_text, spoken)),
        complains=complains,
        grants=granted and not complains,
        masks=longest_first(*echoes, *echoes_of(request)),
    )


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value != ""


def _success(case: _Case, members: Mapping[str, Any]) -> TokenAnswer:
    result = refreshed(members, case.reply.headers, case.request, case.masks)
    if isinstance(result, str):
        return case.in_doubt(result)
    ahead_s = skew_s(case.reply)
    if abs(ahead_s) <= SKEW_S:
        return result
    return Refreshed(result.tokens, (*result.warnings, _about_clocks(ahead_s)))


def _by_code(case: _Case) -> TokenAnswer | None:
    """Return the class of a known error code; codes in informational replies and redirects mean nothing."""
    if not case.reply.success and case.reply.status < 400:  # noqa: PLR2004 - where errors begin
        return None
    if case.code in REJECTED:
        return case.of_class("reauthorize")
    if case.code in RATE_LIMITED or case.reply.status == 429:  # noqa: PLR2004 - RFC 6585 section 4
        return case.of_class("rate_limited")
    if case.reply.status in NOT_PROCESSED:
        return None  # whatever the code: the status itself says that nothing happened
    if case.code in UNAVAILABLE:
        return case.of_class("unavailable")
    if case.code == "invalid_client":
        ahead_s = skew_s(case.reply)
        clocks = f"; {_about_clocks(ahead_s)}" if abs(ahead_s) > SKEW_S else ""
        return case.misconfigured(MISCONFIGURED[case.code] + clocks, RETRY_CLIENT_S)
    if case.code in MISCONFIGURED:
        return case.of_class("misconfigured")
    return None


def _by_status(case: _Case) -> TokenAnswer:
    status = case.reply.status
    if status in NOT_PROCESSED or status == 503:  # noqa: PLR2004 - RFC 9110 section 15.6.4: unable to handle it
        return case.unavailable(RETRY_S, at_once=status in AT_ONCE)
    if status in WRONG_ENDPOINT:
        return case.misconfigured("the address or the form of the request is wrong: check token_endpoint and body")
    if status == 403 and not case.complains:  # noqa: PLR2004 - a firewall's, not the authorization server's
        return Unavailable(max(RETRY_BLOCKED_S, case.wait_s(0.0)), case.error)
    if status == 401 and not case.complains:  # noqa: PLR2004 - only client authentication fails like this
        return case.misconfigured(MISCONFIGURED["invalid_client"], RETRY_CLIENT_S)
    if 300 <= status < 400 and status != 303:  # noqa: PLR2004 - 303 is the result of a processed POST (15.4.4)
        return case.misconfigured("a redirect is never followed: set token_endpoint to the final address")
    if 400 <= status < 500:  # noqa: PLR2004 - the class says that the request was refused
        return case.misconfigured(
            "this error is not known: see the provider's page on it; a rule in the provider's entry can classify it"
        )
    # 500, 502 and 504 may be a gateway that lost the answer; 2xx with an unknown code (Slack's fatal_error: "some
    # aspect of the operation may have succeeded"), 1xx, 303 and whatever else do not say that nothing happened.
    return case.in_doubt(f"it reports {case.error}")


def skew_s(reply: HttpReply) -> float:
    """Return by how much the provider's clock is ahead of ours, by its `Date`; 0 when it fits or is missing."""
    date = http_date(" ".join(values_of(reply.headers, "date")))
    if date is None or reply.sent_at <= date <= reply.received_at:
        return 0.0
    nearest = reply.received_at if date > reply.received_at else reply.sent_at
    return (date - nearest).total_seconds()


def _about_clocks(ahead_s: float) -> str:
    return f"the provider's clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} ours: check NTP"
