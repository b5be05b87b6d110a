"""What a world is like: drawn from a seed, or written down as a case that can be made smaller and run again."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rotator.model import OnDoubt, ReplayKind
    from rotator.testing.sim.faults import Kind

Mode = Literal["daemon", "once"]
Place = Literal["state", "shared", "private"]

LIFETIME_S = 3600.0
"""Of the access tokens in every world."""

_FOREVER_S = 1e9


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a world is like. Counts say how often something happens, at moments that follow from the seed.

    Args:
        luck: Another order of the same events; tried when a failing case is made smaller.
        grace_s: How long the provider answers the token that was presented last once more.
        escrow: In the state record, in one shared place, or in a private place per host.
        hosts: One process each: its number and its mode. `once` processes are one-shot runs.
        period_s: The time between two one-shot runs, which is their horizon.
        skew_s: How far the clocks may be off, either way.
        rate: The chance of a fault at a call; `faults`: how many there are at most.
        edits: How often a person changes another field.
        reseeds: How often a person logs in again, at any time or in the middle of an exchange.
        words: How often an operator allows one more try of a token in doubt.
        forces: How often a one-shot run is forced.
        revocations: How often the provider's operator ends the grant.
        disks: How often a host loses its disk, and with it its process and a private escrow.
        losses: How often the state loses all its records; `backups`: how often an old backup of it is put back.
        jumps: By how many seconds which host's clock is set, and when.
        outages: What is down from when to when.
        generations: How many lifetimes the faults last.
        standing: The grant is the client's own; where the refresh token stays and replay is safe.
    """

    seed: int
    luck: int = 0
    replay: ReplayKind = "never"
    on_doubt: OnDoubt = "wait_then_replay"
    rotates: bool = True
    grace_s: float = 0.0
    escrow: Place = "state"
    hosts: tuple[tuple[int, Mode], ...] = ((0, "daemon"), (1, "once"))
    period_s: float = 900.0
    skew_s: float = 0.0
    rate: float = 0.0
    faults: int = 0
    edits: int = 0
    reseeds: int = 0
    words: int = 0
    forces: int = 0
    revocations: int = 0
    disks: int = 0
    losses: int = 0
    backups: int = 0
    jumps: tuple[tuple[int, float, float], ...] = ()
    outages: tuple[tuple[str, float, float], ...] = ()
    generations: float = 2.0
    standing: bool = False

    @property
    def safe(self) -> bool:
        """Whether a refresh token may be presented any number of times."""
        return self.replay == "safe"

    @property
    def stands(self) -> bool:
        """Whether the grant is the client's own: also of a case that somebody has changed."""
        return self.standing and self.safe and not (self.rotates or self.revocations)

    @classmethod
    def drawn(cls, seed: int) -> Scenario:
        """Draw a scenario from a seed."""
        chance = random.Random(seed)
        generations = chance.choice((1.0, 1.0, 2.0))
        span_s = generations * LIFETIME_S
        replay: ReplayKind = chance.choice(("never", "never", "never", "window", "until_successor_used", "safe"))
        graces = {"never": (0.0, 0.0, 30.0, 600.0), "window": (60.0, 600.0)}.get(replay, (_FOREVER_S,))
        hosts = tuple((number, chance.choice(_MODES)) for number in range(chance.choice((1, 2, 2, 3))))
        drawn = cls(
            seed,
            replay=replay,
            on_doubt=chance.choice(("wait_then_replay", "wait_then_replay", "operator")),
            rotates=chance.random() < (0.5 if replay == "safe" else 0.9),
            grace_s=chance.choice(graces),
            escrow=chance.choice(("state", "state", "shared", "private")),
            hosts=hosts,
            period_s=chance.choice((900.0, 1800.0)),
            skew_s=chance.choice((0.0, 0.0, 2.0)),
            rate=chance.choice((0.02, 0.05, 0.15)),
            faults=chance.choice((0, 1, 2, 3, 4, 8)),
            edits=chance.choice((0, 0, 1, 3)),
            reseeds=chance.choice((0, 0, 0, 1)),
            words=chance.choice((0, 0, 1)),
            forces=chance.choice((0, 0, 0, 2)),
            revocations=chance.choice((0, 0, 0, 0, 0, 1)),
            disks=_seldom(chance, 0.06),
            losses=_seldom(chance, 0.04),
            backups=_seldom(chance, 0.04),
            jumps=_jumps(chance, len(hosts), span_s),
            outages=tuple(
                (chance.choice(_PARTS), at_s, at_s + chance.choice((20.0, 300.0)))
                for at_s in (chance.uniform(0, span_s) for _ in range(chance.choice((0, 0, 1, 2))))
            ),
            generations=generations,
        )
        if drawn.safe and not drawn.rotates and chance.random() < 0.5:
            return replace(drawn, standing=True, revocations=0)  # nobody ends a client's own grant
        return drawn


_MODES: tuple[Mode, ...] = ("daemon", "once")
_PARTS = ("store", "store", "state", "state", "escrow", "audit", "provider")


def _seldom(chance: random.Random, share: float) -> int:
    return int(chance.random() < share)


def _jumps(chance: random.Random, hosts: int, span_s: float) -> tuple[tuple[int, float, float], ...]:
    """Draw whose clock is set, by how much and when: mostly by less than replay windows allow for."""
    if chance.random() >= 0.12:
        return ()
    by_s = chance.choice((-2.0, 2.0, -120.0, 120.0, -3600.0, 3600.0))
    return ((chance.randrange(hosts), by_s, chance.uniform(0, span_s)),)


@dataclass(frozen=True, slots=True)
class Case:
    """A scenario with its faults, each bound to one call.

    Args:
        faults: What goes wrong at which call: the third write of the state by host 0 is `0 state.write 3`. None draws
            them by chance.
    """

    scenario: Scenario
    faults: dict[str, Kind] | None = field(default=None)

    def text(self) -> str:
        """Return the case as JSON on one line: what differs from the defaults, and the faults."""
        usual = Scenario(self.scenario.seed)
        given: dict[str, Any] = {
            name: value
            for name, value in asdict(self.scenario).items()
            if name == "seed" or value != getattr(usual, name)
        }
        return json.dumps(given if self.faults is None else {**given, "at": self.faults})

    @classmethod
    def read(cls, text: str) -> Case:
        """Read what `text` wrote.

        Raises:
            ValueError: It is no case; the message says why.
        """
        given = json.loads(text)
        if not isinstance(given, dict) or "seed" not in given:
            raise ValueError("a case is a JSON object with a seed")
        faults = given.pop("at", None)
        unknown = set(given) - {one.name for one in fields(Scenario)}
        if unknown:
            raise ValueError(f"a case knows nothing of {', '.join(sorted(unknown))}")
        for name in ("hosts", "jumps", "outages"):
            if name in given:
                given[name] = tuple(tuple(one) for one in given[name])
        return cls(Scenario(**given), faults)

    def replace(self, **changes: Any) -> Case:
        """Return the case with another scenario."""
        return replace(self, scenario=replace(self.scenario, **changes))
