"""What follows an answer: escrow, write back and settle; or give the claim back, latch it, leave it in doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model.surroundings import descends, put
from tests.model.worlds import (
    CLEAR,
    FIRST,
    KEEP,
    KEEP_LATE,
    LAST,
    NOBODY,
    OPEN,
    REJECTED,
    REST,
    SETTLE,
    SETTLED,
    WRITE,
    Claim,
    Entry,
    Record,
    Replica,
    World,
    refresh,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.model.setups import Setup
    from tests.model.surroundings import Step


def answered(world: World, index: int, replica: Replica, setup: Setup) -> Iterator[Step]:
    """See whether the lease lasts; if not, take it anew or give way (`Settling.received`)."""
    first = WRITE if setup.omits & {"no_escrow", "escrow_after_write"} else KEEP
    if world.held(replica.fence) or "no_retake" in setup.omits:
        on = replica._replace(step=first, kind=FIRST)
        if first == WRITE:
            on = on._replace(spent=old_copies(world.record, replica, setup))
        yield "still has its lease", world.with_replica(index, on), ""
        return
    if _owns(world, replica) and not world.alive:
        fence = world.record.fence + 1
        record = world.record._replace(fence=fence, lease=fence)
        on = replica._replace(step=first, kind=FIRST, fence=fence)
        on = on._replace(spent=old_copies(record, replica, setup)) if first == WRITE or not setup.shared else on
        yield "takes its ended lease anew", world._replace(record=record, alive=True).with_replica(index, on), ""
        return
    yield _overtaken(world, index, replica, setup)


def _overtaken(world: World, index: int, replica: Replica, setup: Setup) -> Step:
    if _is_over(world, index, replica, setup):
        return "was overtaken and gives way", world.with_replica(index, REST), ""
    late = Replica(KEEP_LATE, parent=replica.parent, rid=replica.rid, new=replica.new)
    return "was overtaken by a try that is open", world.with_replica(index, late), ""


def _is_over(world: World, index: int, replica: Replica, setup: Setup) -> bool:
    """Return whether nothing depends on an overtaken answer any more."""
    standing = world.record.claim_on(replica.parent)
    waits = any(one.parent == replica.parent for one in world.entries(index, shared=setup.shared))
    return standing is None or standing.outcome == SETTLED or waits


def _owns(world: World, replica: Replica) -> bool:
    standing = world.record.claim_on(replica.parent)
    return standing is not None and standing.rid == replica.rid and standing.outcome == OPEN


def keep(world: World, index: int, replica: Replica, setup: Setup) -> Iterator[Step]:
    """Put what was received into escrow (`Escrow.keep`)."""
    if setup.shared and not _owns(world, replica) and "keep_unasked" not in setup.omits:
        yield _overtaken(world, index, replica, setup)
        return
    kept = _kept(world, index, replica, setup)
    step = WRITE
    if "escrow_after_write" in setup.omits and replica.current:
        step = SETTLE
    spent = old_copies(world.record, replica, setup) if setup.shared else replica.spent
    on = replica._replace(step=step, spent=spent if step == WRITE else ())
    yield f"keeps {replica.new} in escrow", kept.with_replica(index, on), ""
    if world.budget.losses and setup.escrow_fails and step == WRITE:
        # Not durable anywhere: the store is the next best place.
        failed = world.with_token(replica.parent, excused=True)
        failed = failed._replace(budget=world.budget._replace(losses=world.budget.losses - 1))
        on = replica._replace(step=WRITE, spent=spent)
        yield "finds its escrow out of order", failed.with_replica(index, on), ""


def keep_late(world: World, index: int, replica: Replica, setup: Setup) -> Iterator[Step]:
    """Keep the overtaken answer, in case the later try comes to nothing (`Settling._overtaken`)."""
    over = setup.shared and _is_over(world, index, replica, setup) and "keep_unasked" not in setup.omits
    kept = world if over else _kept(world, index, replica, setup)
    yield "gives way" if over else f"keeps {replica.new} in escrow", kept.with_replica(index, REST), ""


def _kept(world: World, index: int, replica: Replica, setup: Setup) -> World:
    if _owns(world, replica):
        world = world.with_token(replica.new, kept=True)
    old = world.entries(index, shared=setup.shared)
    new = (*[one for one in old if one.parent != replica.parent], Entry(replica.parent, replica.new, replica.rid))
    return _with_entries(world, index, new, setup)


def _with_entries(world: World, index: int, entries: tuple[Entry, ...], setup: Setup) -> World:
    if setup.shared:
        return world._replace(record=world.record._replace(escrow=entries))
    return world._replace(files=(*world.files[:index], entries, *world.files[index + 1 :]))


def old_copies(record: Record, replica: Replica, setup: Setup) -> tuple[int, ...]:
    """Return the tokens that an old copy of the document may show: settled, and claimed before the one in hand."""
    claims = list(record.presented)
    if "spent_later_counts" not in setup.omits:
        own = next((at for at, claim in enumerate(claims) if claim.digest == replica.parent), len(claims))
        claims = [claim for claim in claims[:own] if claim.outcome == SETTLED]
    return tuple(claim.digest for claim in claims if claim.digest != replica.parent)


# ---------------------------------------------------------------------------------------- write and settle


def write(world: World, index: int, replica: Replica, setup: Setup) -> Iterator[Step]:
    """Compare-and-swap, and after a conflict see what is there (`WriteBack.run`)."""
    base = replica.doc
    current = replica.current or base
    new = replica.new
    done = replica._replace(step=SETTLE, doc=(), current=(), spent=(), kind=FIRST)
    left = done if "drop_unwritten" in setup.omits else done._replace(others=())
    if "escrow_after_write" in setup.omits:
        done = replica._replace(step=KEEP, current=base, spent=())
    if world.docs[-1][0] == current[0]:
        old = world.docs[-1][1]
        right = old == new or descends(world.tokens, new, old, rotates=setup.rotates)
        after = world if old == new else put(world, new)
        yield f"writes {new} over {old}", after.with_replica(index, done), "" if right else "descendant"
        return
    for doc in world.docs:
        if doc[0] < base[0]:
            yield "meets a conflict and a stale read", world.with_replica(index, replica._replace(current=())), ""
        elif _still_ours(world, doc, replica, setup):
            again = replica._replace(current=() if doc == base else doc)
            yield f"meets a conflict and reads {doc[1]}", world.with_replica(index, again), ""
        else:
            yield f"meets a conflict and leaves {doc[1]}", world.with_replica(index, left), ""


def _still_ours(world: World, doc: tuple[int, int], replica: Replica, setup: Setup) -> bool:
    stored = refresh(world.tokens, doc[1], rotates=setup.rotates)
    if setup.rotates:
        return doc[1] != replica.new and (stored == replica.parent or stored in replica.spent)
    return stored == replica.parent and doc[1] < replica.new


def settle(world: World, index: int, replica: Replica, setup: Setup) -> Iterator[Step]:
    """Mark this token's claim settled, release the lease, drop its escrow (`Settling.settle`)."""
    parents = (replica.parent, *replica.others)
    if "clear_escrow_first" in setup.omits and replica.kind == FIRST:
        entries = tuple(one for one in world.entries(index, shared=setup.shared) if one.parent not in parents)
        cleared = _with_entries(world, index, entries, setup)
        yield "clears its escrow first", cleared.with_replica(index, replica._replace(kind=LAST)), ""
        return
    record = world.record
    before = record.claim_on(replica.parent)
    if before and ("forget_claim" in setup.omits or (not setup.rotates and before.rid == replica.rid)):
        record = record.without_claim(replica.parent)
    elif before and setup.rotates:
        record = record.with_claim(Claim(replica.parent, NOBODY, before.tries, SETTLED))
    for parent in () if "drop_unwritten" in setup.omits else replica.others:
        other = record.claim_on(parent)
        if other:
            record = record.with_claim(Claim(parent, NOBODY, other.tries, SETTLED))
    record = record.released(replica.fence)
    if setup.shared:
        after = world.with_record(record.without(parents)).with_replica(index, REST)
    else:
        after = world.with_record(record).with_replica(
            index, Replica(CLEAR, parent=replica.parent, others=replica.others)
        )
    yield f"settles {replica.parent}", after, ""


