"""A state whose records were lost while a process was paused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from rotator.errors import VersionConflict
from rotator.state.bodies import revision_after
from rotator.state.local import LocalStateStore

if TYPE_CHECKING:
    from pathlib import Path

KEY = "secret/a"


def test_what_was_read_before_the_records_were_lost_is_no_base_for_a_write(tmp_path: Path) -> None:
    """However many writes the new record has seen, a process that still expects the old one conflicts."""
    path = tmp_path / "rotator.db"
    state = LocalStateStore(path)
    expected = [0]
    for number in range(5):
        expected.append(state.compare_and_swap(KEY, {"before": number}, expected=expected[-1]))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM record")
    revision = 0
    for number in range(5):
        revision = state.compare_and_swap(KEY, {"after": number}, expected=revision)
        for old in expected:
            with pytest.raises(VersionConflict):
                state.compare_and_swap(KEY, {"paused": True}, expected=old)
    assert state.read(KEY) == ({"after": 4}, revision)


def test_revisions_of_different_bodies_part_and_those_of_equal_ones_grow() -> None:
    """A step follows from the body, is at least one, and does not depend on anything else."""
    assert len({revision_after(0, f'{{"n":{n}}}') for n in range(1000)}) > 990
    assert revision_after(7, "{}") == revision_after(7, "{}") > 7
    assert revision_after(revision_after(7, "{}"), "{}") > revision_after(7, "{}")
