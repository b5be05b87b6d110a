"""A distribution with entry points, laid out on disk as an installer would."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, *, module: str, code: str, points: str) -> None:
    """Install a module and its entry points below `folder`, and put that on the import path."""
    (folder / f"{module}.py").write_text(code)
    information = folder / f"{module}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(folder)
