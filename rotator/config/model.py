"""The settings: what the configuration file may say, section by section. Unknown keys are errors.

Durations are seconds once read. A relative path counts from the working directory.
"""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, PrivateAttr, Tag, model_validator

from rotator.addresses import is_loopback
from rotator.config.findings import Origin
from rotator.config.notify_settings import NotifySettings
from rotator.config.provider_settings import (
    Algorithm,
    ProviderFields,
    ProviderSettings,
    RateLimitSettings,
    ReplayWindow,
    RuleSettings,
)
from rotator.config.secret_sources import EnvSource, FileSource, SecretSource, Section, StoreSource
from rotator.config.state_settings import DynamoDbState, LocalState, StateSettings, VaultState
from rotator.config.store_settings import (
    AppRoleAuth,
    AwsAuth,
    AwsSecretsManagerStore,
    JwtAuth,
    KubernetesAuth,
    LocalStore,
    PlugIn,
    StoreSettings,
    TokenAuth,
    VaultAuth,
    VaultStore,
    WriteQuota,
)
from rotator.config.telemetry_settings import MetricsSettings, OtlpTraces, PushSettings, TracesSettings
from rotator.config.values import (
    Count,
    Duration,
    Listed,
    Listen,
    Name,
    Scope,
    Text,
    fault,
    kind_of,
    one_type,
)
from rotator.errors import Problem
from rotator.model import GrantType

__all__ = [
    "AppRoleAuth",
    "AuditSettings",
    "AwsAuth",
    "AwsSecretsManagerStore",
    "CredentialSettings",
    "DiscoverySettings",
    "DynamoDbState",
    "EnvSource",
    "EscrowSettings",
    "FileEscrow",
    "FileSource",
    "HttpSettings",
    "JsonlAudit",
    "JwtAuth",
    "KubernetesAuth",
    "LocalState",
    "LocalStore",
    "MetricsSettings",
    "OtlpTraces",
    "PlugIn",
    "ProviderFields",
    "ProviderSettings",
    "PushSettings",
    "RateLimitSettings",
    "ReplayWindow",
    "RuleSettings",
    "SealSettings",
    "SecretSource",
    "Settings",
    "StateEscrow",
    "StateSettings",
    "StoreSettings",
    "StoreSource",
    "TokenAuth",
    "TracesSettings",
    "VaultAuth",
    "VaultState",
    "VaultStore",
    "WriteQuota",
]


class StateEscrow(Section):
    """Sealed entries inside the state records, where every replica sees them."""

    type: Literal["state"] = "state"


class FileEscrow(Section):
    """Sealed entries in a folder of this machine.

    Args:
        path: The folder; made on first use, for its owner alone.
    """

    type: Literal["file"] = "file"
    path: Text = "var/escrow"


_ESCROW_TYPES = ("file", "state")
EscrowSettings = Annotated[
    Annotated[StateEscrow, Tag("#state")] | Annotated[FileEscrow, Tag("#file")],
    Discriminator(lambda value: kind_of(value, "type", _ESCROW_TYPES)),
    one_type("type", _ESCROW_TYPES),
]


class SealSettings(Section):
    """Where the key comes from that seals escrow entries: exactly one of the three.

    Args:
        key_env: A variable that holds 32 bytes in base64.
        key_file: A file that holds the same, created with mode 0600 if it is missing.
        kms_key_id: A key of AWS KMS.
    """

    key_env: Text | None = None
    key_file: Text | None = None
    kms_key_id: Text | None = None

    @model_validator(mode="after")
    def _one_of_the_three(self) -> "SealSettings":
        if len([key for key in (self.key_env, self.key_file, self.kms_key_id) if key]) != 1:
            raise fault("needs exactly one of key_env, key_file and kms_key_id")
        return self


class JsonlAudit(Section):
    """Audit events as JSON lines.

    Args:
        path: "-" is stderr; any other is appended to, with an fsync per event. Its folder is not made.
        format: What a line looks like: rotator's own fields, CloudEvents 1.0, or OCSF 1.9.0.
    """

    type: Literal["jsonl"] = "jsonl"
    path: Text = "-"
    format: Literal["rotator", "cloudevents", "ocsf"] = "rotator"


