"""The `rotator …` command lines in a page's code, and the real parser to hold them against."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from unittest import mock

import click

from rotator.cli.commands import rotator

_PIECES = re.compile(r"&&|\|\||(?<![A-Za-z\\])\||;|\$\(|`|(?<![\w)])\(|(?<!\w)\)|[·→]")
"""What stands between commands of one line; not the bar of `--replay|--discard`."""
_COMMENT = re.compile(r"(?:^|\s)#.*")
_REST = re.compile(r"\s(?:\d?>>?|<|&(?!&)).*")
_NOUNS = {
    "-t",
    "install",
    "upgrade",
    "reload",
    "restart",
    "status",
    "-u",
    "user",
    "cd",
    "container",
    "cronjob",
    "exec",
    "purpose:",
}
"""Behind these the word is a release, an image or a unit."""
_ARGUMENTS = re.compile(r"-{1,2}[a-z]|[a-z]+(?:[\s\[]|$)")
_PATTERN = re.compile(r"[\[\]…]|\w\\?\|-")
_PLACEHOLDERS = {
    "I/N": "0/2",
    "auto/N": "0/2",
    "auto/n": "0/2",
    "auto/3": "0/3",
    "N": "7",
    "PORT": "7",
    "SHELL": "bash",
    "LINK": "a",
}


@dataclass(frozen=True, slots=True)
class CommandLine:
    """One command line, without the program's name. A `pattern` shows what may be left out, and cannot be run."""

    text: str
    pattern: bool


def command_lines(code: str) -> list[CommandLine]:
    """Return the command lines in a piece of code."""
    found = []
    for line in code.replace("\\\n", " ").splitlines():
        for piece in _PIECES.split(_COMMENT.sub("", line)):
            words = _REST.sub("", piece).split()
            for at, word in enumerate(words):
                text = " ".join(words[at + 1 :]).strip("'\")")
                is_program = word.lstrip("\"'").removeprefix(".venv").removeprefix("/opt/rotator") in {
                    "rotator",
                    "/bin/rotator",
                }
                if is_program and (at == 0 or words[at - 1] not in _NOUNS) and _ARGUMENTS.match(text):
                    found.append(CommandLine(text, bool(_PATTERN.search(text))))
                    break
    return found


def existing_commands() -> set[str]:
    """Return the commands of the CLI, those of a group with the group's name before them."""
    names: set[str] = set()
    for name, command in rotator.commands.items():
        below = command.commands if isinstance(command, click.Group) else {}
        names |= {f"{name} {one}" for one in below} or {name}
    return names


def name_of(text: str) -> str:
    """Return which command a line calls: `once`, `escrow list`; what it says where there is no such command."""
    words = re.findall(r"(?<![\w-])-(?:c|-config|-log-level)[ =]\S+|(\S+)", text)
    words = [word for word in words if word and not word.startswith("-")]
    command = rotator.commands.get(words[0]) if words else None
    return " ".join(words[: 2 if isinstance(command, click.Group) else 1])


def is_mention(line: CommandLine) -> bool:
    """Return whether a line is a command's name and nothing else, as prose has it."""
    return line.text in existing_commands()


def fault_in(line: CommandLine) -> str:
    """Return what is wrong with a command line; empty when the parser takes it."""
    if line.pattern:
        return _unknown_option(line.text)
    try:
        words = [_PLACEHOLDERS.get(word, word) for word in shlex.split(line.text)]
    except ValueError as error:
        return str(error)
    try:
        with mock.patch("click.termui.visible_prompt_func", return_value="y"):
            _parsed(rotator, "rotator", words, None)
    except click.exceptions.Exit:
        return ""  # --help, --version
    except click.ClickException as error:
        return error.format_message()
    return ""


def _parsed(command: click.Command, name: str, words: list[str], parent: click.Context | None) -> None:
    context = command.make_context(name, words, parent=parent)
    if not isinstance(command, click.Group):
        return
    # As `Group.invoke` does; the command itself is not run.
    below, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
    if found is not None:
        _parsed(found, below or "", rest, context)


def _unknown_option(text: str) -> str:
    name = name_of(re.sub(r"[\[\]…]", " ", text))
    command: click.Command | None = rotator
    for part in name.split():
        command = command.commands.get(part) if isinstance(command, click.Group) else None
    if command is None or command is rotator:
        return f"no such command: {name}"
    known = {option for parameter in (*command.params, *rotator.params) for option in parameter.opts}
    unknown = set(re.findall(r"(?<![\w-])--[a-z-]+", text)) - known
    return f"{name} has no {', '.join(sorted(unknown))}" if unknown else ""
