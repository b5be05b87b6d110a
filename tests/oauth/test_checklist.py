"""The checklist is complete."""

from __future__ import annotations

import re
from pathlib import Path

from checklist import ELSEWHERE, ITEMS


def test_every_item_of_the_checklist_is_tested_or_accounted_for() -> None:
    """Each of the 58 items has a test here or a line that says where it is tested or why not, and never both."""
    here = Path(__file__).parent
    files = sorted(here.glob("test_*.py"))
    tested = {item for file in files for item in re.findall(r"def test_([RSE]\d\d)_", file.read_text())}
    assert len(ITEMS) == 58
    assert tested | set(ELSEWHERE) == set(ITEMS)
    assert not tested & set(ELSEWHERE)