AuditSettings = Annotated[JsonlAudit, one_type("type", ("jsonl",))]


class HttpSettings(Section):
    """Where the daemon listens for metrics and health checks.

    Args:
        listen: An address of this machine and a port; port 0 is any that is free.
        token: For all but `/healthz` and `/readyz`; without one these are all that is answered beyond this machine.
    """

    listen: Listen
    token: SecretSource | None = None

    @property
    def local(self) -> bool:
        """Whether a loopback address is listened at."""
        return is_loopback(self.listen.rpartition(":")[0].strip("[]"))


class CredentialSettings(Section):
    """A credential's entry.

    Args:
        name: What commands, events and metrics call it.
        provider: The name of an entry of `providers`.
        store: May be left out when there is one store.
        secret: A name, ARN or KV path; the credential's name when left out.
        client_id: When left out, the document's.
        client_secret: When left out, the document's.
        private_key: Like `key_id`, `algorithm` and `audience`, for private_key_jwt and the grant jwt_bearer; each goes
            before the provider's.
        key_id: `kid` of the assertion's header.
        algorithm: That the assertion is signed with.
        audience: `aud` of the assertion.
        scope: Must not exceed what was granted (RFC 6749 section 6).
        refresh_before_expiry: How long before expiry a refresh falls due, at most half the lifetime; the provider's
            when left out.
        grant: refresh_token, or a standing one, for which nobody logs in: client_credentials (RFC 6749 section 4.4),
            jwt_bearer (RFC 7523 section 2.1).
        subject: Of a jwt_bearer assertion; the client when left out.
        assertion_claims: Further claims of it, over the provider's; null leaves a claim out.
        token_parameters: Further parameters of a token request with a standing grant, over the provider's.
        on_rotated: Who is told of its rotations, instead of the section of this name.
    """

    name: Name
    provider: Text
    store: Text | None = None
    secret: Text | None = None
    client_id: Text | None = None
    client_secret: SecretSource | None = None
    private_key: SecretSource | None = None
    key_id: Text | None = None
    algorithm: Algorithm | None = None
    audience: Text | None = None
    scope: Scope | None = None
    refresh_before_expiry: Duration | None = None
    grant: GrantType = "refresh_token"
    subject: Text | None = None
    assertion_claims: dict[Text, str | int | bool | None] = Field(default_factory=dict)
    token_parameters: dict[Text, Text] = Field(default_factory=dict)
    on_rotated: Annotated[tuple[Text, ...], Listed] | None = None


class DiscoverySettings(Section):
    """Credentials that are found in a store: each secret that begins with `prefix` and carries `labels` is one.

    Args:
        store: May be left out when there is one store.
        prefix: Of the secrets' names (AWS) or paths (Vault).
        labels: Tags (AWS) or custom metadata (Vault); an empty value stands for any.
        provider: Of all that is found; or
        provider_label: The label whose value is the provider's name.
        client_id: Like the others below, for all that is found; when left out, each document's.
        client_secret: When left out, each document's.
        grant: As in a credential's entry.
        scope: Must not exceed what was granted.
        refresh_before_expiry: As in a credential's entry.
    """

    store: Text | None = None
    prefix: str = ""
    labels: dict[Text, str] = Field(default_factory=dict)
    provider: Text | None = None
    provider_label: Text | None = None
    client_id: Text | None = None
    client_secret: SecretSource | None = None
    scope: Scope | None = None
    refresh_before_expiry: Duration | None = None
    grant: GrantType = "refresh_token"

    @model_validator(mode="after")
    def _bounded_and_named(self) -> "DiscoverySettings":
        if not (self.prefix or self.labels or self.provider_label):
            raise fault("would take every secret of the store", "add a prefix, labels or a provider_label")
        if (self.provider is None) == (self.provider_label is None):
            raise fault("needs exactly one of provider and provider_label")
        return self


