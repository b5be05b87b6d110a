"""Where something wrong was found, kept as a path into the file until all of it is told at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rotator.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Path = tuple[str | int, ...]
"""Keys and list indices from the top of the file, such as `("credentials", 1, "provider")`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong. Neither text quotes a value that may be a secret.

    Args:
        elsewhere: The place in another file, to which `path` of this one leads.
    """

    path: Path
    what: str
    hint: str = ""
    elsewhere: str = ""

    @property
    def key(self) -> Path:
        """What tells it from other findings."""
        return (*self.path, self.elsewhere) if self.elsewhere else self.path


@dataclass(frozen=True, slots=True)
class Origin:
    """Where settings came from, for messages.

    Args:
        source: The file, or the name of the variable that held the text.
        lines: Path to line number, counted from 1.
        names: The name of each credential, by its index in the file.
        indices: The index in the file of each credential in the settings; None when they are the same.
        left_out: Entries and sections that are in the file but, being wrong, not in the settings.
    """

    source: str = "configuration"
    lines: Mapping[Path, int] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    indices: tuple[int, ...] | None = None
    left_out: frozenset[Path] = frozenset()

    def where(self, path: Path) -> str:
        """Return `source:line: path`, such as `config/rotator.yaml:14: credentials[1] (payroll-export).provider`."""
        line = self._line(path)
        place = f"{self.source}:{line}" if line else self.source
        text = self._text(path)
        return f"{place}: {text}" if text else place

    def problems(self, findings: Iterable[Finding]) -> list[Problem]:
        """Return the findings as problems, in the order of the file, the first one only of each path.

        Later findings at a path, or below it, follow from the first: a variable that is not set, for instance, leaves
        an empty text that no check could accept.
        """
        first: dict[Path, Finding] = {}
        for finding in findings:
            if not any(finding.key[:length] in first for length in range(1, len(finding.key) + 1)):
                first.setdefault(finding.key, finding)
        ordered = sorted(first.values(), key=lambda finding: self._line(finding.path))
        return [
            Problem(finding.elsewhere or self.where(finding.path), finding.what, finding.hint) for finding in ordered
        ]

    def _line(self, path: Path) -> int:
        """Return the line of the path, or of the innermost part of it that is in the file; 0 when none is."""
        for length in range(len(path), -1, -1):
            if line := self.lines.get(path[:length]):
                return line
        return 0

    def _text(self, path: Path) -> str:
        text = ""
        for depth, part in enumerate(path):
            if isinstance(part, str):
                text += f".{part}" if text else part
                continue
            text += f"[{part}]"
            name = self.names.get(part) if path[:depth] == ("credentials",) else None
            text += f" ({name})" if name else ""
        return text
