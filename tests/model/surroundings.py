"""All that is not rotator: the provider, time, the person who edits the document, the operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model.worlds import (
    ANSWERED,
    DEAD,
    IDLE,
    INSIDE,
    KEEP,
    LIVE,
    NAMES,
    OPEN,
    REJECT,
    REST,
    STEPS,
    USED,
    Budget,
    Record,
    Token,
    World,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.model.setups import Setup

UNKEPT = (ANSWERED, KEEP, REJECT)
"""Steps of a holder that knows an answer of which nobody else can know."""

Step = tuple[str, World, str]
"""What happens, what is then, and the property that it breaks, if any."""


def start(setup: Setup) -> World:
    """Return the world after a login: a document, and a record in which nothing was claimed."""
    budget = Budget(setup.crashes, setup.losses, setup.people, setup.words, setup.expiry, setup.restore)
    files = () if setup.shared else ((),) * setup.replicas
    return World((Token(-1, 0),), ((1, 0),), Record(), False, files, (REST,) * setup.replicas, budget)


def presented(world: World, number: int, setup: Setup) -> tuple[World, int | None]:
    """Let the provider process a request; return the token set that it issues, if any.

    As `rotator.testing.provider.MemoryProvider`: a token that was used before revokes its family, unless the replay
    rule of the setup allows it; each allowed time brings another successor, and the one before is good no more.
    """
    tokens = list(world.tokens)
    token = tokens[number]
    children = [child for child, one in enumerate(tokens) if one.parent == number]
    if setup.rotates:
        unused = all(tokens[child].status != USED for child in children)
        forgiven = setup.replay == "safe" or (
            unused and (setup.replay == "until_successor_used" or (setup.replay == "window" and not token.closed))
        )
        if token.status == DEAD or (token.status == USED and not forgiven):
            if token.status == USED:
                tokens = [one._replace(status=DEAD) if one.family == token.family else one for one in tokens]
            return world._replace(tokens=tuple(tokens)), None
        tokens[number] = token._replace(status=USED)
        if setup.replay != "safe":
            for child in children:
                tokens[child] = tokens[child]._replace(status=DEAD)
    tokens.append(Token(number, token.family))
    return world._replace(tokens=tuple(tokens)), len(tokens) - 1


def surroundings(world: World, setup: Setup) -> Iterator[Step]:
    """Yield what may happen without any replica's doing."""
    budget, record = world.budget, world.record
    if world.alive:
        ended = world._replace(alive=False)
        for one in world.replicas:
            if one.fence == record.lease and one.step in UNKEPT:
                ended = ended.with_token(one.parent, excused=True)
        yield "the lease ends", ended, ""
    if setup.replay == "window":
        for claim in record.presented:
            if claim.outcome == OPEN and not world.tokens[claim.digest].closed:
                yield f"the window of {claim.digest} closes", world.with_token(claim.digest, closed=True), ""
    yield from _deaths(world)
    if budget.people:
        yield from _person(world._replace(budget=budget._replace(people=budget.people - 1)), setup)
    if budget.words and not world.alive:
        yield from _operator(world._replace(budget=budget._replace(words=budget.words - 1)))
    if budget.expiry:
        yield "the access token expires", world._replace(budget=budget._replace(expiry=False)), ""
    if budget.restore and record.fence:
        restored = world._replace(record=Record(), alive=False, budget=budget._replace(restore=False))
        yield "the state record is replaced by an old backup", restored, ""


def _deaths(world: World) -> Iterator[Step]:
    budget = world.budget
    for index, one in enumerate(world.replicas):
        if one.step != IDLE and budget.crashes:
            gone = world._replace(budget=budget._replace(crashes=budget.crashes - 1)).with_replica(index, REST)
            if one.step in UNKEPT:
                gone = gone.with_token(one.parent, excused=True)
            yield f"{NAMES[index]} dies {STEPS[one.step]}", gone, ""


def _operator(world: World) -> Iterator[Step]:
    for claim in world.record.presented:
        if claim.outcome == OPEN and not claim.permitted and claim.tries == 1:
            allowed = world._replace(record=world.record.with_claim(claim._replace(permitted=True)))
            yield f"an operator allows one more try of {claim.digest}", allowed, ""


def _person(world: World, setup: Setup) -> Iterator[Step]:
    number = world.docs[-1][1]
    if "logs in again" in setup.deeds:
        login = Token(-1, max(token.family for token in world.tokens) + 1)
        fresh = world._replace(tokens=(*world.tokens, login))
        yield "a person logs in again", put(fresh, len(world.tokens)), ""
    if "edits another field" in setup.deeds:
        yield "a person edits another field", put(world, number), ""
    parent = world.tokens[number].parent
    if "puts an old copy back" in setup.deeds and parent >= 0:
        # What only the document showed is lost by that deed.
        waiting = {entry.new for entries in (world.record.escrow, *world.files) for entry in entries}
        shown = [child for child in range(len(world.tokens)) if child == number or child not in waiting]
        lost = [child for child in shown if world.tokens[child].status == LIVE]
        for child in lost:
            world = world.with_token(child, kept=False)
            if world.tokens[child].parent >= 0:
                world = world.with_token(world.tokens[child].parent, excused=True)
        yield f"a person puts the old copy with {parent} back", put(world, parent), ""


def put(world: World, number: int) -> World:
    """Return the world with a new version of the document; a stale read shows the one before."""
    return world._replace(docs=(world.docs[-1], (world.docs[-1][0] + 1, number)))


def unsent_again(world: World, number: int, kind: int, setup: Setup) -> str:
    """Return the property that sending a token now would break, if any."""
    token = world.tokens[number]
    if not setup.rotates or not token.sent:
        return ""
    if token.sent > 1 and setup.replay != "safe":
        return "thrice"
    if not kind or not token.excused:
        return "twice"
    if kind == INSIDE and token.closed:
        return "window"
    kept = any(one.kept and one.parent == number for one in world.tokens)
    return "kept" if kept else ""


def broken(world: World, setup: Setup) -> str:
    """Return the property that does not hold in a state: what was received is lost, or what was kept."""
    if not setup.rotates:
        return ""
    newest = max(token.family for token in world.tokens)
    live = [number for number, one in enumerate(world.tokens) if one.status == LIVE and one.family == newest]
    durable = {world.docs[-1][1]}
    for entries in (world.record.escrow, *world.files):
        durable.update(entry.new for entry in entries)
    if not live or any(number in durable for number in live):
        return ""
    if any(world.tokens[number].kept for number in live):
        return "kept"
    in_memory = {one.new for one in world.replicas}
    lost = [n for n in live if n not in in_memory and not world.tokens[world.tokens[n].parent].excused]
    return "lost" if lost else ""


def descends(tokens: tuple[Token, ...], new: int, old: int, *, rotates: bool) -> bool:
    """Return whether a token set comes after another in one line of refreshes."""
    if not rotates:
        return tokens[new].family == tokens[old].family and new > old
    at = new
    while at > old:
        at = tokens[at].parent
    return at == old and new != old