def clear(world: World, index: int, replica: Replica, setup: Setup) -> Iterator[Step]:
    """Remove the entry from a private escrow."""
    parents = (replica.parent, *replica.others)
    entries = tuple(one for one in world.files[index] if one.parent not in parents)
    yield "clears its escrow", _with_entries(world, index, entries, setup).with_replica(index, REST), ""


# ------------------------------------------------------------------------------------------ without new tokens


def give_back(world: World, index: int, replica: Replica, _: Setup) -> Iterator[Step]:
    """Take the claim out: the request never left (`record_changes.give_back`)."""
    record = _given_back(world.record, replica).released(replica.fence)
    yield "gives its claim back", world.with_record(record).with_replica(index, REST), ""


def _given_back(record: Record, replica: Replica) -> Record:
    before = record.claim_on(replica.parent)
    if before is None or before.rid != replica.rid:
        return record
    if before.tries > 1:
        return record.with_claim(before._replace(tries=before.tries - 1, rid=NOBODY))
    return record.without_claim(replica.parent)


def doubt(world: World, index: int, replica: Replica, setup: Setup) -> Iterator[Step]:
    """Note the doubt and let the lease go; the claim stays open (`Setbacks._in_doubt`)."""
    record = world.record
    if "give_back_after_lost_reply" in setup.omits:
        record = _given_back(record, replica)
    yield "notes the doubt", world.with_record(record.released(replica.fence)).with_replica(index, REST), ""


def reject(world: World, index: int, replica: Replica, _: Setup) -> Iterator[Step]:
    """Latch the token (`Setbacks._rejected`)."""
    record = world.record
    before = record.claim_on(replica.parent)
    if before:
        record = record.with_claim(before._replace(outcome=REJECTED))
    yield "latches", world.with_record(record.released(replica.fence)).with_replica(index, REST), ""
