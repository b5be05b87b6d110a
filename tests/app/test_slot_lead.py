"""How long before its slot a job begins."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from rotator.dispatch import Dispatcher
from rotator.gates import FIRST_LEAD_S, LONGEST_LEAD_S, Gate
from rotator.job import Job
from rotator.limits import Pace
from rotator.observe import Observed
from rotator.outcomes import Rotated
from tests.core.parts import NOW, at

if TYPE_CHECKING:
    from tests.app.stage import Stage


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


def test_a_slot_that_nobody_used_is_the_next_ones() -> None:
    """What is given back comes first again, and is not missed before its time is over."""
    gate, pace = Gate(), Pace(1.0, 0.25)
    assert gate.opens(NOW, pace, lambda: [NOW, at(1)]) == NOW
    slot, _ = gate.take(pace)
    assert slot == NOW
    gate.give_back(NOW)
    assert gate.opens(at(0.2), pace, list) == at(0.2)
    assert gate.take(pace) == (NOW, at(0.25))
    gate.give_back(NOW)
    assert gate.opens(at(0.3), pace, list) == at(1)


def test_a_replica_that_comes_too_late_gives_its_slot_back(stage: Stage) -> None:
    """Another replica has rotated the first of two since they were looked at: the second leaves in the slot of both."""
    stage.provider("acme", rate_limit={"requests": 1, "per": "100s"})
    stage.ready("alpha", "beta")
    stage.until_due()
    app, other = stage.app(), stage.app()
    seen = app.passes.look(app.credentials)
    other.rotation.run(other.observer.observe(other.credential("alpha")))
    began, found = stage.clock.now(), {}
    with ThreadPoolExecutor(1) as pool:
        dispatcher = Dispatcher(app.rotation, app.observer, app.budget, stage.clock, pool, lambda: None, workers=1)
        for credential, observed in seen:
            assert isinstance(observed, Observed)
            dispatcher.add(Job(credential, observed=observed, version=observed.situation.stored.version))
        while not dispatcher.idle:
            opens = dispatcher.pump()
            if opens and not dispatcher.running:
                stage.advance(max(0.0, (opens - stage.clock.now()).total_seconds()))
            found |= {job.credential.name: outcome for job, outcome in dispatcher.finished()}
    assert getattr(found["alpha"], "reason", "") == "held"
    assert isinstance(found["beta"], Rotated)
    assert (stage.clock.now() - began).total_seconds() < 100
