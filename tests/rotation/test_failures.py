"""A part that fails at the wrong moment: what is spent, what is kept, and who goes on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from rotator import outcomes
from rotator.errors import (
    AuditUnavailable,
    EscrowUnavailable,
    RotatorError,
    StoreDenied,
    StoreUnavailable,
    StoreWriteInDoubt,
)
from rotator.model import Refreshed, RefreshRequest, TokenAnswer
from rotator.testing.memory import MemoryEscrow
from tests.rotation.world import World, credential, provider

if TYPE_CHECKING:
    from collections.abc import Callable

DAY_S = 86_400


@dataclass
class Broken:
    """A port of which one method fails from a call on, for a number of calls or until it is mended."""

    port: Any
    method: str
    error: Callable[[], RotatorError]
    skip: int = 0
    times: int = 10**9
    failed: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.port, name)
        if name != self.method:
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            if self.skip:
                self.skip -= 1
            elif len(self.failed) < self.times:
                self.failed.append(name)
                raise self.error()
            return real(*args, **kwargs)

        return call

    def mend(self) -> None:
        self.times = 0


def due(**rules: Any) -> World:
    world = World(credential(provider=provider(**rules)))
    world.until_due()
    return world


def answering(world: World, **changes: Any) -> None:
    """Let the provider's next answer carry other members."""

    def answer(request: RefreshRequest) -> TokenAnswer:
        real = world.provider._process(request)
        assert isinstance(real, Refreshed)
        return Refreshed(replace(real.tokens, **changes), real.warnings)

    world.provider.script.append(answer)


def sent(world: World) -> int:
    return sum(world.provider.presented.values())


def full() -> EscrowUnavailable:
    return EscrowUnavailable("no space left")


def down() -> StoreUnavailable:
    return StoreUnavailable("no answer")


def unaudited() -> AuditUnavailable:
    return AuditUnavailable("disk full")


# --------------------------------------------------------------------------------------------------------- audit


def test_without_an_audit_trail_nothing_is_spent() -> None:
    """Promise 8: what cannot be recorded is not sent; the claim is given back, the lease is free."""
    world = due()
    outcome = world.replica(audit=Broken(world.audit, "record", unaudited)).run()
    assert isinstance(outcome, outcomes.Deferred)
    assert outcome.reason == "audit_unavailable"
    assert outcome.retry_at
    assert sent(world) == 0
    assert world.record.presented == ()
    assert world.record.lease is None
    assert isinstance(world.replica().run(), outcomes.Rotated)
    assert max(world.provider.presented.values()) == 1


def test_an_audit_that_fails_after_the_deed_is_a_warning() -> None:
    """What happened has happened: the tokens are written and settled, and the outcome tells what is not recorded."""
    world = due()
    outcome = world.replica(audit=Broken(world.audit, "record", unaudited, skip=1)).run()
    assert isinstance(outcome, outcomes.Rotated)
    assert [warning.split(":")[0] for warning in outcome.warnings] == ["rotation.succeeded is not in the audit trail"]
    assert world.events == ["rotation.started"]
    assert world.provider.is_live(world.document["refresh_token"])
    assert [claim.outcome for claim in world.record.presented] == ["settled"]


def test_a_recovery_that_cannot_be_audited_waits() -> None:
    """Promise 8 holds for a write back as well: nothing is written, the successor stays in escrow."""
    world = due()
    world.replica(store=Broken(world.store, "compare_and_swap", down)).run()
    before = world.document
    outcome = world.replica(audit=Broken(world.audit, "record", unaudited)).run()
    assert isinstance(outcome, outcomes.Deferred)
    assert outcome.reason == "audit_unavailable"
    assert world.document == before
    assert len(world.escrow.all_waiting()) == 1
    world.later(seconds=200)
    assert isinstance(world.replica().run(), outcomes.Rotated)


@dataclass
class SlowAudit:
    """An audit sink that takes its time over `rotation.started`, while somebody else may act."""

    world: World
    seconds: float
    meanwhile: Callable[[], object] = lambda: None

    def record(self, event: Any) -> None:
        if event.event == "rotation.started":
            self.world.later(seconds=self.seconds)
            self.meanwhile()
        self.world.audit.record(event)


