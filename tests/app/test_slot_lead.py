"""How long before its slot a job begins."""

from __future__ import annotations

from rotator.gates import FIRST_LEAD_S, LONGEST_LEAD_S, Gate


def test_jobs_that_miss_their_slots_together_lengthen_the_lead_once() -> None:
    """One moment's trouble is one reason to begin earlier, however many jobs it hits; the next one is another."""
    gate = Gate()
    for _ in range(5):
        gate.missed(0.0)
    assert gate.lead_s == FIRST_LEAD_S
    gate.missed(gate.lead_s)
    assert gate.lead_s == 2 * FIRST_LEAD_S


def test_a_long_lead_is_over_soon_after_the_trouble() -> None:
    """A dozen requests that left bring the longest lead back below a second."""
    gate = Gate(lead_s=LONGEST_LEAD_S)
    for _ in range(12):
        gate.kept()
    assert gate.lead_s < 1.0


def test_the_lead_stays_bounded() -> None:
    """However often slots are missed, no job begins more than ten seconds before its own."""
    gate = Gate()
    for _ in range(50):
        gate.missed(gate.lead_s)
    assert gate.lead_s == LONGEST_LEAD_S
