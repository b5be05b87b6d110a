"""The procedure as a transition system: what each replica may do next, one call to a port at a time.

Names are those of the code. Time has no numbers: a lease ends, a window closes, a last try falls due at any moment,
and a process may be held up between any two steps. A refresh token is the number of the token set it came with; where
the provider keeps the refresh token, that of the login.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model import answers
from tests.model.surroundings import broken, presented, surroundings, unsent_again
from tests.model.worlds import (
    ANSWERED,
    CLAIM,
    CLEAR,
    DOUBT,
    FIRST,
    GIVE_BACK,
    IDLE,
    INSIDE,
    KEEP,
    KEEP_LATE,
    LAST,
    LOOKED,
    NAMES,
    OPEN,
    PERMITTED,
    RECOVER,
    REJECT,
    REST,
    RULE,
    SEND,
    SETTLE,
    WRITE,
    Claim,
    Entry,
    Replica,
    World,
    refresh,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.model.setups import Setup
    from tests.model.surroundings import Step

MOST_TRIES = 2


def steps(world: World, setup: Setup) -> Iterator[Step]:
    """Yield every step that may come next: what happens, the world after it, the property it breaks."""
    for index, replica in enumerate(world.replicas):
        name = NAMES[index]
        for label, after, property_ in _STEPS[replica.step](world, index, replica, setup):
            back = "fence" if after.record.fence < world.record.fence else ""
            yield f"{name} {label}", after, property_ or back or broken(after, setup)
    for label, after, property_ in surroundings(world, setup):
        yield label, after, property_ or broken(after, setup)


# ---------------------------------------------------------------------------------------- observe and decide


def _idle(world: World, index: int, _: Replica, setup: Setup) -> Iterator[Step]:
    """Read the document; a stale read shows the version before."""
    for doc in world.docs:
        yield f"reads version {doc[0]} with {doc[1]}", world.with_replica(index, Replica(LOOKED, doc)), ""


def _looked(world: World, index: int, replica: Replica, setup: Setup) -> Iterator[Step]:
    """Read record and escrow and decide (`policy.decide`)."""
    rest = world.with_replica(index, REST)
    digest = refresh(world.tokens, replica.doc[1], rotates=setup.rotates)
    replica = replica._replace(parent=digest)
    entries = world.entries(index, shared=setup.shared)
    entry = next((one for one in entries if digest in (one.parent, _successor(world, one, setup))), None)
    if entry:
        if world.alive:
            yield "finds a successor in escrow and the lease held", rest, ""
            return
        others = _others(entries, entry.parent)
        recover = replica._replace(step=RECOVER, parent=entry.parent, rid=entry.rid, new=entry.new, others=others)
        yield f"finds {entry.new} in escrow", world.with_replica(index, recover), ""
        return
    replica = replica._replace(step=CLAIM, others=_others(entries, digest))
    claim = world.record.claim_on(digest)
    if world.alive or (claim and claim.outcome != OPEN):
        yield "sees nothing to do", rest, ""
    elif claim is None:
        if len(world.tokens) <= setup.tokens:
            seen = world.record if "no_compare_and_swap" in setup.omits else ()
            yield f"decides to refresh {digest}", world.with_replica(index, replica._replace(seen=seen)), ""
    else:
        for kind in _again(world, index, claim, setup):
            again = replica._replace(kind=kind, seen=() if "no_comparison" in setup.omits else world.record)
            yield f"decides to try {digest} once more", world.with_replica(index, again), ""


def _again(world: World, index: int, claim: Claim, setup: Setup) -> list[int]:
    """Return by which rules a token in doubt may be sent once more at some moment (`policy._in_doubt`)."""
    safe = setup.replay == "safe"
    if claim.tries >= MOST_TRIES and not safe and "third_try" not in setup.omits:
        return []
    near = setup.shared or claim.place == index
    if not (claim.permitted or safe or near) and (world.budget.expiry or not setup.expiry):
        return []  # another host's escrow may hold the successor, as long as the access token lasts
    if claim.permitted:
        return [PERMITTED]
    if safe or setup.replay == "until_successor_used":
        return [RULE]
    if setup.on_doubt == "wait_then_replay":
        return [LAST]  # waits at most until the last quarter of the margin: any moment
    return [INSIDE] if setup.replay == "window" and not world.tokens[claim.digest].closed else []


def _others(entries: tuple[Entry, ...], parent: int) -> tuple[int, ...]:
    return tuple(sorted(one.parent for one in entries if one.parent != parent))


def _successor(world: World, entry: Entry, setup: Setup) -> int:
    return refresh(world.tokens, entry.new, rotates=setup.rotates)


# ------------------------------------------------------------------------------------------- claim and send


def _claim(world: World, index: int, replica: Replica, setup: Setup) -> Iterator[Step]:
    """Append the digest and take the lease in one conditional write (`record_changes.claim`, `Rotation._claim`)."""
    record = world.record
    if "no_compare_and_swap" in setup.omits and replica.seen:
        record = replica.seen
    elif world.alive:
        yield "is refused: the lease is held", world.with_replica(index, REST), ""
        return
    before = record.claim_on(replica.parent)
    fence = record.fence + 1
    place = 0 if setup.shared else index
    if replica.kind == FIRST:
        wanted = record._replace(presented=(*record.presented, Claim(replica.parent, fence, place=place)))
        refused = before is not None
        if "no_claim" in setup.omits:
            wanted = record
    else:
        out = before is None or before.outcome != OPEN
        many = before is not None and before.tries >= MOST_TRIES
        refused = out or (many and setup.replay != "safe" and "third_try" not in setup.omits)
        refused = refused or replica.seen not in ((), record)
        wanted = record
        if before and not refused:
            tries = min(before.tries + 1, MOST_TRIES + 1)
            wanted = record.with_claim(Claim(replica.parent, fence, tries, place=place))
    if refused:
        yield "is refused: the record changed", world.with_replica(index, REST), ""
        return
    wanted = wanted._replace(fence=fence, lease=fence)
    spent = answers.old_copies(wanted, replica, setup) if not setup.shared else ()
    sends = replica._replace(step=SEND, fence=fence, rid=fence, seen=(), spent=spent)
    yield f"claims {replica.parent}", world._replace(record=wanted, alive=True).with_replica(index, sends), ""


def _send(world: World, index: int, replica: Replica, setup: Setup) -> Iterator[Step]:
    """Send before `send_by`, which comes before the end of the lease; or not at all."""
    yield "does not send in time", world.with_replica(index, replica._replace(step=GIVE_BACK)), ""
    if not world.held(replica.fence) and "no_send_by" not in setup.omits:
        return
    number = replica.parent
    if replica.kind == INSIDE and world.tokens[number].closed and "late_in_window" not in setup.omits:
        return
    breaks = unsent_again(world, number, replica.kind, setup)
    sent = world.with_token(number, sent=min(world.tokens[number].sent + 1, 3)) if setup.rotates else world
    after, new = presented(sent, number, setup)
    held_up = replica.kind == FIRST and not world.held(replica.fence)  # only without send_by
    if new is None:
        yield f"sends {number}: rejected", after.with_replica(index, replica._replace(step=REJECT)), breaks
    else:
        if held_up:
            after = after.with_token(number, excused=True)
        got = replica._replace(step=ANSWERED, new=new)
        yield f"sends {number}: receives {new}", after.with_replica(index, got), breaks
    if world.budget.losses:
        budget = world.budget._replace(losses=world.budget.losses - 1)
        doubt = replica._replace(step=DOUBT)
        for lost, how in ((sent, "the request is lost"), (after, "the reply is lost")):
            lost_ = lost._replace(budget=budget).with_token(number, excused=True).with_replica(index, doubt)
            yield f"sends {number}: {how}", lost_, breaks


# -------------------------------------------------------------------------------------------------- recover


def _recover(world: World, index: int, replica: Replica, setup: Setup) -> Iterator[Step]:
    """Take the lease to finish what a dead holder began (`Rotation._recover`)."""
    record = world.record
    if "recover_unasked" not in setup.omits:
        standing = record.claim_on(replica.parent)
        waits = Entry(replica.parent, replica.new, replica.rid) in world.entries(index, shared=setup.shared)
        if not waits:
            yield "finds it done meanwhile", world.with_replica(index, REST), ""
            return
        if standing and standing.outcome == OPEN:
            record = record.with_claim(standing._replace(rid=replica.rid))
    if world.alive:
        yield "is refused: the lease is held", world.with_replica(index, REST), ""
        return
    fence = record.fence + 1
    record = record._replace(fence=fence, lease=fence)
    written = _successor(world, Entry(-1, replica.new, 0), setup) == replica.doc[1]
    if not setup.rotates:
        written = replica.doc[1] >= replica.new
    on = replica._replace(fence=fence, step=SETTLE, others=()) if written else replica._replace(fence=fence, step=WRITE)
    on = on._replace(spent=answers.old_copies(record, replica, setup)) if not written else on._replace(doc=())
    yield "takes the lease to recover", world._replace(record=record, alive=True).with_replica(index, on), ""


_STEPS: dict[int, Callable[[World, int, Replica, Setup], Iterator[Step]]] = {
    IDLE: _idle,
    LOOKED: _looked,
    RECOVER: _recover,
    CLAIM: _claim,
    SEND: _send,
    ANSWERED: answers.answered,
    KEEP: answers.keep,
    KEEP_LATE: answers.keep_late,
    WRITE: answers.write,
    SETTLE: answers.settle,
    CLEAR: answers.clear,
    GIVE_BACK: answers.give_back,
    DOUBT: answers.doubt,
    REJECT: answers.reject,
}