def _version(value: object) -> object:
    if value is True or value != 1:
        raise fault("is not supported", "write version: 1")
    return value


class Settings(NotifySettings):
    """The whole configuration.

    Args:
        version: Of this format.
        stores: Where the documents live, by names of your own.
        state: What every run has to know: claims, leases, cooldowns, budgets.
        escrow: Where received tokens wait until they are in the store. When left out, inside the state where the state
            is shared, else a folder.
        seal: What the escrow is sealed with. When left out, a key file beside a local state; else required.
        audit: Where audit events go; when left out, to stderr.
        workers: How many credentials are worked on at once.
        http: The daemon's listener; when left out, nothing is listened at.
        providers: The authorization servers, by names of your own.
        credentials: Those that are named one by one.
        discover: Rules by which further ones are found in the stores.
        metrics: Where a pass leaves its metrics.
        traces: Where traces go; when left out, none are made.
    """

    version: Annotated[Literal[1], BeforeValidator(_version)]
    stores: dict[Name, StoreSettings]
    state: StateSettings = LocalState()
    escrow: EscrowSettings | None = None
    seal: SealSettings | None = None
    audit: Annotated[tuple[AuditSettings, ...], Listed] = (JsonlAudit(),)
    workers: Count = 16
    http: HttpSettings | None = None
    metrics: MetricsSettings | None = None
    traces: TracesSettings | None = None
    providers: dict[Name, ProviderSettings]
    credentials: Annotated[tuple[CredentialSettings, ...], Listed] = ()
    discover: Annotated[tuple[DiscoverySettings, ...], Listed] = ()

    _origin: Origin = PrivateAttr(default_factory=Origin)
    _warnings: list[Problem] = PrivateAttr(default_factory=list)

    @property
    def source(self) -> str:
        """The file that the settings were read from, for messages."""
        return self._origin.source

    @property
    def origin(self) -> Origin:
        """Where each key stands in the source."""
        return self._origin

    @property
    def warnings(self) -> list[Problem]:
        """What is usable but probably not meant."""
        return self._warnings

    @property
    def escrow_in_effect(self) -> StateEscrow | FileEscrow:
        """The escrow: as configured, else inside the state where the state is shared, else a file."""
        return self.escrow or (FileEscrow() if isinstance(self.state, LocalState) else StateEscrow())

    @property
    def seal_in_effect(self) -> SealSettings | None:
        """The seal: as configured, else a key file beside a local state; None where `seal` is missing."""
        if self.seal is None and isinstance(self.state, LocalState):
            return SealSettings(key_file=f"{self.state.path}.key")
        return self.seal

    def index_of(self, position: int) -> int:
        """Return the index in the file of the credential at `position`."""
        return position if self._origin.indices is None else self._origin.indices[position]

    def named(self, section: Literal["stores", "providers"]) -> tuple[str, ...]:
        """Return the names that the file gives in a section, those of faulty entries included."""
        faulty = [path[1] for path in self._origin.left_out if path[0] == section and len(path) > 1]
        return (*getattr(self, section), *map(str, faulty))

    def knows(self, section: Literal["stores", "providers"], name: str) -> bool:
        """Return whether the file defines the name; of a section that could not be read, every name is presumed."""
        return name in self.named(section) or (section,) in self._origin.left_out

    def without_credentials(self) -> "Settings":
        """Return the settings for a process that keeps them: of 100,000 entries and their lines nobody asks again."""
        lines = {path: line for path, line in self._origin.lines.items() if path[:1] != ("credentials",)}
        origin = replace(self._origin, lines=lines, names={}, indices=None)
        return self.model_copy(update={"credentials": ()}).with_origin(origin, self._warnings)

    def with_origin(self, origin: Origin, warnings: list[Problem]) -> "Settings":
        """Return the same settings, knowing where they came from."""
        settings = self.model_copy()
        settings._origin = origin  # noqa: SLF001 - its own class
        settings._warnings = warnings  # noqa: SLF001 - likewise
        return settings
