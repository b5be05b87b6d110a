"""The chain of an audit file: each line names the one before it, so that none is taken out, changed or moved unseen.

A line ends with `"chain": "BEFORE.OWN"` and its braces: OWN is the digest of BEFORE and of the line without its chain,
BEFORE is the OWN of the line before, or zeros where a file begins. So a changed line does not fit its own digest, and
after a line that is gone, or stands elsewhere, the next one names another.

It shows what was done by who did not know of it or had no time. Who may write the file can make all of it anew, or cut
its end off: for that, keep the last link somewhere else now and then (`rotator audit verify`).
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LENGTH = 32
"""Hex digits of a digest: 128 bits of SHA-256, which nobody finds a second text for."""

BEGINNING = "0" * LENGTH

CHAIN_DEPTH = {"rotator": 1, "cloudevents": 1, "ocsf": 2}
"""How many braces stand behind the chain, by format: OCSF takes no attributes of others but in `unmapped`."""

_CHAIN = re.compile(rb', "chain": "([0-9a-f]{%d})\.([0-9a-f]{%d})"(\}\}?)\Z' % (LENGTH, LENGTH))


@dataclass(frozen=True, slots=True)
class Link:
    """A line of the chain, taken apart."""

    before: str
    own: str
    content: bytes

    @property
    def intact(self) -> bool:
        """Whether the line is as it was written."""
        return self.own == _digest(self.before, self.content)


def chained(line: bytes, before: str, depth: int = 1) -> tuple[bytes, str]:
    """Return a line, one JSON object and its line feed, with its place in the chain, and its own digest.

    Args:
        depth: 2 puts the chain into the object that the line ends with, and that is not empty.
    """
    content = line.rstrip(b"\n")
    own = _digest(before, content)
    return content[:-depth] + f', "chain": "{before}.{own}"'.encode() + content[-depth:] + b"\n", own


def link_of(line: bytes) -> Link | None:
    """Return what a line says of its place; None for one without."""
    line = line.rstrip(b"\n")
    match = _CHAIN.search(line)
    if match is None:
        return None
    return Link(match[1].decode(), match[2].decode(), line[: match.start()] + match[3])


def _digest(before: str, content: bytes) -> str:
    return hashlib.sha256(before.encode() + b"\n" + content).hexdigest()[:LENGTH]


@dataclass(slots=True)
class Verdict:
    """What a file's chain says.

    Args:
        events: Lines that are in the chain.
        older: Lines before the first of them: from before there was a chain.
        last: The digest of the last one; empty where there is none.
        findings: What is wrong, with the number of the line, from 1 on.
        seen: Whether the link that was asked for is there.
    """

    events: int = 0
    older: int = 0
    last: str = ""
    findings: list[tuple[int, str]] = field(default_factory=list)
    seen: bool = False

    @property
    def unbroken(self) -> bool:
        """Whether nothing is wrong, and there is a chain at all."""
        return not self.findings and self.events > 0


def verify(lines: Callable[[], Iterable[bytes]], asked: str = "") -> Verdict:
    """Go through a file's lines.

    Args:
        lines: Returns them from the first one on; called a second time where one stands in the wrong place.
        asked: A link that was noted earlier, and must still be there.
    """
    verdict = Verdict()
    misplaced: list[tuple[int, str]] = []
    expected: str | None = None
    for number, line in enumerate(lines(), start=1):
        if not line.strip():
            continue
        link = link_of(line)
        if link is None:
            if not _is_event(line):
                verdict.findings.append((number, "is no whole event: half a line after a crash, or a changed one"))
            elif verdict.events:
                verdict.findings.append((number, "is not in the chain: it was put in, or its chain was taken away"))
            else:
                verdict.older += 1
            continue
        if not line.endswith(b"\n"):
            verdict.findings.append((number, "does not end: it is being written just now, or was cut off"))
        if not link.intact:
            verdict.findings.append((number, "was changed"))
        if link.before != (BEGINNING if expected is None else expected):
            misplaced.append((number, link.before))
        expected = verdict.last = link.own
        verdict.seen = verdict.seen or link.own == asked
        verdict.events += 1
    if misplaced:
        places = _places(lines(), {before for _, before in misplaced})
        verdict.findings += [(number, _misplaced(before, places.get(before))) for number, before in misplaced]
        verdict.findings.sort()
    return verdict


def _places(lines: Iterable[bytes], wanted: set[str]) -> dict[str, int]:
    links = ((number, link_of(line)) for number, line in enumerate(lines, start=1))
    return {link.own: number for number, link in links if link is not None and link.own in wanted}


def _misplaced(before: str, place: int | None) -> str:
    if before == BEGINNING:
        return "begins a chain: what is before it, or the end of another file, was put together"
    if place is None:
        return "names a line before it that is not there: one or more were taken out"
    return f"belongs behind line {place}: lines were moved, put in or taken out, or two writers had no lock on the file"


def _is_event(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