def test_a_lease_that_would_end_before_the_answer_is_not_used() -> None:
    """After an audit so slow that the request could outlast the lease, nothing is sent and the claim is given back."""
    world = due(timeout_s=30.0)  # the lease lasts a minute, and 5 s of it are for clock skew
    outcome = world.replica(audit=SlowAudit(world, 25.1)).run()
    assert isinstance(outcome, outcomes.Deferred)
    assert outcome.reason == "lease_lost"
    assert sent(world) == 0
    assert world.record.presented == ()
    assert world.record.lease is None
    assert world.events == ["rotation.started", "rotation.deferred"]
    assert isinstance(world.replica(audit=SlowAudit(world, 25)).run(), outcomes.Rotated)


def test_a_holder_whose_lease_ended_leaves_the_token_to_whoever_took_over() -> None:
    """Promise 1: an audit longer than the lease lets another replica take over; the token goes out once."""
    world = due(timeout_s=30.0)
    found: list[outcomes.Outcome] = []
    slow = SlowAudit(world, 200, lambda: found.append(world.replica().run()))
    outcome = world.replica(audit=slow).run()
    assert isinstance(outcome, outcomes.Deferred)
    assert isinstance(found[0], outcomes.Rotated)
    assert set(world.provider.presented.values()) == {1}
    assert [claim.outcome for claim in world.record.presented] == ["settled"]
    assert world.provider.is_live(world.document["refresh_token"])


# ------------------------------------------------------------------------------------------------ escrow and store


def test_tokens_that_no_escrow_takes_go_straight_to_the_store() -> None:
    """Promise 2: the store is the next best place; the outcome tells that the escrow failed."""
    world = due()
    outcome = world.replica(escrow=Broken(world.escrow, "keep", full)).run()  # type: ignore[arg-type]
    assert isinstance(outcome, outcomes.Rotated)
    assert "not in escrow: no space left" in outcome.warnings
    assert world.provider.is_live(world.document["refresh_token"])
    assert [claim.outcome for claim in world.record.presented] == ["settled"]


def test_a_private_escrow_that_is_full_stops_a_rotation_before_it_begins() -> None:
    """A private escrow is proven before the claim: nothing is spent, nothing is claimed."""
    world = due()
    world.escrow = MemoryEscrow("file:a")
    outcome = world.replica(escrow=Broken(world.escrow, "prove_writable", full)).run()  # type: ignore[arg-type]
    assert isinstance(outcome, outcomes.Deferred)
    assert outcome.reason == "escrow_unavailable"
    assert sent(world) == 0
    assert world.record.presented == ()


@pytest.mark.parametrize("healed", ["escrow", "store"])
def test_tokens_that_are_nowhere_durable_are_offered_again_from_memory(healed: str) -> None:
    """With escrow and store both failing the tokens are kept in hand until one of them takes them."""
    world = due()
    escrow = Broken(world.escrow, "keep", full, times=12 if healed == "escrow" else 10**9)
    store = Broken(world.store, "compare_and_swap", down, times=12 if healed == "store" else 10**9)
    outcome = world.replica(escrow=escrow, store=store).run()  # type: ignore[arg-type]
    if healed == "store":
        assert isinstance(outcome, outcomes.Rotated)
    else:
        assert isinstance(outcome, outcomes.Deferred)
        assert outcome.reason == "write_back"
        assert isinstance(world.replica().run(), outcomes.Rotated)
    assert sent(world) == 1
    assert world.provider.is_live(world.document["refresh_token"])


def test_tokens_that_nothing_ever_takes_are_reported_lost() -> None:
    """After minutes of trying the loss is told with what to do, the document is untouched, and nobody sends again."""
    world = due()
    before = world.document
    began_s = world.clock.monotonic_s()
    escrow, store = Broken(world.escrow, "keep", full), Broken(world.store, "compare_and_swap", down)
    outcome = world.replica(escrow=escrow, store=store).run()  # type: ignore[arg-type]
    assert isinstance(outcome, outcomes.Failed)
    assert outcome.reason == "lost"
    assert "rotator put payroll" in outcome.action
    assert world.events == ["rotation.started", "rotation.failed"]
    assert world.audit.events[-1].details["reason"] == "lost"
    assert len(store.failed) == 40 * 5
    assert world.clock.monotonic_s() - began_s >= 345
    assert world.document == before
    assert [claim.outcome for claim in world.record.presented] == ["open"]
    assert "at-" not in repr(outcome)


def test_a_store_that_is_down_leaves_the_tokens_in_escrow_for_any_replica() -> None:
    """Promise 2: the lease is let go, and another replica writes back without a request."""
    world = due()
    outcome = world.replica(store=Broken(world.store, "compare_and_swap", down)).run()
    assert isinstance(outcome, outcomes.Deferred)
    assert outcome.reason == "write_back"
    assert world.events == ["rotation.started", "rotation.deferred"]
    assert world.record.lease is None
    assert isinstance(world.replica().run(), outcomes.Rotated)
    assert sent(world) == 1
    assert world.events[2:] == ["escrow.replayed", "rotation.succeeded"]
    assert {event.rotation_id for event in world.audit.events} == {world.audit.events[0].rotation_id}
    assert world.escrow.all_waiting() == ()


