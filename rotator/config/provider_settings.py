"""The `providers` section: what a profile states and an entry overrides."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

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
        then: What such an answer means.
        status: The HTTP status.
        code: The error code in the body.
        description: Found anywhere in the error's description.
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


class ProviderFields(Section):
    """What a profile states and a provider's entry overrides: the fields of `rotator.model.Provider`.

    Args:
        token_endpoint: Where refresh tokens are presented; `https://`, or `http://` on a loopback address.
        body: How the request is encoded.
        client_auth: How the client authenticates itself.
        basic_encoding: Of id and secret in `client_secret_basic`: `form` as in RFC 6749 section 2.3.1, or `raw`.
        timeout: A total deadline for one request.
        key_id: `kid` of the header of a private_key_jwt assertion.
        algorithm: That the assertion is signed with.
        audience: `aud` of the assertion; the token endpoint when left out.
        private_key: A PEM key for private_key_jwt.
        replay: Whether a refresh token may be presented again when its answer was lost: never, any time, until its
            successor was used, or within `{window: 30s}`.
        on_doubt: Under `never`: present it one last time shortly before expiry, or leave it to a person.
        old_access_token: What a refresh does to the access token before it.
        default_lifetime: Of an access token, where the answer names none.
        earliest_refresh: How old an access token has to be before the provider takes a refresh.
        refresh_before_expiry: How long before expiry a refresh falls due; when left out, a tenth of the lifetime,
            within bounds.
        refresh_token_idle: How long a refresh token lives unused; rotator uses it well before that.
        refresh_token_absolute: How long a grant lives whatever is done; rotator warns before that.
        error_members: Where the error code stands in an answer, in order.
        description_members: Where its description stands, likewise.
        rules: Answers that mean something else than RFC 6749 says; the first that matches counts.
        form_reply: Whether the answer is form-encoded instead of JSON.
        secret_optional: Whether `client_id` goes alone where no client secret is known.
        bearer_types: Further words of this provider for the token type Bearer.
        default_token_type: Taken for `token_type`, where the answer names none.
        rate_limit: What is never exceeded.
        issuer: Whose metadata names the endpoints below, where they are left out.
        authorization_endpoint: For `rotator login` by a browser.
        device_authorization_endpoint: For `rotator login` with `--device`.
        revocation_endpoint: For `rotator revoke`.
        login_scope: What a login asks for, where the credential has no `scope`.
        login_parameters: Further parameters of a login's request.
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
    login_parameters: dict[Text, Text] = Field(default_factory=dict)
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
