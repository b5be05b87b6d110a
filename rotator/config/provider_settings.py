"""The `providers` section: what a profile states and an entry overrides."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from rotator.config.durations import HINT, parse_duration
from rotator.config.secret_sources import SecretSource, Section
from rotator.config.values import (
    Count,
    Duration,
    DurationOrZero,
    Listed,
    Pattern,
    Scope,
    ServiceUrl,
    Text,
    TokenEndpointUrl,
    fault,
)
from rotator.model import AnswerClass, ClientAuth, OnDoubt

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Asymmetric ones only (RFC 7518 section 3.1, RFC 8037): the assertion is signed with a private key."""


class ReplayWindow(Section):
    """A refresh token may be presented again for a while after the first time.

    Args:
        window: How long; it helps only when it is longer than `timeout`.
    """

    window: Duration


_REPLAYS = ("never", "safe", "until_successor_used")


def _replay(value: object) -> object:
    if isinstance(value, Mapping) and set(value) == {"window"}:
        try:
            return ReplayWindow(window=parse_duration(value["window"]))
        except ValueError as error:
            raise fault(str(error), HINT, at=("window",)) from None
    if isinstance(value, ReplayWindow) or value in _REPLAYS:
        return value
    raise fault("is not known", f"one of {', '.join(_REPLAYS)}, or {{window: 30s}}")


class RateLimitSettings(Section):
    """At most `requests` in any `per`, of all replicas together, for one provider and client.

    Args:
        requests: How many.
        per: In how long a window, wherever it begins.
    """

    requests: Count
    per: Duration


class RuleSettings(Section):
    """How one answer is read: the class `then` of answers that match all that is given.

    Args:
        then: `reauthorize` is a dead grant; `rate_limited` and `unavailable` were surely not processed; `misconfigured`
            waits for an operator; `in_doubt` may have spent the refresh token.
        status: The HTTP status.
        code: The error code, matched whole.
        description: A pattern (Python's `re`) searched in the words about the error.
    """

    then: AnswerClass
    status: Count | None = None
    code: Text | None = None
    description: Pattern | None = None

    @model_validator(mode="after")
    def _says_when(self) -> "RuleSettings":
        if self.status is None and self.code is None and self.description is None:
            raise fault("matches every answer", "give a status, a code or a description")
        return self


LOGINS_OWN = frozenset(
    {
        *("response_type", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method"),
        *("client_id", "client_secret", "client_assertion", "client_assertion_type"),
    }
)
"""Parameters of a login's first request that rotator sets itself, or that belong into no address."""


def _not_its_own(name: str) -> str:
    if name in LOGINS_OWN:
        raise fault("is set by rotator itself", "leave it out; scope and client have keys of their own")
    return name


class ProviderFields(Section):
    """What a profile states and a provider's entry overrides: the fields of `rotator.model.Provider`.

    Args:
        token_endpoint: The URL that takes refresh_token grants.
        body: How parameters are sent.
        client_auth: How the client shows who it is (RFC 6749 section 2.3).
        basic_encoding: `form` encodes id and secret as RFC 6749 section 2.3.1 demands; `raw` for servers that do not
            decode.
        timeout: A request's total deadline.
        key_id: `kid` in the header of a private_key_jwt assertion.
        algorithm: By which the assertion is signed.
        audience: Whom the assertion is for; the token endpoint when left out.
        private_key: A PEM key that signs assertions.
        replay: What happens when a refresh token whose reply was lost is presented again. `never` spends the grant;
            `safe` does no harm at any time; `until_successor_used` works because the successor was never used;
            `{window: 30s}` works for so long after the first time.
        on_doubt: What follows a lost reply that no replay is known to mend.
        old_access_token: What a refresh does to the access token that readers still hold.
        default_lifetime: An access token's, used when an answer names none.
        earliest_refresh: An access token younger than this is not refreshed.
        refresh_before_expiry: How long before its end an access token is refreshed.
        refresh_token_idle: A refresh token that is not used for so long dies.
        refresh_token_absolute: The grant dies so long after the login, however often it is rotated.
        error_members: The members of an error body that may hold the code, in order.
        description_members: The members that may hold words about the error, in which rules' patterns are searched.
        rules: How answers are read that differ from RFC 6749 section 5.2; the first one that matches decides.
        form_reply: Accept a form-encoded success body.
        secret_optional: Where no client secret is known, the client is a public one and sends its id alone.
        default_token_type: Assumed where an answer names no token_type.
        bearer_types: Further names of token_type for what is a bearer token all the same.
        rate_limit: What is never exceeded, by all replicas together.
        issuer: Where a login finds the endpoints that are not configured.
        authorization_endpoint: Where a login by browser begins.
        device_authorization_endpoint: Where a login by device code begins.
        revocation_endpoint: Where `rotator revoke` ends a grant (RFC 7009).
        login_scope: Asked for at a login, where the credential names none.
        login_parameters: Further parameters of a login's first request.
        assertion_claims: Further claims of a jwt_bearer assertion; null leaves one out.
        token_parameters: Further parameters of a token request with a standing grant.
    """

    token_endpoint: TokenEndpointUrl | None = None
    body: Literal["form", "json"] = "form"
    client_auth: ClientAuth = "client_secret_post"
    basic_encoding: Literal["form", "raw"] = "form"
    timeout: Duration = 30.0
    key_id: Text | None = None
    algorithm: Algorithm = "RS256"
    audience: Text | None = None
    private_key: SecretSource | None = None
    replay: Annotated[Literal["never", "safe", "until_successor_used"] | ReplayWindow, BeforeValidator(_replay)] = (
        "never"
    )
    on_doubt: OnDoubt = "wait_then_replay"
    old_access_token: Literal["kept", "revoked", "unknown"] = "unknown"
    default_lifetime: Duration | None = None
    earliest_refresh: DurationOrZero = 0.0
    refresh_before_expiry: Duration | None = None
    refresh_token_idle: Duration | None = None
    refresh_token_absolute: Duration | None = None
    error_members: Annotated[tuple[Text, ...], Listed] = ("error",)
    description_members: Annotated[tuple[Text, ...], Listed] = ("error_description", "error_hint", "message")
    rules: Annotated[tuple[RuleSettings, ...], Listed] = ()
    form_reply: bool = False
    secret_optional: bool = False
    default_token_type: Text | None = None
    bearer_types: Annotated[tuple[Text, ...], Listed] = ()
    rate_limit: RateLimitSettings | None = None
    issuer: ServiceUrl | None = None
    authorization_endpoint: TokenEndpointUrl | None = None
    device_authorization_endpoint: TokenEndpointUrl | None = None
    revocation_endpoint: TokenEndpointUrl | None = None
    login_scope: Scope | None = None
    login_parameters: dict[Annotated[Text, AfterValidator(_not_its_own)], Text] = Field(default_factory=dict)
    assertion_claims: dict[Text, str | int | bool | None] = Field(default_factory=dict)
    token_parameters: dict[Text, Text] = Field(default_factory=dict)


class ProviderSettings(ProviderFields):
    """A provider's entry: a profile, the profile's variables, and the fields that differ.

    Other keys are let through here, because each profile has its own variables; `rotator.config.providers` refuses
    those that the profile does not declare.

    Args:
        profile: The name of a built-in profile, or of a plug-in's.
    """

    model_config = ConfigDict(extra="allow")

    profile: Text

    @property
    def others(self) -> Mapping[str, Any]:
        """The keys that are no field: the profile's variables, or mistakes."""
        return self.model_extra or {}
