"""Every command that a text of the program names can be pasted: it exists, with these options and arguments."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from rotator.cli.commands import rotator

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).parent.parent.parent / "rotator"
PROSE = frozenset({"anew", "itself", "may", "runs", "seal", "sees", "warns", "wrote"})
"""What follows the name where a text tells of the program and not of a command."""

ARGUMENT = re.compile(r"[A-Z]+")
ENDS = re.compile(r"[,;:.)`…\n]|&&|\bor\b")


def text_of(node: ast.expr) -> str | None:
    """Return a string with NAME for each value that is filled in; None for what is no string."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "NAME" for part in node.values)
    return None


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts of a module with their lines, docstrings and parts of longer texts left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            silent.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            silent |= {id(part) for part in node.values}
    for node in ast.walk(tree):
        text = text_of(node) if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in silent else None
        if text:
            yield node.lineno, text


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command that a text names: its name, options, and arguments in capitals."""
    for begin in re.finditer(r"\brotator (?=[a-z-])", text):
        words: list[str] = []
        rest = ENDS.split(text[begin.end() :], maxsplit=1)[0]
        for word in rest.split():
            if words and not (word.startswith("-") or ARGUMENT.fullmatch(word) or _goes_on(words, word)):
                break
            words.append(word)
        if words:
            yield words


def _goes_on(words: list[str], word: str) -> bool:
    """Return whether a word is a command of the group before it."""
    group = rotator.commands.get(words[0])
    return isinstance(group, click.Group) and len(words) == 1 and word in group.commands


def fault(words: list[str]) -> str | None:
    """Return why the real command line does not take these words; None if it does."""
    filled_in = ["8400" if word == "PORT" else word for word in words]
    try:
        with rotator.make_context("rotator", filled_in, resilient_parsing=False) as context:
            rest = [*context._protected_args, *context.args]
            command: click.Command = rotator
            while isinstance(command, click.Group) and rest:
                name, found, rest = command.resolve_command(context, rest)
                assert found is not None
                command = found
                if not isinstance(command, click.Group):
                    command.make_context(name, rest, parent=context)
                    rest = []
    except click.ClickException as error:
        return error.format_message()
    return None


NAMES = [
    (f"{path.relative_to(PACKAGE)}:{line}", words)
    for path in sorted(PACKAGE.rglob("*.py"))
    if "testing" not in path.parts
    for line, text in texts(path)
    for words in commands(text)
    if words[0] not in PROSE
]


@pytest.mark.parametrize(("where", "words"), NAMES, ids=[f"{where} {' '.join(words)}" for where, words in NAMES])
def test_a_command_in_a_text_can_be_pasted(where: str, words: list[str]) -> None:
    """The real command line takes it as it stands, with names for what is filled in."""
    assert fault(words) is None


def test_the_texts_are_found() -> None:
    """Hints are among what is looked at, those with a name filled in included; else all of this would show nothing."""
    found = {" ".join(words) for _, words in NAMES}
    assert {"put NAME", "login NAME", "resolve NAME --replay", "escrow replay", "status --problems"} <= found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("log in again: rotator putt NAME", "No such command"),
        ("or rotator resolve NAME --replai for one more try", "No such option"),
        ("rotator put", "Missing argument"),
        ("rotator escrow replay NAME", "unexpected extra argument"),
    ],
)
def test_what_cannot_be_pasted_is_found(text: str, problem: str) -> None:
    """A mistyped command or option, a missing argument and one too many are each told."""
    [words] = commands(text)
    assert problem in (fault(words) or "")
