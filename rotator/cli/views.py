"""The commands that look at the whole fleet, or at one credential, and change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rotator.cli import shown
from rotator.cli.context import Context, Exit, say
from rotator.cli.options import Span, shard_option
from rotator.errors import RotatorError

if TYPE_CHECKING:
    from rotator.shards import Shard


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@shard_option
@click.pass_obj
def status(context: Context, as_json: bool, shard: Shard | None) -> int:
    """Show every credential: state, expiry, next refresh, what is wrong and what to do."""
    from rotator.status import row  # noqa: PLC0415 - beside their use

    app = context.app("operator", shard)
    rows = [row(credential, observed) for credential, observed in app.passes.look(app.credentials)]
    if as_json:
        say(shown.status_json(rows))
    else:
        from rotator.cli.tables import print_status  # noqa: PLC0415 - rich, on use

        print_status(rows, app.surroundings.clock.now())
    return context.exit_code(Exit.PERSON if any(row.needs_person for row in rows) else Exit.WELL)


@click.command()
@click.option(
    "--hours",
    type=click.FloatRange(0, 24 * 366, min_open=True),
    default=24.0,
    show_default=True,
    help="How far it looks ahead.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@shard_option
@click.pass_obj
def plan(context: Context, hours: float, as_json: bool, shard: Shard | None) -> int:
    """Forecast the refreshes against every budget, and say which credentials cannot be kept fresh."""
    from rotator.cli import plans  # noqa: PLC0415 - rich, on use

    return context.exit_code(plans.plan_command(context.app("operator", shard), hours * 3600, as_json=as_json))


@click.command()
@click.argument("name")
@click.option("--horizon", type=Span(), default=0.0, help="As for `once`; the daemon looks at the present moment.")
@click.pass_obj
def explain(context: Context, name: str, horizon: float) -> int:
    """Say why a credential is or is not due, and what the next run would do."""
    from rotator.status import explanation  # noqa: PLC0415 - beside its use

    app = context.app("operator")
    credential = app.credential(name)
    [(_, observed)] = app.passes.look([credential], horizon_s=horizon)
    if isinstance(observed, RotatorError):
        raise observed
    say("\n".join(explanation(credential, observed)))
    return Exit.WELL
