"""`rotator providers`: the shipped profiles, one of them, or a provider of the configuration, explained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rotator.cli.completions import profile_names
from rotator.cli.context import DEFAULT_CONFIG, Context, Exit, say, warn
from rotator.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rotator.config.provider_settings import ProviderSettings
    from rotator.provider_words import Explained


@click.command()
@click.argument("name", required=False, shell_complete=profile_names)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def providers(context: Context, name: str | None, as_json: bool) -> int:
    """List the provider profiles, or explain one: NAME of a profile, a provider of the configuration, or a file."""
    from rotator import provider_words  # noqa: PLC0415 - on use, as all below
    from rotator.profiles import BUILT_IN  # noqa: PLC0415

    if name is None:
        found = [_of_profile(one, context.env) for one in BUILT_IN]
        if as_json:
            say(json.dumps({"providers": [provider_words.facts(one) for one in found]}, ensure_ascii=False))
        else:
            _print_table(found)
        return Exit.WELL
    entry = _configured(context, name)
    one = _of_profile(name, context.env) if entry is None else _of_entry(name, entry, context.env)
    if as_json:
        say(json.dumps({**provider_words.facts(one), "configuration": provider_words.snippet(one)}, ensure_ascii=False))
    else:
        say("\n".join(provider_words.page(one)))
    return Exit.WELL


def _configured(context: Context, name: str) -> ProviderSettings | None:
    """Return the configuration's entry of that name, if there is a configuration and it has one."""
    from rotator.config.profile_files import is_file  # noqa: PLC0415
    from rotator.profiles import BUILT_IN  # noqa: PLC0415

    named = context.config or context.env.get("ROTATOR_CONFIG")
    if not named and not Path(DEFAULT_CONFIG).exists():
        return None
    try:
        return context.settings.providers.get(name)
    except ConfigError as error:
        if name not in BUILT_IN and not is_file(name):
            raise
        warn(f"rotator: the configuration is left out, it cannot be read (rotator check): {error.problems[0].where}")
        return None


def _of_profile(name: str, env: Mapping[str, str]) -> Explained:
    """Return a profile with its examples filled in.

    Raises:
        ConfigError: There is no such profile, or something is wrong with it.
    """
    from rotator.config.profile_files import find_profile  # noqa: PLC0415
    from rotator.config.provider_settings import ProviderSettings  # noqa: PLC0415
    from rotator.provider_words import EXAMPLE_ENDPOINT  # noqa: PLC0415

    profile = find_profile(name, env).profile
    entry = {
        key: variable.example or next(iter(variable.of), "example")
        for key, variable in profile.variables.items()
        if variable.default is None
    }
    if "token_endpoint" not in profile.fields:
        entry["token_endpoint"] = EXAMPLE_ENDPOINT
    made = _of_entry(name, ProviderSettings.model_validate({"profile": name, **entry}), env)
    return type(made)(name, profile, made.provider)


def _of_entry(name: str, entry: ProviderSettings, env: Mapping[str, str]) -> Explained:
    """Return a provider of the configuration.

    Raises:
        ConfigError: What is wrong with it.
    """
    from rotator.config.findings import Origin  # noqa: PLC0415
    from rotator.config.profile_files import find_profile  # noqa: PLC0415
    from rotator.config.provider_settings import ProviderFields  # noqa: PLC0415
    from rotator.config.providers import merge  # noqa: PLC0415
    from rotator.provider_words import Explained  # noqa: PLC0415

    merged, findings = merge(name, entry, env)
    if merged is None:
        raise ConfigError(Origin(f"profile {entry.profile!r}").problems(findings))
    profile = find_profile(entry.profile, env).profile
    stated = sorted(entry.model_fields_set & ProviderFields.model_fields.keys())
    overridden = {key: profile.fields.get(key) for key in stated}
    return Explained(name, profile, merged.provider, overridden, configured=True)


def _print_table(found: Iterable[Explained]) -> None:
    from rich.table import Table  # noqa: PLC0415 - rich, on use
    from rich.text import Text  # noqa: PLC0415

    from rotator.cli import terminal  # noqa: PLC0415
    from rotator.provider_words import life, replay, rotates  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    for heading in ("NAME", "REFRESH TOKEN", "REPLAY", "ITS LIFE"):
        table.add_column(heading, no_wrap=True)
    table.add_column("FOR", overflow="fold", min_width=24)
    for one in found:
        cells = (one.name, rotates(one.profile.rotates), replay(one.provider.replay), life(one.provider))
        table.add_row(*map(Text, cells), Text(one.profile.summary))
    terminal.console().print(table)
    say(
        "\nrotator providers NAME explains one of them, a provider of your configuration, or a profile file of your own"
    )
