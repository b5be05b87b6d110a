"""docs/reference/commands.md, from click's own tree, and the variables that the code reads."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

import click

from rotator.cli.commands import rotator
from tests.docs.pages import ROOT
from tests.docs.reference.markdown import code, in_one_line, table

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = """# Commands

Results go to stdout, logs and audit events to stderr unless the configuration says otherwise. What the exit codes mean
stands in [codes.md](codes.md). Durations are `90s`, `5m`, `2h`, `1d` or seconds.
"""

VARIABLE = re.compile(r"ROTATOR_[A-Z_]+")
MEANINGS = {
    "ROTATOR_CONFIG": "path of the configuration, where `-c` is not given",
    "ROTATOR_CONFIG_YAML": "on Lambda, the configuration itself",
    "ROTATOR_CREDENTIAL": "for the command of a notifier: the credential that a message is about, if it is about one",
    "ROTATOR_NOTICE_ID": "for the command of a notifier: the message's id",
    "ROTATOR_NOTICE_KIND": "for the command of a notifier: the kind of a case",
    "ROTATOR_NOTICE_TYPE": "for the command of a notifier: the message's type",
    "ROTATOR_QUEUE_URL": "on Lambda, the queue that `fan_out` sends what is due to",
    "ROTATOR_SHARD": "the shard, where `--shard` is not given",
    "ROTATOR_SHARD_INDEX": "the number that `--shard auto/N` takes, modulo N, where `$JOB_COMPLETION_INDEX` is not set",
}


def page() -> str:
    """Return the page."""
    parts = [HEAD, "## `rotator`", in_one_line(rotator.help), _options(rotator)]
    for name, command in _commands(rotator, ""):
        parts += [f"## `rotator {name}`", *_command(f"rotator {name}", command)]
    parts += ["## Environment", table(("variable", "means", "read in"), _variables())]
    return "\n\n".join(part for part in parts if part)


def _commands(group: click.Group, before: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in sorted(group.commands.items()):
        if command.hidden:
            continue
        if isinstance(command, click.Group):
            yield from _commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def _command(path: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=path, **rotator.context_settings)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    yield "\n\n".join(in_one_line(part) for part in (command.help or "").split("\n\n"))
    yield f"    {usage}"
    yield _options(command)


def _options(command: click.Command) -> str:
    # With the settings of the whole line: click keeps a command's help option as it is asked for first.
    context = click.Context(command, **rotator.context_settings)
    rows = []
    for parameter in command.get_params(context):
        if not isinstance(parameter, click.Option) or parameter.hidden or "--help" in parameter.opts:
            continue
        names = ", ".join([*parameter.opts, *parameter.secondary_opts])
        value = "" if parameter.is_flag or parameter.count else parameter.make_metavar(context)
        variable = parameter.envvar if isinstance(parameter.envvar, str) else ", ".join(parameter.envvar or ())
        rows.append(
            (code(f"{names} {value}".strip()), in_one_line(parameter.help), _default(parameter), code(variable))
        )
    return table(("option", "does", "default", "environment"), rows) if rows else ""


def _default(option: click.Option) -> str:
    default: Any = option.default
    if option.is_flag or option.multiple or option.required or not isinstance(default, str | int | float):
        return ""
    return code(f"{default:g}" if isinstance(default, float) else default)


def undescribed() -> list[str]:
    """Return the variables that this module says nothing of."""
    return [variable for variable in _read() if variable not in MEANINGS]


def _variables() -> list[tuple[str, str, str]]:
    return [
        (code(variable), MEANINGS.get(variable, ""), ", ".join(code(one) for one in sorted(modules)))
        for variable, modules in sorted(_read().items())
    ]


def _read() -> dict[str, set[str]]:
    read: dict[str, set[str]] = {}
    for module in sorted((ROOT / "rotator").rglob("*.py")):
        name = module.relative_to(ROOT).as_posix()
        if name.startswith("rotator/testing/"):
            continue
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and VARIABLE.fullmatch(node.value):
                read.setdefault(node.value, set()).add(name)
    return read
