"""An answer that comes after its lease has ended, with or without another replica that took over."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rotator import outcomes
from rotator.errors import EscrowUnavailable
from rotator.model import Rejected, Replay
from rotator.received import Received, sealed_tokens
from rotator.testing.memory import MemoryEscrow
from tests.rotation.doubts import crash, is_doubt, left, sent, world_of
from tests.rotation.test_failures import Broken, down

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.outcomes import Outcome
    from tests.rotation.world import World

UNUSED = Replay("until_successor_used")


def held_up(world: World, meanwhile: Callable[[], object]) -> None:
    """Let the provider answer at once and the answer arrive after the lease, with `meanwhile` in between."""

    def answer(request: Any) -> Any:
        real = world.provider._process(request)
        world.later(seconds=200)
        meanwhile()
        return real

    world.provider.script.append(answer)


def paused_with_an_answer(world: World) -> Callable[[], Outcome]:
    """Let a replica receive an answer and do nothing with it; return what lets it go on."""
    rotation = world.replica().rotation
    arrived: list[Any] = []

    def stop(*answer: Any) -> Outcome:
        arrived.extend(answer)
        return outcomes.Deferred("payroll", "paused", None)

    paused = replace(rotation, settling=SimpleNamespace(received=stop))
    seen = world.replica().observer.observe(world.credential)
    assert paused.run(replace(seen, situation=replace(seen.situation, holder="paused"))).name == "payroll"
    return lambda: rotation.settling.received(*arrived[:2], ())


def test_an_answer_after_the_lease_is_written_when_nobody_took_over() -> None:
    """A paused process that finds its claim untouched takes the lease anew and goes on."""
    world = world_of()
    held_up(world, lambda: None)
    assert isinstance(world.replica().run(), outcomes.Rotated)
    assert world.provider.is_live(world.document["refresh_token"])
    assert (world.record.lease, world.record.fence) == (None, 2)
    assert [claim.outcome for claim in world.record.presented] == ["settled"]


def test_an_answer_after_the_lease_does_not_overwrite_the_later_one() -> None:
    """The replica that took over wrote a newer token set; the overtaken one keeps its own nowhere."""
    world = world_of(UNUSED, grace_s=3600)
    found: list[Outcome] = []
    held_up(world, lambda: found.append(world.replica().run()))
    late = world.replica().run()
    assert isinstance(found[0], outcomes.Rotated)
    assert isinstance(late, outcomes.Deferred)
    assert late.reason == "overtaken"
    assert world.document["access_token"] == "at-3"
    assert world.provider.is_live(world.document["refresh_token"])
    assert world.escrow.all_waiting() == ()
    assert len(world.record.history) == 1


def test_an_overtaken_answer_is_kept_while_the_later_one_is_in_doubt() -> None:
    """Promise 2: should the later presentation have been lost on its way, the first answer is the only one."""
    world = world_of(UNUSED, grace_s=3600)
    held_up(world, lambda: crash(world, "provider.refresh"))
    late = world.replica().run()
    assert isinstance(late, outcomes.Deferred)
    assert late.reason == "overtaken"
    assert [entry.kind for entry in world.escrow.all_waiting()] == ["tokens"]
    world.later(seconds=200)
    assert isinstance(world.replica().run(), outcomes.Rotated)
    assert world.document["access_token"] == "at-2"
    assert sent(world) == 1


def test_an_overtaken_answer_does_not_replace_the_later_one_in_escrow() -> None:
    """The later answer waits in the shared escrow already: it is the one that counts."""
    world = world_of(UNUSED, grace_s=3600)
    held_up(world, lambda: crash(world, "escrow.keep", "after"))
    late = world.replica().run()
    assert isinstance(late, outcomes.Deferred)
    world.later(seconds=200)
    assert isinstance(world.replica().run(), outcomes.Rotated)
    assert world.document["access_token"] == "at-3"
    assert world.provider.is_live(world.document["refresh_token"])


def test_a_lease_held_by_who_took_over_is_respected() -> None:
    """While the other replica's request is on its way the overtaken one keeps what it has and writes nothing."""
    world = world_of(UNUSED, grace_s=3600)
    version = world.store.read("payroll").version
    found: list[Outcome] = []

    def second(request: Any) -> Any:
        answer = world.provider._process(request)
        found.append(goes_on())
        assert world.store.read("payroll").version == version
        return answer

    goes_on = paused_with_an_answer(world)
    world.later(seconds=200)
    world.provider.script.append(second)
    assert isinstance(world.replica().run(), outcomes.Rotated)
    assert [one.reason for one in found if isinstance(one, outcomes.Deferred)] == ["overtaken"]
    assert world.document["access_token"] == "at-3"
    assert world.provider.is_live(world.document["refresh_token"])
    assert world.escrow.all_waiting() == ()


