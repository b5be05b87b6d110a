"""Looks for secrets in all that a fleet wrote: whole, in part, and in the usual encodings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.leak_forms import Needles, named

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PART = 16
"""So many characters of a token's random part in a row are no accident, and already a leak."""

_HEX_RUN = re.compile(rb"[0-9a-f]{%d,}" % PART)


def leaks(folder: Path, tokens: Iterable[str], others: Iterable[str]) -> list[str]:
    """Return where a secret stands in a file of the folder.

    Args:
        tokens: Of the sandbox: a prefix that all share and a random part in hex.
        others: Client secrets and the like, looked for one by one.
    """
    parts = set()
    prefixes = set()
    for token in tokens:
        prefix, _, random_part = token.rpartition("_")
        prefixes.add(f"{prefix}_")
        parts |= {random_part[at : at + PART].encode() for at in range(len(random_part) - PART + 1)}
    needles = Needles()
    for secret in (*prefixes, *others):
        needles.add(secret, named(secret))
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        found += [f"{path.name}: {name}, {form}" for name, form in needles.find(content)]
        for run in _HEX_RUN.findall(content):
            windows = (run[at : at + PART] for at in range(len(run) - PART + 1))
            if any(window in parts for window in windows):
                found.append(f"{path.name}: a part of a token")
                break
    return found
