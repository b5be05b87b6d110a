"""Makes the notifiers that the settings name. What each needs is imported here, on use."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from rotator import plugins
from rotator.config import notify_settings as configured
from rotator.config.notify_rules import who_is_told
from rotator.config.sources import reader
from rotator.errors import ConfigError, Problem
from rotator.redact import Secret
from rotator.told import Told

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.config.model import Settings
    from rotator.config.secret_sources import SecretSource
    from rotator.config.sources import ReadSecret
    from rotator.notifier import Notifier
    from rotator.wiring import Surroundings


def told(
    settings: Settings,
    surroundings: Surroundings,
    read_secret: ReadSecret,
    aws: Callable[..., Any],
) -> Told:
    """Return who is told.

    Args:
        aws: Returns a client of an AWS service, for a region and an endpoint.

    Raises:
        ConfigError: A library is not installed.
        PluginError: A plug-in cannot be loaded.
    """
    notifiers = {
        name: _notifier(name, entry, surroundings, read_secret, aws) for name, entry in settings.notifiers.items()
    }
    own = {one.name: one.on_rotated for one in settings.credentials if one.on_rotated is not None}
    return Told(notifiers, who_is_told(settings), tuple(dict.fromkeys(settings.on_rotated)), own)


def _notifier(
    name: str,
    entry: configured.NotifierSettings,
    surroundings: Surroundings,
    read_secret: ReadSecret,
    aws: Callable[..., Any],
) -> Notifier:
    def source(key: str, chosen: SecretSource | str) -> Callable[[], Secret]:
        if isinstance(chosen, str):
            return lambda: Secret(chosen)
        return reader(chosen, where=f"notifiers.{name}.{key}", env=surroundings.env, read_secret=read_secret)

    match entry:
        case configured.WebhookNotifier() | configured.SlackNotifier():
            from rotator.notifiers.posts import Poster  # noqa: PLC0415 - on use

            poster = Poster(name, source("url", entry.url), surroundings.clock, surroundings.ids)
            if isinstance(entry, configured.SlackNotifier):
                from rotator.notifiers.slack import Slack  # noqa: PLC0415 - on use

                return Slack(poster)
            from rotator.notifiers.webhook import Webhook  # noqa: PLC0415 - on use

            return Webhook(poster, source("signing_key", entry.signing_key))
        case configured.SnsNotifier() | configured.EventBridgeNotifier():
            return _of_aws(name, entry, aws)
        case configured.CommandNotifier():
            from rotator.notifiers.command import Command  # noqa: PLC0415 - on use

            return Command(name, entry.command, surroundings.env, entry.pass_environment)
        case _:
            plug_in: Notifier = plugins.find("notifiers", entry.type, {})(name, entry.options, surroundings.clock)
            return plug_in


def _of_aws(
    name: str, entry: configured.SnsNotifier | configured.EventBridgeNotifier, aws: Callable[..., Any]
) -> Notifier:
    if find_spec("boto3") is None:  # found missing at the start, and loaded with the first message
        problem = Problem("extra 'aws'", "boto3 is not installed", "pip install 'rotator[aws]'")
        raise ConfigError([problem])
    from rotator.notifiers.aws import ANSWER_S, EventBridge, Sns  # noqa: PLC0415 - on use

    if isinstance(entry, configured.SnsNotifier):
        region, url = entry.topic_region, entry.endpoint_url
        return Sns(name, lambda: aws("sns", region, url, answer_s=ANSWER_S), entry.topic_arn)
    region_of_bus, url = entry.region, entry.endpoint_url
    return EventBridge(name, lambda: aws("events", region_of_bus, url, answer_s=ANSWER_S), entry.bus)
