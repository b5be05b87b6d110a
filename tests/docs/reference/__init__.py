"""Generates docs/reference from the code: `make docs` writes it, a test holds it to the code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.docs.reference import codes, commands, events, metrics, plug_ins, settings

if TYPE_CHECKING:
    from collections.abc import Mapping

MARK = "<!-- Generated from the code by `make docs`. Change the code, then run it. -->"


def pages() -> Mapping[str, str]:
    """Return each page of docs/reference by its file's name."""
    written = {
        "commands.md": commands.page(),
        "configuration.md": settings.page(),
        "metrics.md": metrics.page(),
        "events.md": events.page(),
        "codes.md": codes.page(),
        "plug-ins.md": plug_ins.page(),
    }
    return {name: re.sub(r"\n{3,}", "\n\n", f"{MARK}\n\n{text.rstrip()}\n") for name, text in written.items()}
