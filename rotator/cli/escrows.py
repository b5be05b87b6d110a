"""`rotator escrow`: received token sets that wait to be written back."""

from __future__ import annotations

import click

from rotator.cli import shown
from rotator.cli.context import Context, Exit, exit_code, say, warn
from rotator.cli.options import json_option
from rotator.reports import instant


@click.group()
def escrow() -> None:
    """See to received token sets that wait to be written back."""


@escrow.command(name="list")
@json_option
@click.pass_obj
def list_entries(context: Context, as_json: bool) -> int:
    """List what waits, one line per entry, the credential's name first."""
    app = context.app("operator")
    entries = sorted(app.escrow.all_waiting(), key=lambda entry: (entry.credential, entry.at))
    if as_json:
        listed = [
            {
                "name": entry.credential,
                "kind": entry.kind,
                "since": entry.at,
                "rotation_id": entry.rotation_id,
                "secret": entry.identity,
            }
            for entry in entries
        ]
        say(shown.json_text({"entries": listed}))
    else:
        if entries:
            warn("rotator: write back what can be written back: rotator escrow replay")
        for entry in entries:
            say(f"{entry.credential}\t{entry.kind}\t{instant(entry.at)}\t{entry.rotation_id}\t{entry.identity}")
    return Exit.WELL


@escrow.command(name="replay")
@json_option
@click.pass_obj
def replay_entries(context: Context, as_json: bool) -> int:
    """Write back all that waits and can be written back. Sends nothing to a provider."""
    from rotator.recovery import replay_all  # noqa: PLC0415 - beside its use

    with context.watched() as progress:
        app = context.app("once", progress=progress)
        results = replay_all(app, progress)
    if as_json:
        say(shown.pass_json(results))
    else:
        for outcome in results:
            say(shown.outcome_line(outcome))
    return exit_code(results)
