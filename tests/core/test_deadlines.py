"""The queue of one budget, against the starts worked out anew after every change."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator import deadlines
from rotator.deadlines import DeadlineQueue
from rotator.schedule import Planned, latest_starts
from rotator.testing.memory import EPOCH
from tests.effort import tried

changes = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "first", "pace"]), st.integers(0, 400), st.integers(-50, 400)),
    max_size=60,
)


@tried(300)
@given(changes)
def test_the_first_start_is_the_one_that_a_walk_over_all_finds(drawn: list[tuple[str, int, int]]) -> None:
    """After any changes the first by deadline starts when the backward pass from the last deadline says."""
    queue = DeadlineQueue(3.0)
    waiting: dict[str, tuple[float, float]] = {}
    for number, (what, deadline, before) in enumerate(drawn):
        if what == "add":
            waiting[f"c{number}"] = float(deadline - before), float(deadline)
            queue.add(f"c{number}", due=float(deadline - before), deadline=float(deadline))
        elif what == "remove" and waiting:
            name = sorted(waiting)[deadline % len(waiting)]
            queue.remove(name, deadline=waiting.pop(name)[1])
        elif what == "pace":
            queue.pace(1.0 + deadline % 7)
        expected = latest_starts(
            [
                Planned(name, EPOCH + timedelta(seconds=due), EPOCH + timedelta(seconds=ends))
                for name, (due, ends) in waiting.items()
            ],
            queue.interval_s,
        )
        first = queue.first()
        assert len(queue) == len(waiting)
        if not waiting:
            assert first is None
            continue
        assert first is not None
        name, start = first
        assert name == min(waiting, key=lambda name: (waiting[name][1], name))
        assert start == pytest.approx((expected[name] - EPOCH).total_seconds())


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "BLOCK", 2)


@pytest.mark.usefixtures("small_blocks")
def test_blocks_are_cut_and_joined_without_a_trace() -> None:
    """With blocks of two, a hundred that come in any order start as the backward pass says, until the last one."""
    queue = DeadlineQueue(1.0)
    jobs = [
        Planned(f"c{n}", EPOCH + timedelta(seconds=n * 37 % 90), EPOCH + timedelta(seconds=n * 61 % 97))
        for n in range(100)
    ]
    left = {job.name: job for job in jobs}
    for job in jobs:
        queue.add(job.name, due=job.due_at.timestamp(), deadline=job.deadline.timestamp())
    while left:
        starts = latest_starts(left.values(), 1.0)
        first = queue.first()
        assert first is not None
        assert first[1] == pytest.approx(starts[first[0]].timestamp(), abs=1e-3)
        assert starts[first[0]] == min(starts.values())
        queue.remove(first[0], deadline=left.pop(first[0]).deadline.timestamp())
    assert queue.first() is None


def test_who_does_not_wait_cannot_be_taken_out() -> None:
    """A name that is not there, or waits for another deadline, is an error."""
    queue = DeadlineQueue(1.0)
    with pytest.raises(KeyError):
        queue.remove("a", deadline=5.0)
    queue.add("a", due=1.0, deadline=5.0)
    with pytest.raises(KeyError):
        queue.remove("a", deadline=6.0)
    with pytest.raises(KeyError):
        queue.remove("b", deadline=5.0)
    assert queue.first() == ("a", 1.0)
