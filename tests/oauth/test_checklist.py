"""The checklist is complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from checklist import ELSEWHERE, ITEMS, NOT_APPLICABLE

HERE = Path(__file__).parent


def test_every_item_of_the_checklist_is_tested_or_accounted_for() -> None:
    """Each of the 58 items has a test here or elsewhere, or a reason why it does not apply; only one of these."""
    files = sorted(HERE.glob("test_*.py"))
    tested = {item for file in files for item in re.findall(r"def test_([RSE]\d\d)_", file.read_text())}
    assert len(ITEMS) == 58
    assert sorted([*tested, *ELSEWHERE, *NOT_APPLICABLE]) == sorted(ITEMS)


@pytest.mark.parametrize(("item", "place"), ELSEWHERE.items(), ids=ELSEWHERE)
def test_what_is_tested_elsewhere_is_there(item: str, place: str) -> None:
    """The test that the list names for an item exists."""
    file, _, name = place.partition("::")
    assert f"def {name}(" in (HERE.parent / file).read_text(), item
