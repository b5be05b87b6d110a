"""Looks for secrets in all that a fleet wrote: whole, in part, and in the usual encodings."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PART = 16
"""So many characters of a token's random part in a row are no accident, and already a leak."""

_HEX_RUN = re.compile(rb"[0-9a-f]{%d,}" % PART)


def encodings(secret: str) -> set[bytes]:
    """Return how a secret may look: plain, percent-encoded, in hex, and in base64 wherever it begins in a text."""
    raw = secret.encode()
    forms = {raw, quote(secret, safe="").encode(), raw.hex().encode()}
    for lead in range(3):
        whole = base64.b64encode(b"\0" * lead + raw + b"\0" * 3)
        forms.add(whole[4 if lead else 0 : -8])
        forms.add(base64.urlsafe_b64encode(b"\0" * lead + raw + b"\0" * 3)[4 if lead else 0 : -8])
    return forms


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
    needles = [form for secret in (*prefixes, *others) for form in encodings(secret)]
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        found += [f"{path.name}: {needle!r}" for needle in needles if needle in content]
        for run in _HEX_RUN.findall(content):
            windows = (run[at : at + PART] for at in range(len(run) - PART + 1))
            if any(window in parts for window in windows):
                found.append(f"{path.name}: a part of a token")
                break
    return found