def test_a_state_that_is_down_does_not_keep_tokens_from_the_store() -> None:
    """Nobody can have taken over in a state that takes no writes: the tokens are made durable."""
    world = world_of()
    held_up(world, lambda: None)
    state = Broken(world.state, "compare_and_swap", down, skip=1)
    outcome = world.replica(state=state).run()  # type: ignore[arg-type]
    assert isinstance(outcome, outcomes.Rotated)
    assert any("not settled yet" in warning for warning in outcome.warnings)
    assert world.provider.is_live(world.document["refresh_token"])


def test_an_overtaken_answer_waits_in_memory_for_an_escrow_that_is_away() -> None:
    """Promise 2: the first answer may be the only one, so it is offered until the escrow takes it."""
    world = world_of(UNUSED, grace_s=3600)
    held_up(world, lambda: crash(world, "provider.refresh"))
    escrow = Broken(world.escrow, "keep", lambda: EscrowUnavailable("no answer"), times=12)
    late = world.replica(escrow=escrow).run()  # type: ignore[arg-type]
    assert isinstance(late, outcomes.Deferred)
    assert late.reason == "overtaken"
    assert len(escrow.failed) == 12
    assert [entry.kind for entry in world.escrow.all_waiting()] == ["tokens"]


def test_the_last_answer_waits_in_memory_for_a_store_that_is_away() -> None:
    """Promise 2: an earlier answer was written meanwhile, and only the store tells that this one takes its place."""
    world = world_of(Replay("window", 3600.0), grace_s=3600)
    goes_on = paused_with_an_answer(world)
    world.later(seconds=200)

    def second(request: Any) -> Any:
        answer = world.provider._process(request)
        goes_on()
        world.later(seconds=200)
        assert isinstance(world.replica().run(), outcomes.Rotated)
        assert world.document["access_token"] == "at-2"
        return answer

    world.provider.script.append(second)
    store = Broken(world.store, "read", down, skip=2, times=12)
    assert isinstance(world.replica(store=store).run(), outcomes.Rotated)  # type: ignore[arg-type]
    assert len(store.failed) == 12
    assert world.document["access_token"] == "at-3"
    assert world.provider.is_live(world.document["refresh_token"])


@pytest.mark.parametrize("seconds", [220, 1])
def test_an_overtaken_holder_with_a_private_escrow_keeps_its_answer_there(seconds: float) -> None:
    """Another host waits for it as long as the access token lasts, and does not send."""
    world = world_of(UNUSED, grace_s=3600)
    world.escrow = MemoryEscrow("file:a")
    crash(world, "store.compare_and_swap", store=world.store)
    left(world, seconds)
    assert is_doubt(world.replica(escrow=MemoryEscrow("file:b")).run(force=True))
    assert isinstance(world.replica().run(), outcomes.Rotated)
    assert sent(world) == 1


def test_a_later_claim_whose_lease_has_ended_is_still_somebody_elses() -> None:
    """Between two answers the claim decides, not the lease: the overtaken holder does not write over the later try."""
    world = world_of(UNUSED, grace_s=3600)

    def taken_over_and_dead() -> None:
        crash(world, "provider.refresh")
        world.later(seconds=200)

    held_up(world, taken_over_and_dead)
    before = world.document
    late = world.replica().run()
    assert isinstance(late, outcomes.Deferred)
    assert late.reason == "overtaken"
    assert world.document == before
    standing = world.record.claim_on(world.digest)
    assert standing
    assert (standing.tries, standing.outcome) == (2, "open")


def test_a_rejection_while_the_successor_waits_is_no_dead_grant() -> None:
    """Promise 6: the second try is refused because the first one's answer arrived late and waits in escrow."""
    world = world_of(UNUSED)
    found: list[Outcome] = []

    def refused(_: Any) -> Any:
        return Rejected("invalid_grant")

    def taken_over() -> None:
        other = world.replica()
        seen = other.observer.observe(world.credential)
        world.provider.script.append(lambda request: (kept(), refused(request))[1])
        found.append(other.rotation.run(seen))

    def kept() -> None:
        entry = sealed_tokens(first[0], world.seal, world.identity, "payroll")
        world.escrow.keep(entry, None)  # type: ignore[arg-type]

    first: list[Received] = []

    def answer(request: Any) -> Any:
        real = world.provider._process(request)
        first.append(Received(real.tokens, world.clock.now(), world.digest, "first"))
        world.later(seconds=200)
        taken_over()
        return real

    world.provider.script.append(answer)
    world.replica().run()
    assert [one.reason for one in found if isinstance(one, outcomes.Deferred)] == ["superseded"]
    assert "credential.reauthorization_required" not in world.events
    assert isinstance(world.replica().run(), outcomes.Rotated)
    assert world.provider.is_live(world.document["refresh_token"])
