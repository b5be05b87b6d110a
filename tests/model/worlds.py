"""The states of the model. All of them are tuples of numbers, so that they hash, compare and sort fast."""

from __future__ import annotations

from typing import NamedTuple

# What became of a token at the provider.
LIVE, USED, DEAD = range(3)
# The outcome of a claim (`rotator.records.ClaimOutcome`).
OPEN, SETTLED, REJECTED = range(3)
# Why a token is sent: its first time, or one more time by the replay rule, a window, the last try, a permission.
FIRST, RULE, INSIDE, LAST, PERMITTED = range(5)
# What a replica does next.
IDLE, LOOKED, RECOVER, CLAIM, SEND, ANSWERED, KEEP, KEEP_LATE, WRITE, SETTLE, CLEAR, GIVE_BACK, DOUBT, REJECT = range(
    14
)
STEPS = (
    "idle", "before deciding", "before taking the lease", "before the claim", "before sending",
    "with an answer in memory", "before the escrow", "overtaken, before the escrow", "before the write",
    "before settling", "before clearing its escrow", "before giving back", "before noting the doubt",
    "before noting the rejection",
)  # fmt: skip
NAMES = "ABCDEF"
NOBODY = 0
"""The rotation id of a claim that belongs to no attempt any more, and the fence of no lease."""


class Token(NamedTuple):
    """A token set that the provider issued; the last three are the observer's, no process sees them.

    Args:
        parent: The set whose refresh token brought it; -1 for a login.
        closed: Whether the provider's replay window for it is over.
        sent: How many requests with its refresh token left.
        excused: A reply to it was lost, or its holder died or was held up with an answer that was not yet durable.
        kept: It was durable while the claim on its parent was still its holder's.
    """

    parent: int
    family: int
    status: int = LIVE
    closed: bool = False
    sent: int = 0
    excused: bool = False
    kept: bool = False


class Claim(NamedTuple):
    """See `rotator.records.Claim`; `rid` is the fencing number that was given with the claim."""

    digest: int
    rid: int
    tries: int = 1
    outcome: int = OPEN
    permitted: bool = False
    place: int = 0


class Entry(NamedTuple):
    """See `rotator.records.SealedEntry`."""

    parent: int
    new: int
    rid: int


class Record(NamedTuple):
    """See `rotator.records.StateRecord`; `lease` is the fencing number of who took it."""

    fence: int = 0
    lease: int = NOBODY
    presented: tuple[Claim, ...] = ()
    escrow: tuple[Entry, ...] = ()

    def claim_on(self, digest: int) -> Claim | None:
        return next((claim for claim in self.presented if claim.digest == digest), None)

    def with_claim(self, new: Claim) -> Record:
        return self._replace(presented=tuple(new if one.digest == new.digest else one for one in self.presented))

    def without_claim(self, digest: int) -> Record:
        return self._replace(presented=tuple(one for one in self.presented if one.digest != digest))

    def released(self, fence: int) -> Record:
        return self._replace(lease=NOBODY) if fence and self.lease == fence else self

    def without(self, parents: tuple[int, ...]) -> Record:
        return self._replace(escrow=tuple(one for one in self.escrow if one.parent not in parents))


Doc = tuple[int, int]
"""A version of the document and the token set in it."""


class Replica(NamedTuple):
    """A process, and what it holds in memory.

    Args:
        doc: What it read, the base of its write.
        current: What it read after a conflict, if that is to be written over.
        kind: Why it sends.
        seen: The record on which it decided; empty where the claim does not ask.
        spent: The digests in the record when it last saw it.
        others: Parents of what else waited in escrow when it looked.
    """

    step: int = IDLE
    doc: Doc | tuple[()] = ()
    parent: int = -1
    fence: int = 0
    rid: int = 0
    new: int = -1
    kind: int = FIRST
    current: Doc | tuple[()] = ()
    seen: Record | tuple[()] = ()
    spent: tuple[int, ...] = ()
    others: tuple[int, ...] = ()