def test_a_lease_that_cannot_be_let_go_ends_by_itself() -> None:
    """With store and state both down after the escrow, another replica writes back when the lease is over."""
    world = due()
    store = Broken(world.store, "compare_and_swap", down)
    state = Broken(world.state, "compare_and_swap", down, skip=1)
    outcome = world.replica(store=store, state=state).run()  # type: ignore[arg-type]
    assert isinstance(outcome, outcomes.Deferred)
    assert outcome.reason == "write_back"
    assert world.record.lease is not None
    world.later(seconds=200)
    assert isinstance(world.replica().run(), outcomes.Rotated)
    assert sent(world) == 1


def test_a_store_that_refuses_the_write_asks_for_a_person_and_keeps_the_tokens() -> None:
    """A denial is for an operator; once it is mended the tokens are still there."""
    world = due()
    denied = Broken(world.store, "compare_and_swap", lambda: StoreDenied("not allowed", hint="grant PutSecretValue"))
    outcome = world.replica(store=denied).run()
    assert isinstance(outcome, outcomes.Failed)
    assert (outcome.reason, outcome.action) == ("write_back", "grant PutSecretValue")
    assert isinstance(world.replica().run(), outcomes.Rotated)
    assert sent(world) == 1


# --------------------------------------------------------------------------------------------------------- state


@pytest.mark.parametrize("error", [down, lambda: StoreWriteInDoubt("answer lost")])
def test_a_state_that_fails_at_settling_is_settled_by_a_later_run(error: Callable[[], RotatorError]) -> None:
    """The document is right and told so; whoever runs after the lease finds the successor and only settles."""
    world = due()
    state = Broken(world.state, "compare_and_swap", error, skip=1)
    outcome = world.replica(state=state).run()  # type: ignore[arg-type]
    assert isinstance(outcome, outcomes.Rotated)
    assert any("not settled yet" in warning for warning in outcome.warnings)
    assert world.provider.is_live(world.document["refresh_token"])
    assert [claim.outcome for claim in world.record.presented] == ["open"]
    waits = world.replica().run()
    assert isinstance(waits, outcomes.Deferred)
    assert waits.reason == "held"
    world.later(seconds=200)
    version = world.store.read("payroll").version
    assert isinstance(world.replica().run(), outcomes.Rotated)
    assert [claim.outcome for claim in world.record.presented] == ["settled"]
    assert world.escrow.all_waiting() == ()
    assert world.store.read("payroll").version == version
    assert sent(world) == 1
    assert isinstance(world.replica().run(), outcomes.Fresh)


def test_a_state_that_is_down_sends_nothing() -> None:
    """Without a claim there is no request."""
    world = due()
    outcome = world.replica(state=Broken(world.state, "compare_and_swap", down)).run()  # type: ignore[arg-type]
    assert isinstance(outcome, outcomes.Deferred)
    assert outcome.reason == "store_unavailable"
    assert sent(world) == 0
    assert world.events == []


def test_an_escrow_that_cannot_be_cleared_is_cleared_by_a_later_run() -> None:
    """An entry that came back after settling is settled again, and writes nothing."""
    world = due()
    world.escrow = MemoryEscrow("file:a")
    outcome = world.replica(escrow=Broken(world.escrow, "clear", full)).run()  # type: ignore[arg-type]
    assert isinstance(outcome, outcomes.Rotated)
    assert len(world.escrow.all_waiting()) == 1
    assert isinstance(world.replica().run(), outcomes.Rotated)
    assert world.escrow.all_waiting() == ()
    assert len(world.record.history) == 1
    assert sent(world) == 1


def test_settling_again_does_not_make_the_grant_younger() -> None:
    """The absolute life of a grant counts from its first sight, however often a rotation is settled."""
    world = due(refresh_token_absolute_s=30 * DAY_S)
    world.escrow = MemoryEscrow("file:a")
    world.replica(escrow=Broken(world.escrow, "clear", full)).run()  # type: ignore[arg-type]
    before = world.record.grant
    assert before
    world.replica().run()
    after = world.record.grant
    assert after
    assert (after.since, after.expires_at) == (before.since, before.expires_at)
