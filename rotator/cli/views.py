"""The commands that look at the whole fleet, or at one credential, and change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rotator.cli import shown as texts
from rotator.cli.completions import provider_names
from rotator.cli.context import Context, Exit, known_providers, say
from rotator.cli.glance import STATES, Choice, summary, worst_first
from rotator.cli.options import Span, json_option, name_argument, shard_option
from rotator.errors import RotatorError

if TYPE_CHECKING:
    from rotator.shards import Shard


@click.command()
@click.option(
    "--state", "states", multiple=True, type=click.Choice(STATES), help="Show only this state; may be repeated."
)
@click.option(
    "--provider",
    "providers",
    multiple=True,
    metavar="NAME",
    shell_complete=provider_names,
    help="Show only this provider's; may be repeated.",
)
@click.option("--problems", is_flag=True, help="Show only those with which something is wrong.")
@json_option
@shard_option
@click.pass_obj
def status(
    context: Context,
    states: tuple[str, ...],
    providers: tuple[str, ...],
    problems: bool,
    as_json: bool,
    shard: Shard | None,
) -> int:
    """Show every credential, worst first: state, expiry, next refresh, what is wrong and what to do.

    The exit code is that of all, whichever are shown.
    """
    from rotator.status import row  # noqa: PLC0415 - beside their use

    with context.watched() as progress:
        app = context.app("operator", shard, progress)
        known_providers(context, providers)
        seen = app.passes.look(app.credentials, progress=progress)
        rows = [row(credential, observed) for credential, observed in seen]
    now = app.surroundings.clock.now()
    shown = Choice(states, providers, problems).of(rows, now)
    if as_json:
        say(texts.status_json(shown))
    else:
        from rotator.cli.tables import print_status  # noqa: PLC0415 - on use

        print_status(worst_first(shown), now, summary(rows, len(shown)))
    return context.exit_code(Exit.PERSON if any(one.needs_person for one in rows) else Exit.WELL)


@click.command()
@click.option(
    "--hours",
    type=click.FloatRange(0, 24 * 366, min_open=True),
    default=24.0,
    show_default=True,
    help="How far it looks ahead.",
)
@json_option
@shard_option
@click.pass_obj
def plan(context: Context, hours: float, as_json: bool, shard: Shard | None) -> int:
    """Forecast the refreshes against every budget, and say which credentials cannot be kept fresh."""
    from rotator.cli import plans  # noqa: PLC0415 - rich, on use

    with context.watched() as progress:
        app = context.app("operator", shard, progress)
        found = plans.looked_ahead(app, hours * 3600, progress, as_json=as_json)
    plans.show(found, as_json=as_json)
    return context.exit_code(plans.verdict(found))


@click.command()
@name_argument
@click.option("--horizon", type=Span(), default=0.0, help="As for `once`; the daemon looks at the present moment.")
@json_option
@click.pass_obj
def explain(context: Context, name: str, horizon: float, as_json: bool) -> int:
    """Say why a credential is or is not due, and what the next run would do."""
    from rotator.explaining import explanation, facts  # noqa: PLC0415 - beside their use

    app = context.app("operator")
    credential = app.credential(name)
    [(_, observed)] = app.passes.look([credential], horizon_s=horizon)
    if isinstance(observed, RotatorError):
        raise observed
    if as_json:
        say(texts.json_text(facts(credential, observed)))
    else:
        say("\n".join(explanation(credential, observed)))
    return Exit.WELL
