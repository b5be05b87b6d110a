"""`rotator notify`: tries notifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rotator.cli.completions import notifier_names
from rotator.cli.context import Context, Exit, say
from rotator.cli.options import json_option
from rotator.cli.shown import json_text
from rotator.errors import ConfigError, Problem
from rotator.plugins import suggestion

if TYPE_CHECKING:
    from rotator.errors import NotDelivered
    from rotator.told import Told


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=notifier_names)
@json_option
@click.pass_obj
def notify(context: Context, names: tuple[str, ...], as_json: bool) -> int:
    """Send a test message to the notifiers of these names, or to all, and say what became of it."""
    from rotator.case_notices import trial  # noqa: PLC0415 - beside its use
    from rotator.deliveries import Deliveries  # noqa: PLC0415 - likewise

    settings = context.settings
    app = context.app("operator")
    told = app.told
    if told is None:
        raise ConfigError([Problem(settings.source, "no notifier is configured", "add one under notifiers")])
    wanted = _known(names, told, settings.source) or tuple(told.notifiers)
    clock, ids = app.surroundings.clock, app.surroundings.ids
    messages = {name: [trial(ids.new_id(), clock.now())] for name in wanted}
    delivered = {name: error for (_, name), error in Deliveries(told.notifiers, clock).round(messages).items()}
    told.close()
    if as_json:
        say(json_text({"notifiers": [_facts(name, delivered[name]) for name in wanted]}))
    for name in () if as_json else wanted:
        error = delivered[name]
        hint = f"\n    → {error.hint}" if error and error.hint else ""
        say(f"{name}: {'delivered' if error is None else f'not delivered: {error.message}{hint}'}")
    return Exit.PERSON if any(delivered.values()) else Exit.WELL


def _facts(name: str, error: NotDelivered | None) -> dict[str, object]:
    told = {"error": error.message, "hint": error.hint} if error else {"error": None, "hint": None}
    return {"name": name, "delivered": error is None, **told}


def _known(names: tuple[str, ...], told: Told, source: str) -> tuple[str, ...]:
    """Return the names, each once.

    Raises:
        ConfigError: One is unknown; all unknown ones are told.
    """
    problems = [
        Problem(source, f"there is no notifier {name!r}", suggestion(name, told.notifiers))
        for name in dict.fromkeys(names)
        if name not in told.notifiers
    ]
    if problems:
        raise ConfigError(problems)
    return tuple(dict.fromkeys(names))
