"""Notifiers checked: references, secrets, and what this machine must have."""

from __future__ import annotations

import os
import shutil
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from rotator.config import checks
from rotator.config.endpoints import endpoint_fault
from rotator.config.findings import Finding, Path
from rotator.config.notify_settings import CommandNotifier, SlackNotifier, WebhookNotifier, of_cases
from rotator.config.secret_sources import EnvSource
from rotator.plugins import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rotator.config.model import Settings
    from rotator.config.secret_sources import SecretSource


def examined(settings: Settings, env: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what is wrong with notifiers and with who is told."""
    for name, entry in settings.notifiers.items():
        path: Path = ("notifiers", name)
        if isinstance(entry, SlackNotifier):
            yield from _address((*path, "url"), entry.url, env, settings)
        elif isinstance(entry, WebhookNotifier):
            if not isinstance(entry.url, str):
                yield from _address((*path, "url"), entry.url, env, settings)
            yield from checks.sources((*path, "signing_key"), entry.signing_key, env, settings)
        elif isinstance(entry, CommandNotifier):
            yield from _program((*path, "command"), entry, env)
    yield from _named(("notify",), settings.notify or (), settings)
    yield from _named(("on_rotated",), settings.on_rotated, settings)
    for position, credential in enumerate(settings.credentials):
        if credential.on_rotated:
            yield from _named(
                ("credentials", settings.index_of(position), "on_rotated"), credential.on_rotated, settings
            )


def doubts(settings: Settings) -> Iterator[Finding]:
    """Yield what is usable but probably not meant."""
    if settings.notifiers and not who_is_told(settings):
        what = "nobody is told of cases: a dead grant, a doubt, an end"
        yield Finding(("notify",) if settings.notify is not None else ("notifiers",), what, "name one under notify")


def who_is_told(settings: Settings) -> tuple[str, ...]:
    """Return who is told of cases."""
    own = {name for credential in settings.credentials for name in credential.on_rotated or ()}
    return of_cases(settings.notifiers, settings.notify, own | set(settings.on_rotated))


def _named(path: Path, names: tuple[str, ...], settings: Settings) -> Iterator[Finding]:
    if ("notifiers",) in settings.origin.left_out:
        return  # it could not be read, so every name is presumed
    for position, name in enumerate(names):
        if name not in settings.notifiers and ("notifiers", name) not in settings.origin.left_out:
            yield Finding(
                (*path, position), f"there is no notifier {name!r}", suggestion(name, list(settings.notifiers))
            )


def _address(path: Path, source: SecretSource, env: Mapping[str, str], settings: Settings) -> Iterator[Finding]:
    """Check a secret address as far as it can be read now, without quoting it."""
    missing = list(checks.sources(path, source, env, settings))
    yield from missing
    if missing or not isinstance(source, EnvSource):
        return
    found = endpoint_fault(env[source.env], query=True)
    if found:
        yield Finding(path, f"{source.env} {found[0]}", found[1])


def _program(path: Path, entry: CommandNotifier, env: Mapping[str, str]) -> Iterator[Finding]:
    program = entry.command[0]
    if shutil.which(program, path=env.get("PATH")) is None:
        there = os.sep in program and FilePath(program).exists()
        what = f"{program} {'is not executable' if there else 'is not there'}"
        yield Finding(path, what, "correct the path, or make it executable for this user")
    for name in entry.pass_environment:
        if name not in env:
            yield Finding(
                (*path[:-1], "pass_environment"), f"the environment variable {name} is not set", f"set {name}"
            )
