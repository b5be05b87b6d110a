"""What holds for every file of the project."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(path for folder in ("rotator", "tests") for path in (ROOT / folder).rglob("*.py"))
LONGEST = 400


def test_no_module_is_longer_than_one_idea() -> None:
    """Files stay under some 400 lines."""
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: lines for name, lines in long.items() if lines > LONGEST} == {}


def test_every_test_states_its_property() -> None:
    """Each test function has a docstring."""
    silent = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            is_test = isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
            if is_test and not ast.get_docstring(node):  # type: ignore[arg-type]
                silent.append(f"{path.relative_to(ROOT)}::{node.name}")  # type: ignore[attr-defined]
    assert silent == []


@pytest.mark.parametrize("lock", sorted((ROOT / "deploy" / "locks").glob("*.txt")), ids=lambda path: path.name)
def test_lock_files_pin_by_hash_and_name_no_index(lock: Path) -> None:
    """Every package is pinned with hashes; no index host and no index option stands in the file."""
    text = lock.read_text()
    assert not re.search(r"https?://|--index|--extra-index|--find-links", text)
    packages = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert packages
    assert all(re.match(r"[a-z0-9._-]+(\[[a-z0-9,-]+\])?==\S+( ;.*)? \\$", line) for line in packages)
