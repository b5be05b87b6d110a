"""The promises, attacked in simulated worlds: replicas of the real procedure over faulty ports."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rotator import documents, policy, received, records, rotation, setbacks, settling
from rotator.audit.trail import AuditTrail
from rotator.errors import AuditUnavailable
from rotator.model import Document
from rotator.records import Lease
from rotator.testing.sim.invariants import Violation
from rotator.testing.sim.ports import SimEndpoint
from rotator.testing.sim.world import Scenario, World, world

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.records import Claim, StateRecord

WORLDS = int(os.environ.get("ROTATOR_SIM_WORLDS", "1600"))
FIRST = int(os.environ.get("ROTATOR_SIM_FIRST", "0"))
CHUNK = 100


@pytest.mark.parametrize("begin", range(FIRST, FIRST + WORLDS, CHUNK))
def test_no_world_breaks_a_promise(begin: int) -> None:
    """Whatever fails, crashes, lags, pauses or is edited, no promise is broken, but for replies that were lost."""
    for seed in range(begin, begin + CHUNK):
        try:
            world(seed).run()
        except Violation as violation:
            pytest.fail(f"seed {seed}: {violation}; replay it with: python -m rotator.testing.sim --replay {seed}")


def test_the_same_seed_gives_the_same_trace() -> None:
    """All chance in a world follows from its seed."""
    for seed in (3, 17, 10_569):
        first, second = world(seed, traced=True), world(seed, traced=True)
        first.run()
        second.run()
        assert first.trace
        assert first.trace == second.trace


def test_worlds_differ_and_are_eventful() -> None:
    """Two hundred worlds hold faults of every kind, rotations in plenty, and every kind of escrow and replay rule."""
    injected: set[str] = set()
    rotations = 0
    for seed in range(200):
        one = world(seed)
        one.run()
        injected |= {fault.split(" ")[0] for fault in one.faults.injected}
        rotations += len(one.watch.parents)
    scenarios = [Scenario.drawn(seed) for seed in range(200)]
    assert injected >= {"crash_before", "crash_after", "fail", "doubt_applied", "doubt_lost", "doubt_late", "pause"}
    assert rotations > 400
    assert {one.escrow for one in scenarios} == {"state", "shared", "private"}
    assert {one.replay for one in scenarios} == {"never", "window", "until_successor_used", "safe"}


Patch = pytest.MonkeyPatch


def forget_on_settling(patch: Patch) -> None:
    """Settling forgets the claim and the history: a stale read then shows a token that may be sent.

    Forgetting the claim alone is not found: for a quarter of an hour the history, too, tells a stale read.
    """
    patch.setattr(settling, "mark", lambda record, digest, *_: records.take_out(record, digest))
    patch.setattr(settling, "with_done", lambda record, _: record)


def give_back_after_a_lost_reply(patch: Patch) -> None:
    """A read timeout is taken for a request that never left."""
    patch.setattr(setbacks, "on_claim", lambda record, digest, **_: records.take_out(record, digest))


def claim_without_looking(patch: Patch) -> None:
    """Two replicas may claim one token: the claim is not checked against the record that is written."""

    def blind(record: StateRecord, new: Claim, **lease: Any) -> StateRecord:
        return replace(record, presented=(*record.presented, new), lease=Lease(new.holder, 1, lease["lease"]), fence=1)

    patch.setattr(rotation, "claim", blind)


def latch_nothing(patch: Patch) -> None:
    """A rejected token is not latched."""
    patch.setattr(setbacks, "mark", lambda record, *_, **__: record)


def ignore_the_escrow(patch: Patch) -> None:
    """What waits is not recovered."""
    patch.setattr(policy, "_recover", lambda *_: None)


def clear_the_escrow_first(patch: Patch) -> None:
    """The escrow is cleared as soon as something was received, before the write."""
    keep = settling.Settling._keep

    def forgetful(self: settling.Settling, attempt: Any, received: Any, check: Any) -> None:
        keep(self, attempt, received, check)
        identity = attempt.observed.situation.stored.identity
        self.escrow.clear(identity, frozenset({received.parent}))
        attempt.observed.ledger.change(lambda record: self.escrow.without(record, frozenset({received.parent})))

    patch.setattr(settling.Settling, "_keep", forgetful)


def drop_unknown_fields(patch: Patch) -> None:
    """Only the fields of a token set are written back."""

    def narrowed(document: Document, *args: Any, **kwargs: Any) -> Document:
        fields = documents.merged(document, *args, **kwargs).fields
        return Document({name: value for name, value in fields.items() if name in documents.OWN_FIELDS})

    patch.setattr(received, "merged", narrowed)


def overwrite_a_person(patch: Patch) -> None:
    """After a conflict ours is written, whoever wrote."""
    patch.setattr(received.WriteBack, "_still_ours", lambda *_: True)


def restart_the_fencing_number(patch: Patch) -> None:
    """Releasing the lease deletes its number."""
    patch.setattr(settling, "release", lambda record, _: replace(record, lease=None, fence=0))


def send_without_audit(patch: Patch) -> None:
    """A `rotation.started` that cannot be recorded is taken for a trifle."""
    record = AuditTrail.record

    def careless(self: AuditTrail, *args: Any, **kwargs: Any) -> Any:
        with contextlib.suppress(AuditUnavailable):
            return record(self, *args, **kwargs)

    patch.setattr(AuditTrail, "record", careless)


def send_after_the_lease(patch: Patch) -> None:
    """A paused process sends when it wakes."""
    refresh = SimEndpoint.refresh
    patch.setattr(
        SimEndpoint, "refresh", lambda self, request, **ends: refresh(self, request, deadline_s=ends["deadline_s"])
    )


def third_try(patch: Patch) -> None:
    """Two tries are not the most."""
    patch.setattr(policy, "MOST_TRIES", 99)
    patch.setattr(records.claim, "__code__", _unbounded.__code__)


def _unbounded(record: Any, new: Any, *, again: Any, any_tries: Any, lease: Any) -> Any:
    held = take_lease(record, holder=new.holder, now=new.claimed_at, expires_at=lease)  # type: ignore[name-defined]  # noqa: F821
    before = record.claim_on(new.digest)
    if before is None:
        return replace(held, presented=(*held.presented, new))
    if before.rotation_id == new.rotation_id:
        return record
    once_more = replace(new, claimed_at=before.claimed_at, tries=before.tries + 1)
    return replace(held, presented=_replaced(held.presented, once_more))  # type: ignore[name-defined]  # noqa: F821


PLANTED: dict[Callable[[Patch], None], int] = {
    forget_on_settling: 1500,
    give_back_after_a_lost_reply: 400,
    claim_without_looking: 400,
    latch_nothing: 800,
    ignore_the_escrow: 400,
    clear_the_escrow_first: 800,
    drop_unknown_fields: 50,
    overwrite_a_person: 800,
    restart_the_fencing_number: 50,
    send_without_audit: 800,
    send_after_the_lease: 3000,
    third_try: 3000,
}
"""Each bug, and within how many worlds it is found."""


@pytest.mark.parametrize("bug", PLANTED, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found(bug: Callable[[Patch], None], monkeypatch: Patch) -> None:
    """The checks can fail: each of these bugs breaks a promise within so many worlds."""
    bug(monkeypatch)
    for seed in range(PLANTED[bug]):
        try:
            world(seed).run()
        except Violation:
            return
    pytest.fail(f"{bug.__doc__} Not found in {PLANTED[bug]} worlds.")


def test_a_world_without_faults_keeps_every_token_fresh() -> None:
    """Where nothing goes wrong, no token expires and none is lost, whatever the mix of processes."""
    for seed in range(60):
        one: World = world(seed, rate=0.0, faults=0, outages=(), reseeds=0, revocations=0)
        one.run()
        assert one.watch.explained == 0
        assert one.provider.reuse_detections == 0
