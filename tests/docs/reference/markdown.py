"""Markdown, as the generated pages use it, and what a docstring says of its arguments."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("|" + "".join(f" {_cell(text)} |" if text else " |" for text in line) for line in lines)


def code(text: object) -> str:
    """Return a code span; nothing for nothing."""
    return f"`{text}`" if str(text) else ""


def in_one_line(text: str | None) -> str:
    """Return a docstring's text on one line."""
    return " ".join((text or "").split())


def summary(thing: object) -> str:
    """Return what a docstring says before its sections, as one paragraph a blank line."""
    whole = inspect.cleandoc(getattr(thing, "__doc__", None) or "")
    text = re.split(r"^(?:Args|Raises|Returns):\n", whole, maxsplit=1, flags=re.MULTILINE)[0]
    return "\n\n".join(in_one_line(part) for part in text.split("\n\n")).strip()


def arguments(thing: object) -> dict[str, str]:
    """Return what a docstring's `Args:` section says, by name."""
    whole = inspect.cleandoc(getattr(thing, "__doc__", None) or "")
    section = re.search(r"^Args:\n((?:(?: {4}.*)?\n?)+)", whole, re.MULTILINE)
    found: dict[str, str] = {}
    name = ""
    for line in section[1].splitlines() if section else []:
        begins = re.match(r" {4}(\w+): *(.*)", line)
        if begins:
            name, found[begins[1]] = begins[1], begins[2]
        elif name:
            found[name] += f" {line.strip()}"
    return {name: text.strip() for name, text in found.items()}


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\|", in_one_line(text))
