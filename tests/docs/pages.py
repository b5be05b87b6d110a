"""The pages of the documentation as values: their links, anchors and code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]*)\n(?P<body>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE)
_MARK = re.compile(r"<!-- (?P<mark>[^>]+?) -->\n$")
_INDENTED = re.compile(r"(?:^ {4}.*\n)+", re.MULTILINE)
_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+(?:\([^()]*\))?)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Args:
        mark: The comment on the line above it, such as `tested: first credential`; empty when there is none.
    """

    language: str
    body: str
    mark: str


@dataclass(frozen=True, slots=True)
class Page:
    """A page of Markdown."""

    path: Path

    @property
    def name(self) -> str:
        """The path inside the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def text(self) -> str:
        """The whole page."""
        return self.path.read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """The page without its fenced blocks."""
        return _FENCE.sub("", self.text)

    @property
    def blocks(self) -> list[Block]:
        """The fenced blocks, in order."""
        text = self.text
        found = []
        for fence in _FENCE.finditer(text):
            mark = _MARK.search(text[: fence.start()])
            found.append(Block(fence["language"], fence["body"], mark["mark"] if mark else ""))
        return found

    @property
    def code(self) -> list[str]:
        """What is set as code on lines of its own: fenced and indented blocks."""
        return [*(block.body for block in self.blocks), *_INDENTED.findall(self.prose)]

    @property
    def spans(self) -> list[str]:
        """What is set as code in the prose."""
        return [" ".join(found[2].split()) for found in _SPAN.finditer(_INDENTED.sub("", self.prose))]

    @property
    def links(self) -> list[str]:
        """The targets of all links and pictures."""
        return _LINK.findall(_SPAN.sub("", self.prose))

    @property
    def anchors(self) -> set[str]:
        """What a `#fragment` may name, by GitHub's rules."""
        found: set[str] = set()
        for heading in _HEADING.findall(self.prose):
            slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            number = 0
            while (unique := f"{slug}-{number}" if number else slug) in found:
                number += 1
            found.add(unique)
        return found

    def steps(self, name: str) -> list[str]:
        """Return the shell blocks that are marked `tested: <name>`, in order."""
        return [block.body for block in self.blocks if block.mark == f"tested: {name}"]


def documentation() -> list[Page]:
    """Return README and everything below docs/."""
    return [Page(README), *(Page(path) for path in sorted(DOCS.rglob("*.md")))]


def everything() -> list[Page]:
    """Return the documentation and the pages beside what is deployed."""
    return [*documentation(), *(Page(path) for path in sorted((ROOT / "deploy").glob("*/README.md")))]


def ids(pages: list[Page]) -> list[str]:
    """Return names for a parametrized test."""
    return [page.name for page in pages]
