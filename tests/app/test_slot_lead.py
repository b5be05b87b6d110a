"""How long before its slot a job begins."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from rotator import outcomes
from rotator.dispatch import FIRST_LEAD_S, Dispatcher, Job, Lane

if TYPE_CHECKING:
    from tests.app.stage import Stage


def test_jobs_that_miss_their_slots_together_lengthen_the_lead_once(stage: Stage) -> None:
    """One moment's trouble is one reason to begin earlier, however many jobs it hits; the next one is another."""
    stage.ready()
    [credential] = stage.app().credentials
    missed = outcomes.Deferred("alpha", "slot_missed", stage.clock.now())
    lane = Lane()
    together = [Job(credential, lead_s=lane.lead_s) for _ in range(5)]
    for job in together:
        Dispatcher._lead(lane, job, missed)
    assert lane.lead_s == FIRST_LEAD_S
    Dispatcher._lead(lane, Job(credential, lead_s=lane.lead_s), missed)
    assert lane.lead_s == 2 * FIRST_LEAD_S


def test_a_long_lead_is_over_soon_after_the_trouble(stage: Stage) -> None:
    """A dozen requests that left bring the longest lead back below a second."""
    stage.ready()
    [credential] = stage.app().credentials
    now = stage.clock.now()
    lane = Lane(lead_s=10.0)
    for _ in range(12):
        Dispatcher._lead(lane, Job(credential), outcomes.Rotated("alpha", now + timedelta(hours=1), "2", None))
    assert lane.lead_s < 1.0
