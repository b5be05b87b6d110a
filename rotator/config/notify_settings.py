"""The `notifiers` section, and who is told of what."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from rotator import plugins
from rotator.config.endpoints import endpoint_fault
from rotator.config.secret_sources import SecretSource, Section, source_of
from rotator.config.store_settings import PlugIn
from rotator.config.values import Listed, Name, ServiceUrl, Text, fault, kind_of, one_type

_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:([a-z0-9-]+):[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?")
_BUS = re.compile(r"(arn:aws[a-z-]*:events:[a-z0-9-]+:[0-9]{12}:event-bus/)?[/.A-Za-z0-9_-]{1,256}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _topic(value: str) -> str:
    if not _TOPIC.fullmatch(value):
        raise fault("is not the ARN of a topic", "write arn:aws:sns:REGION:ACCOUNT:NAME")
    return value


def _bus(value: str) -> str:
    if not _BUS.fullmatch(value):
        raise fault(
            "is not the name or ARN of an event bus", "write default, a name, or arn:aws:events:…:event-bus/NAME"
        )
    return value


def _command(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value or not value[0].strip():
        raise fault("is empty", "write [/path/to/program, argument, …]; no shell reads it")
    if any("\0" in part for part in value):
        raise fault("holds a zero byte")
    return value


def _variables(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(map(_VARIABLE.fullmatch, value)):
        raise fault("holds what is not the name of a variable", "letters, digits and _ only")
    return value


def _address(value: object) -> object:
    """Accept a URL as it is, or the source of one that is a secret."""
    if not isinstance(value, str):
        return source_of(value)
    found = endpoint_fault(value, query=True)
    if found:
        raise fault(*found)
    return value


class WebhookNotifier(Section):
    """A signed POST (standardwebhooks.com).

    Args:
        url: As it is; or, where who knows it may post, its source.
        signing_key: What the receiver verifies the signature with.
    """

    type: Literal["webhook"]
    url: Annotated[str | SecretSource, BeforeValidator(_address)]
    signing_key: SecretSource


class SlackNotifier(Section):
    """Slack's incoming webhook, or another that takes its format.

    Args:
        url: Who knows it may post, so it is a secret.
    """

    type: Literal["slack"]
    url: SecretSource


class SnsNotifier(Section):
    """An Amazon SNS topic.

    Args:
        topic_arn: The topic.
        region: The topic's own when left out.
        endpoint_url: Instead of AWS's own endpoint.
    """

    type: Literal["sns"]
    topic_arn: Annotated[str, AfterValidator(_topic)]
    region: Text | None = None
    endpoint_url: ServiceUrl | None = None

    @property
    def topic_region(self) -> str:
        """The region, as configured or as the ARN says."""
        return self.region or self.topic_arn.split(":")[3]


class EventBridgeNotifier(Section):
    """An Amazon EventBridge event bus.

    Args:
        bus: Its name or ARN.
        region: That of the environment or the profile when left out.
        endpoint_url: Instead of AWS's own endpoint.
    """

    type: Literal["eventbridge"]
    bus: Annotated[str, AfterValidator(_bus)] = "default"
    region: Text | None = None
    endpoint_url: ServiceUrl | None = None


class CommandNotifier(Section):
    """A program that gets each message as JSON on its standard input.

    Args:
        command: The program and its arguments; no shell reads them.
        pass_environment: Names of variables that it gets beside PATH, HOME and their like.
    """

    type: Literal["command"]
    command: Annotated[tuple[str, ...], Listed, AfterValidator(_command)]
    pass_environment: Annotated[tuple[str, ...], Listed, AfterValidator(_variables)] = ()


_NOTIFIER_TYPES = ("command", "eventbridge", "slack", "sns", "webhook")


def _kind(value: Any) -> str:
    return kind_of(value, "type", _NOTIFIER_TYPES)


NotifierSettings = Annotated[
    Annotated[WebhookNotifier, Tag("#webhook")]
    | Annotated[SlackNotifier, Tag("#slack")]
    | Annotated[SnsNotifier, Tag("#sns")]
    | Annotated[EventBridgeNotifier, Tag("#eventbridge")]
    | Annotated[CommandNotifier, Tag("#command")]
    | Annotated[PlugIn, Tag("#plug-in")],
    Discriminator(_kind),
    one_type("type", _NOTIFIER_TYPES, lambda: plugins.offered("notifiers")),
]

Names = Annotated[tuple[Text, ...], Listed]


class NotifySettings(Section):
    """Who is told of what.

    Args:
        notifiers: By name.
        notify: Who is told of cases; None is every notifier that is not named under `on_rotated` alone.
        on_rotated: Who is told of each rotation; a credential's own `on_rotated` goes before it.
    """

    notifiers: dict[Name, NotifierSettings] = Field(default_factory=dict)
    notify: Names | None = None
    on_rotated: Names = ()


def of_cases(notifiers: Mapping[str, object], notify: tuple[str, ...] | None, on_rotated: set[str]) -> tuple[str, ...]:
    """Return who is told of cases.

    Args:
        on_rotated: Who is told of rotations, of any credential.
    """
    if notify is not None:
        return tuple(dict.fromkeys(notify))
    return tuple(name for name in notifiers if name not in on_rotated)