REST = Replica()


class Budget(NamedTuple):
    """What may still go wrong, or be done by people."""

    crashes: int
    losses: int
    people: int
    words: int
    expiry: bool
    restore: bool


class World(NamedTuple):
    """Everything.

    Args:
        docs: The versions a read may show, newest last.
        alive: Whether the lease in the record has not ended.
        files: Each replica's private escrow.
    """

    tokens: tuple[Token, ...]
    docs: tuple[Doc, ...]
    record: Record
    alive: bool
    files: tuple[tuple[Entry, ...], ...]
    replicas: tuple[Replica, ...]
    budget: Budget

    def held(self, fence: int) -> bool:
        """Return whether the lease with this fencing number lasts."""
        return self.alive and self.record.lease == fence

    def entries(self, index: int, *, shared: bool) -> tuple[Entry, ...]:
        """Return what waits in the escrow that a replica sees."""
        return self.record.escrow if shared else self.files[index]

    def with_replica(self, index: int, replica: Replica) -> World:
        replicas = self.replicas
        return self._replace(replicas=(*replicas[:index], replica, *replicas[index + 1 :]))

    def with_record(self, record: Record) -> World:
        return self._replace(record=record, alive=self.alive and record.lease == self.record.lease)

    def with_token(self, number: int, **changes: object) -> World:
        token = self.tokens[number]._replace(**changes)  # type: ignore[arg-type]
        return self._replace(tokens=(*self.tokens[:number], token, *self.tokens[number + 1 :]))


def refresh(tokens: tuple[Token, ...], number: int, *, rotates: bool) -> int:
    """Return the refresh token in a token set: its own, or the login's where the provider keeps it."""
    if rotates or tokens[number].parent < 0:
        return number
    return tokens[number].parent


def normal(world: World, *, alike: bool) -> World:
    """Return the one world that stands for all that differ only in the size of their numbers.

    Args:
        alike: Whether the replicas may change places: none of them has anything of its own.
    """
    versions = {doc[0] for doc in world.docs}
    fences = {NOBODY, *_fences(world.record)}
    for one in world.replicas:
        if one.step != IDLE:
            versions.update(doc[0] for doc in (one.doc, one.current) if doc)
            fences.update((one.fence, one.rid), _fences(one.seen) if one.seen else ())
    v = {number: rank for rank, number in enumerate(sorted(versions))}
    f = {number: rank for rank, number in enumerate(sorted(fences))}
    replicas = tuple(one if one.step == IDLE else _ranked(one, v, f) for one in world.replicas)
    return world._replace(
        docs=tuple((v[version], number) for version, number in world.docs),
        record=_ranked_record(world.record, f),
        files=tuple(tuple(one._replace(rid=f.get(one.rid, NOBODY)) for one in entries) for entries in world.files),
        replicas=tuple(sorted(replicas)) if alike else replicas,
    )


def _fences(record: Record) -> list[int]:
    return [
        record.fence,
        record.lease,
        *[claim.rid for claim in record.presented],
        *[entry.rid for entry in record.escrow],
    ]


def _ranked(one: Replica, v: dict[int, int], f: dict[int, int]) -> Replica:
    return one._replace(
        doc=(v[one.doc[0]], one.doc[1]) if one.doc else (),
        current=(v[one.current[0]], one.current[1]) if one.current else (),
        fence=f[one.fence],
        rid=f[one.rid],
        seen=_ranked_record(one.seen, f) if one.seen else (),
    )


def _ranked_record(record: Record, f: dict[int, int]) -> Record:
    return Record(
        f[record.fence],
        f[record.lease],
        tuple([claim if not claim.rid else claim._replace(rid=f[claim.rid]) for claim in record.presented]),
        tuple([entry._replace(rid=f[entry.rid]) for entry in record.escrow]),
    )
