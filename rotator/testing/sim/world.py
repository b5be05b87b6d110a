"""One world: a scenario drawn from a seed, the processes in it, and what they share."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, assert_never

from rotator import outcomes
from rotator.attempt import Teller
from rotator.audit.trail import AuditTrail
from rotator.cooldowns import Cooldowns
from rotator.errors import RotatorError
from rotator.escrow.record import RecordEscrow
from rotator.ledger import secret_key
from rotator.model import Actor, Credential, Document, Provider, Replay
from rotator.observe import Observer
from rotator.received import WriteBack
from rotator.records import digest_of
from rotator.redact import Secret
from rotator.retrying import Retrier
from rotator.rotation import Rotation
from rotator.seal import AesSeal
from rotator.setbacks import Setbacks
from rotator.settling import Settling
from rotator.testing.memory import MemoryEscrow, MemorySecretStore, MemoryStateStore, SeededRandomness, SequentialIds
from rotator.testing.provider import MemoryProvider
from rotator.testing.sim.faults import FaultPlan
from rotator.testing.sim.invariants import Violation, Watch
from rotator.testing.sim.ports import SimAudit, SimEndpoint, SimEscrow, SimState, SimStore, late
from rotator.testing.sim.schedule import START, Process, Scheduler, SimClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.model import OnDoubt, ReplayKind, Versioned
    from rotator.outcomes import Outcome
    from rotator.ports import SecretStore
    from rotator.records import SealedEntry

SECRET = "payroll"
LIFETIME_S = 3600.0
STALE_S = 60.0
AMID = 0.3
"""The chance that a person who is going to log in does so while a request is out: the moment that hurts most."""

LOOK_S = 1200.0
"""How long a simulated daemon sleeps at most: a change is noticed by then."""
SEAL = AesSeal(lambda: bytes(32))


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a world is like.

    Args:
        safe: Replaying does no harm: the provider keeps old refresh tokens.
        escrow: In the state record, in one shared place, or in a private place per host.
        reseeds: How often a person logs in again, at any time or in the middle of an exchange.
        revocations: How often the provider's operator ends the grant.
        hosts: One process each; `once` processes are one-shot runs every quarter of an hour.
        skew_s: How far the clocks may be off, either way.
    """

    seed: int
    replay: ReplayKind = "never"
    on_doubt: OnDoubt = "wait_then_replay"
    rotates: bool = True
    grace_s: float = 0.0
    escrow: Literal["state", "shared", "private"] = "state"
    hosts: tuple[Literal["daemon", "once"], ...] = ("daemon", "once")
    skew_s: float = 0.0
    rate: float = 0.0
    faults: int = 0
    edits: int = 0
    reseeds: int = 0
    revocations: int = 0
    outages: tuple[tuple[str, float, float], ...] = ()
    generations: float = 3.0

    @property
    def safe(self) -> bool:
        """Whether a refresh token may be presented any number of times."""
        return self.replay == "safe"

    @classmethod
    def drawn(cls, seed: int) -> Scenario:
        """Draw a scenario from a seed."""
        chance = random.Random(seed)
        replay: ReplayKind = chance.choice(("never", "never", "never", "window", "until_successor_used", "safe"))
        grace_s = {"never": 0.0, "window": 600.0, "until_successor_used": 1e9, "safe": 1e9}[replay]
        outages = tuple(
            (chance.choice(("store", "state")), at_s, at_s + chance.choice((20.0, 300.0)))
            for at_s in (chance.uniform(0, 3 * LIFETIME_S) for _ in range(chance.choice((0, 0, 1, 2))))
        )
        return cls(
            seed,
            replay=replay,
            on_doubt=chance.choice(("wait_then_replay", "wait_then_replay", "operator")),
            rotates=chance.random() < (0.5 if replay == "safe" else 0.9),
            grace_s=grace_s,
            escrow=chance.choice(("state", "state", "shared", "private")),
            hosts=tuple(chance.choice(("daemon", "once")) for _ in range(chance.choice((1, 2, 2, 3)))),
            skew_s=chance.choice((0.0, 0.0, 2.0)),
            rate=chance.choice((0.0, 0.02, 0.05, 0.15)),
            faults=chance.choice((0, 1, 2, 4, 8)),
            edits=chance.choice((0, 0, 1, 3)),
            reseeds=chance.choice((0, 0, 0, 1)),
            revocations=chance.choice((0, 0, 0, 0, 0, 1)),
            outages=outages,
        )


