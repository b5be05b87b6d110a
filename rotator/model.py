"""The values that travel between the parts: frozen, without behaviour beyond their own arithmetic.

Instants are aware UTC `datetime`s. Durations are seconds as `float`, their names end in `_s`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from rotator.limits import RateLimit, Told
    from rotator.redact import Secret

Mode = Literal["daemon", "once", "lambda", "operator"]
ClientAuth = Literal["client_secret_post", "client_secret_basic", "private_key_jwt", "none"]
OnDoubt = Literal["wait_then_replay", "operator"]
GrantType = Literal["refresh_token", "client_credentials", "jwt_bearer"]
ReplayKind = Literal["never", "safe", "until_successor_used", "window"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: carried by every audit event and written into every claim and lease."""

    host: str
    pid: int
    mode: Mode
    instance: str

    @property
    def holder(self) -> str:
        """The name under which this process takes leases; unique to one start of one process."""
        return f"{self.host}/{self.pid}/{self.instance}"


# ------------------------------------------------------------------------------------------------ documents


@dataclass(frozen=True, slots=True, repr=False)
class Document:
    """A credential's JSON object, unknown fields included. Shown by its field names only."""

    fields: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Document({', '.join(sorted(map(str, self.fields)))})"


@dataclass(frozen=True, slots=True)
class Malformed:
    """A secret whose content is no document; `problem` says why without quoting it."""

    problem: str


@dataclass(frozen=True, slots=True)
class Versioned:
    """What a store returned for a secret.

    Args:
        identity: The secret's own identity, the same for every name that leads to it (an ARN, say).
        version: Opaque; equal texts mean the same content.
        created_at: When the store created this version, if it says so; a write's answer may only be near it, so it
            takes no part in comparisons.
        content: The document, or why it is none.
    """

    identity: str
    version: str
    created_at: datetime | None = field(compare=False)
    content: Document | Malformed


@dataclass(frozen=True, slots=True)
class Listed:
    """What a listing says of a secret, without its value; it may be minutes old.

    Args:
        identity: As `Versioned.identity`.
        version: As `Versioned.version`.
    """

    identity: str
    version: str


@dataclass(frozen=True, slots=True)
class Found:
    """A secret that was found by name and labels, without its value; what is said of it may be minutes old.

    Args:
        secret: The name by which the store reads it.
        identity: As `Versioned.identity`.
        version: As `Versioned.version`; None where it exists and holds no value.
        labels: All its labels, those that nobody asked for as well.
    """

    secret: str
    identity: str
    version: str | None
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StoredTokens:
    """What a document says about its tokens, already validated.

    Args:
        refresh_token: What the next refresh presents; None with a grant that needs none.
        issued_at: When the access token was issued, if that is known.
        expires_at: When it stops working; None is unknown and counts as due now.
        standing: The name of a grant that needs no refresh token (`Provider.stands`); empty with one that does.
    """

    refresh_token: Secret | None
    access_token: Secret | None
    issued_at: datetime | None
    expires_at: datetime | None
    scope: str | None
    client_id: str | None
    client_secret: Secret | None
    id_token: Secret | None
    standing: str = ""


@dataclass(frozen=True, slots=True)
class TokenTimes:
    """When the access token of a document was issued and when it ends, where no more than that is known of it."""

    issued_at: datetime | None
    expires_at: datetime | None


# ------------------------------------------------------------------------------------------------- providers


@dataclass(frozen=True, slots=True)
class Replay:
    """What happens at the provider when a refresh token whose reply was lost is presented again.

    Args:
        kind: `never` spends the grant; `safe` does no harm at any time; `until_successor_used` works because the
            successor was never used; `window` works within `window_s` of the first presentation.
    """

    kind: ReplayKind
    window_s: float = 0.0


AnswerClass = Literal["reauthorize", "rate_limited", "unavailable", "misconfigured", "in_doubt"]


