"""Options and arguments that several commands take."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

import click

from rotator.cli.completions import credential_names
from rotator.config.durations import parse_duration
from rotator.errors import RotatorError
from rotator.shards import Shard

if TYPE_CHECKING:
    from collections.abc import Callable


class Span(click.ParamType[float]):
    """`15m`, `90s`, or seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        try:
            return parse_duration(value, zero=True)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


class Part(click.ParamType[Shard]):
    """`0/3`: the first of three shards; `auto/3`: the one whose number the environment tells."""

    name = "shard"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Shard:
        """Return the shard."""
        if isinstance(value, Shard):
            return value
        try:
            return Shard.read(str(value), os.environ)
        except ValueError as error:
            self.fail(f"{str(value)[:40]!r} {error}", param, ctx)


shard_option = click.option(
    "--shard",
    type=Part(),
    metavar="I/N",
    envvar="ROTATOR_SHARD",
    help="Only the credentials of shard I of N, counted from 0; auto/N takes I from $JOB_COMPLETION_INDEX or "
    "$ROTATOR_SHARD_INDEX. Else $ROTATOR_SHARD.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def name_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the argument NAME; the hint of an error that ends it names that credential."""

    @functools.wraps(command)
    def of_one(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except RotatorError as error:
            error.hint = error.hint_for(options["name"])
            raise

    return click.argument("name", shell_complete=credential_names)(of_one)