@dataclass(slots=True)
class World:
    """Runs one scenario."""

    scenario: Scenario
    plan: FaultPlan | None = None
    traced: bool = False
    trace: list[str] = field(default_factory=list)
    chance: random.Random = field(init=False)
    faults: FaultPlan = field(init=False)
    scheduler: Scheduler = field(init=False)
    watch: Watch = field(init=False)
    store: MemorySecretStore = field(init=False)
    state: MemoryStateStore = field(init=False)
    provider: MemoryProvider = field(init=False)
    credential: Credential = field(init=False)
    slowness_s: float = 2.0
    reseeded: int = 0
    revoked: bool = False
    _logins_left: int = 0
    instances: int = 0
    healing: bool = False
    start_s: float = START.timestamp()
    _escrows: dict[str, MemoryEscrow] = field(default_factory=dict)
    _previous: tuple[Versioned, float] | None = None
    _notes: int = 0

    def __post_init__(self) -> None:
        scenario = self.scenario
        self.chance = random.Random(scenario.seed * 2 + 1)
        self.faults = self.plan or FaultPlan(self.chance, scenario.rate, scenario.faults)
        self.scheduler = Scheduler(self.chance)
        world_clock = SimClock(self.scheduler, Process("world", lambda: None))
        self.watch = Watch(self)
        self.store = MemorySecretStore("main", world_clock)
        self.state = MemoryStateStore()
        self.provider = MemoryProvider(
            world_clock, lifetime_s=LIFETIME_S, rotates=scenario.rotates, grace_s=scenario.grace_s
        )
        self.provider.forgiving = scenario.safe
        provider = Provider(
            "acme",
            "generic",
            "https://id.example/token",
            replay=Replay(scenario.replay, scenario.grace_s if scenario.replay == "window" else 0.0),
            on_doubt=scenario.on_doubt,
        )
        self.credential = Credential(SECRET, provider, "main", SECRET, client_id="client")
        self.store.raw_put(SECRET, json.dumps({**self.provider.login(), "note": 0}))

    # ------------------------------------------------------------------------------------------- running

    def run(self) -> None:
        """Run the scenario with its faults, then let all heal, then check what must hold at the end.

        Raises:
            Violation: A promise is broken.
        """
        scenario = self.scenario
        for number, mode in enumerate(scenario.hosts):
            self._start(f"host{number}", mode, self.chance.uniform(0, 600))
        for _ in range(scenario.edits):
            self._at(self.chance.uniform(0, 3 * LIFETIME_S), self._edit)
        self._logins_left = scenario.reseeds
        for _ in range(scenario.reseeds):
            self._at(self.chance.uniform(0, 3 * LIFETIME_S), self._reseed)
        for _ in range(scenario.revocations):
            self._at(self.chance.uniform(0, 3 * LIFETIME_S), self._revoke)
        self.scheduler.run(scenario.generations * LIFETIME_S, self._after_step)
        self.healing = True
        self.faults.left = 0
        self.faults.at = None
        self.scheduler.run((scenario.generations + 2.5) * LIFETIME_S, self._after_step)
        self.watch.settled()

    def _after_step(self) -> None:
        """Start dead processes again; a token must not expire in a world where nothing went wrong."""
        for process in list(self.scheduler.processes):
            if process.over:
                self.scheduler.processes.remove(process)
                host, _, mode = process.name.partition(" ")
                if mode:
                    after_s = self.chance.choice((1.0, 60.0, 900.0)) if process.crashed else 0.0
                    self._start(host, mode.split("#")[0], after_s)
        untouched = not (self.faults.injected or self.scenario.outages or self.scenario.reseeds or self.revoked)
        if untouched and float(self.document()["expires_at"]) <= self.scheduler.now_s + self.start_s:
            raise Violation("promise 9: a token expired although nothing went wrong")

    def _start(self, host: str, mode: str, delay_s: float) -> None:
        self.instances += 1
        process = Process(f"{host} {mode}#{self.instances}", lambda: None)
        process.skew_s = self.chance.uniform(-self.scenario.skew_s, self.scenario.skew_s)
        process.body = self._daemon(host, process) if mode == "daemon" else self._once(host, process)
        process.wakes_at_s = self.scheduler.now_s + delay_s
        self.scheduler.start(process)

    def _daemon(self, host: str, process: Process) -> Callable[[], None]:
        def body() -> None:
            observer, rotation = self.parts(host, process)
            while True:
                wait_s = self._wait_s(self._turn(process, observer, rotation, 0.0), process)
                self.scheduler.pause(min(wait_s, LOOK_S))

        return body

    def _once(self, host: str, process: Process) -> Callable[[], None]:
        def body() -> None:
            observer, rotation = self.parts(host, process)
            for _ in range(3):
                outcome = self._turn(process, observer, rotation, 900.0)
                if self._wait_s(outcome, process) > 0:
                    break
            self.scheduler.pause(900.0)

        return body

    def _turn(self, process: Process, observer: Observer, rotation: Rotation, horizon_s: float) -> Outcome:
        try:
            outcome = rotation.run(observer.observe(self.credential, horizon_s=horizon_s))
        except RotatorError as error:
            outcome = outcomes.of_error(SECRET, error)
        self.note(process, f"→ {type(outcome).__name__} {getattr(outcome, 'reason', '')}", None)
        return outcome

    def _wait_s(self, outcome: Outcome, process: Process) -> float:
        """Return how long a daemon waits after an outcome, as `rotator.daemon` does."""
        match outcome:
            case outcomes.Rotated(next_at=at):
                until = at
            case outcomes.Fresh(until=at):
                until = at
            case outcomes.Deferred(retry_at=at) | outcomes.Failed(retry_at=at):
                until = at
            case _:
                assert_never(outcome)
        if until is None:
            return 60.0
        return max(0.0, (until - START).total_seconds() - self.scheduler.now_s - process.skew_s)

    def parts(self, host: str, process: Process) -> tuple[Observer, Rotation]:
        """Return the real procedure over this process's simulated ports."""
        clock = SimClock(self.scheduler, process)
        randomness = SeededRandomness(self.instances)
        retrier = Retrier(clock, randomness)
        actor = Actor(host, self.instances, "daemon", process.name)
        stores: dict[str, SecretStore] = {"main": SimStore(self, process)}
        state = SimState(self, process)
        escrow: Any = RecordEscrow(state) if self.scenario.escrow == "state" else SimEscrow(self, process, host)
        trail = AuditTrail([SimAudit(self, process)], clock, SequentialIds(1000 + self.instances), actor)
        teller = Teller(trail, clock)
        cooldowns = Cooldowns(state, retrier)
        observer = Observer(stores, state, escrow, SEAL, cooldowns, clock, retrier, actor)
        write_back = WriteBack(clock, randomness, retrier)
        settling = Settling(stores, escrow, SEAL, trail, teller, write_back, retrier, clock)
        setbacks = Setbacks(stores, escrow, SEAL, teller, cooldowns, retrier, clock)
        ids = SequentialIds(self.instances)
        endpoint = SimEndpoint(self, process)
        return observer, Rotation(observer, settling, setbacks, cooldowns, escrow, SEAL, trail, endpoint, clock, ids)

    # -------------------------------------------------------------------------------------- what is there

    def document(self) -> dict[str, Any]:
        """Return the newest document."""
        content = self.store.read(SECRET).content
        return dict(content.fields) if isinstance(content, Document) else {}

    def escrow_of(self, host: str) -> MemoryEscrow:
        """Return the escrow that a host sees."""
        shared = self.scenario.escrow == "shared"
        place = "shared" if shared else f"file:{host}"
        if place not in self._escrows:
            self._escrows[place] = MemoryEscrow(place, shared=shared)
        return self._escrows[place]

    def all_waiting(self) -> list[SealedEntry]:
        """Return what waits in any escrow."""
        waiting = [entry for escrow in self._escrows.values() for entry in escrow.all_waiting()]
        return waiting + list(RecordEscrow(self.state).all_waiting())

    def expired(self) -> bool:
        """Return whether the stored access token has ended, clock skew allowed for."""
        return float(self.document()["expires_at"]) <= self.scheduler.now_s + self.start_s + self.scenario.skew_s

    def left_to_a_person(self) -> bool:
        """Return whether a doubt about the stored token waits for an operator's word."""
        body, _ = self.state.read(secret_key(self.store.read(SECRET).identity))
        stored = digest_of(Secret(self.document()["refresh_token"]))
        claims = (body or {}).get("presented", ())
        open_ = [claim for claim in claims if claim["digest"] == stored and claim.get("outcome", "open") == "open"]
        return any(self.scenario.on_doubt == "operator" or claim.get("tries", 1) > 1 for claim in open_)

    def stale_read(self, secret: str) -> Versioned:
        """Return the version before the current one, if it was replaced a short while ago."""
        if self._previous and self.scheduler.now_s - self._previous[1] < STALE_S:
            return self._previous[0]
        return self.store.read(secret)

    def replaced(self, secret: str, before: Versioned) -> None:  # noqa: ARG002 - one secret in a world
        """Note what a stale read may still show."""
        self._previous = (before, self.scheduler.now_s)

    def down(self, call: str) -> bool:
        """Return whether the store or the state is down."""
        now_s = self.scheduler.now_s
        return any(call.startswith(name) and begin <= now_s < end for name, begin, end in self.scenario.outages)

    def explained_rejection(self, token: str) -> bool:
        """Return whether a rejection of this token follows from a lost reply."""
        return self.watch.explained > 0 or any(family.revoked for family in self.provider.families) or not token

    def later(self, write: Callable[[], Any]) -> None:
        """Apply a write after a while, if it still can be."""
        self._at(self.scheduler.now_s + self.chance.choice((0.5, 10.0, 120.0)), lambda: late(write))

    def note(self, process: Process, call: str, kind: str | None) -> None:
        """Write a line of the trace."""
        if self.traced:
            fault = f"  !! {kind}" if kind else ""
            self.trace.append(f"{self.scheduler.now_s:10.2f}  {process.name:16} {call}{fault}")

    # ------------------------------------------------------------------------------------------ people

    def _at(self, at_s: float, act: Callable[[], None]) -> None:
        process = Process("person", act)
        process.wakes_at_s = at_s
        self.scheduler.start(process)

    def _edit(self) -> None:
        """A person, or a reader, changes a field that is not ours."""
        before = self.store.read(SECRET)
        self._notes += 1
        self.store.raw_put(SECRET, json.dumps({**self.document(), "note": self._notes}))
        self.replaced(SECRET, before)
        if self.traced:
            self.trace.append(f"{self.scheduler.now_s:10.2f}  a person edits")

    def amid_the_exchange(self) -> None:
        """A person who was going to log in may do so just now, while a request is out."""
        if self._logins_left and self.chance.random() < AMID:
            self._reseed()

    def _revoke(self) -> None:
        """The provider's operator ends the newest grant."""
        self.provider.families[-1].revoked = True
        self.revoked = True
        if self.traced:
            self.trace.append(f"{self.scheduler.now_s:10.2f}  the grant is revoked")

    def _reseed(self) -> None:
        """A person logs in again and puts the answer."""
        if not self._logins_left:
            return
        self._logins_left -= 1
        before = self.store.read(SECRET)
        self.reseeded += 1
        self.store.raw_put(SECRET, json.dumps({**self.document(), **self.provider.login()}))
        self.replaced(SECRET, before)
        if self.traced:
            self.trace.append(f"{self.scheduler.now_s:10.2f}  a person logs in again")


def world(seed: int, *, traced: bool = False, **changes: Any) -> World:
    """Return the world of a seed."""
    return World(replace(Scenario.drawn(seed), **changes), traced=traced)
