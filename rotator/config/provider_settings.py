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
    """A refresh token may be presented again within `window` seconds of the first time."""

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
    """At most `requests` in any `per` seconds."""

    requests: Count
    per: Duration


class RuleSettings(Section):
    """How one answer is read: the class `then` of answers that match all that is given."""

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
    """What a profile states and a provider's entry overrides: the fields of `rotator.model.Provider`."""

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
    """

    model_config = ConfigDict(extra="allow")

    profile: Text

    @property
    def others(self) -> Mapping[str, Any]:
        """The keys that are no field: the profile's variables, or mistakes."""
        return self.model_extra or {}