@dataclass(frozen=True, slots=True)
class AnswerRule:
    """How a provider's own habit differs from RFC 6749 section 5.2; the first rule that matches decides.

    Args:
        then: The class of the answer.
        status: The HTTP status it applies to; None for any.
        code: The error code, matched whole; None for any, a missing one included.
        description: A pattern searched in the description; None for any.
    """

    then: AnswerClass
    status: int | None = None
    code: str | None = None
    description: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider as configured: its profile with the overrides applied.

    Request shape: `token_endpoint` … `timeout_s`. Rotation semantics: `replay` … `refresh_token_absolute_s`.
    Reading of answers: `error_members` … `form_reply`. Pacing: `rate_limit`.

    Args:
        grant: How tokens are asked for; it and the three that follow are each credential's own.
        subject: `sub` of a `jwt_bearer` assertion; None is the client.
        assertion_claims: Further claims of it, which go before rotator's own; None leaves a claim out.
        token_parameters: Further parameters of a token request with a standing grant, such as Auth0's `audience`.
        secret_optional: Where no client secret is known, the client is a public one and sends its id alone.
        basic_encoding: `form` encodes id and secret as RFC 6749 section 2.3.1 demands; `raw` for servers that do
            not decode.
        old_access_token: What a refresh does to the access token that readers still hold.
        default_lifetime_s: Used when an answer names no lifetime; None means that there is no sensible default.
        earliest_refresh_s: An access token younger than this is not refreshed (some providers count it as abuse).
        refresh_token_idle_s: A refresh token that is not used for so long dies.
        refresh_token_absolute_s: The grant dies so long after the login, however often it is rotated.
        error_members: The members of an error body that may hold the code, in order.
        description_members: The members that may hold words about the error, which the rules' patterns are searched in.
        bearer_types: Further names of `token_type` under which the provider issues bearer tokens.
        form_reply: Accept a form-encoded success body (GitHub without `Accept`).
        issuer: Where a login finds the endpoints that are not configured (RFC 8414, OpenID Connect Discovery).
        login_scope: Asked for at a login, where the credential names none.
        login_parameters: Further parameters of a login's first request, such as Auth0's `audience`.
    """

    name: str
    profile: str
    token_endpoint: str
    body: Literal["form", "json"] = "form"
    client_auth: ClientAuth = "client_secret_post"
    secret_optional: bool = False
    basic_encoding: Literal["form", "raw"] = "form"
    timeout_s: float = 30.0
    key_id: str | None = None
    algorithm: str = "RS256"
    audience: str | None = None
    replay: Replay = Replay("never")
    on_doubt: OnDoubt = "wait_then_replay"
    old_access_token: Literal["kept", "revoked", "unknown"] = "unknown"
    default_lifetime_s: float | None = None
    earliest_refresh_s: float = 0.0
    refresh_before_expiry_s: float | None = None
    refresh_token_idle_s: float | None = None
    refresh_token_absolute_s: float | None = None
    error_members: tuple[str, ...] = ("error",)
    description_members: tuple[str, ...] = ("error_description", "error_hint", "message")
    rules: tuple[AnswerRule, ...] = ()
    form_reply: bool = False
    default_token_type: str | None = None
    bearer_types: tuple[str, ...] = ()
    rate_limit: RateLimit | None = None
    issuer: str | None = None
    authorization_endpoint: str | None = None
    device_authorization_endpoint: str | None = None
    revocation_endpoint: str | None = None
    login_scope: str | None = None
    login_parameters: tuple[tuple[str, str], ...] = ()
    grant: GrantType = "refresh_token"
    subject: str | None = None
    assertion_claims: tuple[tuple[str, str | int | bool | None], ...] = ()
    token_parameters: tuple[tuple[str, str], ...] = ()

    @property
    def stands(self) -> bool:
        """Whether the grant is the client's own and stands: nothing of it is spent by a request, and nobody logs in."""
        return self.grant != "refresh_token"

    @property
    def offers_login(self) -> bool:
        """Whether `rotator login` knows where to go."""
        return bool(self.issuer or self.authorization_endpoint or self.device_authorization_endpoint)


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential as configured, its provider and sources resolved.

    Args:
        client_secret: Called at each use, so that a rotated client secret is picked up; returns None when the
            configuration names none (the document may hold one). Raises ConfigError when the source fails, and
            StoreUnavailable when it lies in a store that does not answer.
        private_key: The same for the PEM key of private_key_jwt.
    """

    name: str
    provider: Provider
    store: str
    secret: str
    client_id: str | None = None
    client_secret: Callable[[], Secret | None] = field(default=lambda: None, compare=False)
    private_key: Callable[[], Secret | None] = field(default=lambda: None, compare=False)
    scope: str | None = None
    refresh_before_expiry_s: float | None = None

    @property
    def login(self) -> str:
        """The command by which a person gives it a new token set."""
        known = self.provider.offers_login or self.provider.stands
        return f"rotator login {self.name}" if known else f"rotator put {self.name}"

    @property
    def seed(self) -> str:
        """The command by which its document is made anew from nothing."""
        return self.login if self.provider.stands else f"rotator put {self.name}"

    @property
    def login_again(self) -> str:
        """What a person does about a grant, or a token set, that is lost."""
        if self.provider.stands:
            return f"get another token: {self.login}"
        again = "log in again" if self.provider.offers_login else "log in again and put the new token set"
        return f"{again}: {self.login}"


# ----------------------------------------------------------------------------------------------- the exchange


@dataclass(frozen=True, slots=True)
class RefreshRequest:
    """All that one token request needs (RFC 6749 sections 4.4 and 6, RFC 7523 section 2.1)."""

    provider: Provider
    refresh_token: Secret | None
    client_id: str | None
    client_secret: Secret | None = None
    private_key: Secret | None = None
    scope: str | None = None
    granted_scope: str | None = None
    id_token: Secret | None = None


@dataclass(frozen=True, slots=True)
class TokenSet:
    """What a successful answer carried (RFC 6749 section 5.1).

    Args:
        refresh_token: None when the answer held none: the old one stays.
        expires_in_s: None when the answer named no lifetime.
        refresh_expires_in_s: From the vendors' own members, if any.
        extra_problem: Why the access token must not be published (wrong subject, wrong type, control characters);
            the refresh token is kept all the same, for the old one is spent.
    """

    access_token: Secret
    refresh_token: Secret | None
    token_type: str
    scope: str | None
    id_token: Secret | None
    expires_in_s: float | None
    refresh_expires_in_s: float | None = None
    extra_problem: str | None = None


@dataclass(frozen=True, slots=True)
class Refreshed:
    """New tokens arrived. `warnings` are the server's defects that do no harm.

    Args:
        cooldown_s: As of a setback: with the last request of a window come the tokens, and the pause until the next.
    """

    tokens: TokenSet
    warnings: tuple[str, ...] = ()
    cooldown_s: float | None = None
    told: Told | None = None


@dataclass(frozen=True, slots=True)
class RateLimited:
    """The provider paces us: nothing was processed, and nobody may ask again before `retry_after_s` is over."""

    retry_after_s: float
    error: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Surely not processed: never sent, or the provider said so. `at_once`: one immediate retry is right."""

    retry_after_s: float
    error: str
    at_once: bool = False
    cooldown_s: float | None = None


@dataclass(frozen=True, slots=True)
class InDoubt:
    """The refresh token may be spent. `body` is what arrived of the reply, kept for an operator."""

    cause: str
    body: Secret | None = None
    cooldown_s: float | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The grant is dead: a person has to log in again."""

    error: str
    description: str = ""
    cooldown_s: float | None = None


@dataclass(frozen=True, slots=True)
class Misconfigured:
    """The request is wrong and an operator has to mend it; the refresh token is presumed intact."""

    error: str
    hint: str
    retry_after_s: float
    cooldown_s: float | None = None


Setback = RateLimited | Unavailable | InDoubt | Rejected | Misconfigured
"""An answer without new tokens. `cooldown_s` is how long the provider itself asked everybody to stay away
(`Retry-After` and its relatives), whatever else the answer means; None when it asked for nothing."""

TokenAnswer = Refreshed | Setback
