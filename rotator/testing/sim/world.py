"""One world: the processes of a scenario, and what they share."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, assert_never

from rotator import outcomes
from rotator.attempt import Teller
from rotator.audit.trail import AuditTrail
from rotator.cooldowns import Cooldowns
from rotator.documents import stored_digest
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
from rotator.testing.sim.invariants import Watch
from rotator.testing.sim.people import People
from rotator.testing.sim.ports import SimAudit, SimEndpoint, SimEscrow, SimState, SimStore, late
from rotator.testing.sim.presented import TIMEOUT_S, Violation, claims_in
from rotator.testing.sim.scenario import LIFETIME_S, Case, Scenario
from rotator.testing.sim.schedule import START, Process, Scheduler, SimClock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rotator.model import RefreshRequest, Versioned
    from rotator.outcomes import Outcome
    from rotator.ports import SecretStore

SECRET = "payroll"
STALE_S = 60.0
LOOK_S = 1200.0
"""How long a simulated daemon sleeps at most before it asks whether the document has another version."""

HEALED_FOR_S = 1.3 * LIFETIME_S
"""So much longer a world goes on without faults: every doubt and every pause has come to its end by then."""

RECOVERED_S = 1000.0
"""So long after the last fault the longest pause after a failure is over, and every process runs again."""

PERSON_S = 300.0
"""How long a daemon leaves alone what waits for a person."""

_A_PASS_LATE_S = 60.0

CLOCKS_OFF_S = 60.0
"""A clock that was set by more than this is beyond what the timing of replays allows for."""

SEAL = AesSeal(lambda: bytes(32))


@dataclass(slots=True)
class World:
    """Runs one case."""

    case: Case
    traced: bool = False
    trace: list[str] = field(default_factory=list)
    scenario: Scenario = field(init=False)
    chance: random.Random = field(init=False)
    faults: FaultPlan = field(init=False)
    scheduler: Scheduler = field(init=False)
    watch: Watch = field(init=False)
    people: People = field(init=False)
    store: MemorySecretStore = field(init=False)
    state: MemoryStateStore = field(init=False)
    provider: MemoryProvider = field(init=False)
    credential: Credential = field(init=False)
    slowness_s: float = 2.0
    revoked: bool = False
    clocks_off: bool = False
    quiet: bool = False
    instances: int = 0
    replicas: int = 0
    start_s: float = START.timestamp()
    expires_at_s: float = 0.0
    stored: str = ""
    well_from_s: float = float("inf")
    _skews_s: dict[str, float] = field(default_factory=dict)
    _escrows: dict[str, MemoryEscrow] = field(default_factory=dict)
    _at_work: set[str] = field(default_factory=set)
    _previous: tuple[Versioned, float] | None = None

    def __post_init__(self) -> None:
        self.scenario = scenario = self.case.scenario
        self.chance = random.Random(f"{scenario.seed} {scenario.luck}")
        own = random.Random(f"{scenario.seed} faults")
        self.faults = FaultPlan(own, scenario.rate, scenario.faults, self.case.faults)
        self.scheduler = Scheduler(self.chance)
        world_clock = SimClock(self.scheduler, Process("world", lambda: None))
        self.watch = Watch(self)
        self.people = People(self)
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
            timeout_s=TIMEOUT_S,
        )
        if scenario.stands:
            provider = replace(provider, grant="client_credentials")
        self.credential = Credential(SECRET, provider, "main", SECRET, client_id="client")
        disturbing = ("outages", "reseeds", "jumps", "disks", "losses", "backups")
        self.quiet = not any(getattr(scenario, name) for name in disturbing)
        self.put({**self.provider.login(), "note": 0})

    # ------------------------------------------------------------------------------------------- running

    def run(self) -> None:
        """Run the scenario with its faults, then let all heal, then check what must hold at the end.

        Raises:
            Violation: A promise is broken.
        """
        try:
            self._run()
        finally:
            self.scheduler.end()

    def _run(self) -> None:
        for number, mode in self.scenario.hosts:
            host = f"host{number}"
            own = random.Random(f"{self.scenario.seed} {host}")
            self._skews_s[host] = own.uniform(-self.scenario.skew_s, self.scenario.skew_s)
            self._start(host, mode, own.uniform(0, 600))
        self.people.start()
        faulty_s = self.scenario.generations * LIFETIME_S
        self.scheduler.run(faulty_s, self._after_step)
        self.faults.stop()
        self.well_from_s = faulty_s + RECOVERED_S + self.scenario.period_s
        self.scheduler.run(faulty_s + HEALED_FOR_S, self._after_step)
        while self._at_work:  # what is judged is a world at rest
            self.scheduler.run(self.scheduler.now_s + 1.0, self._after_step)
        self.watch.settled()

    def _after_step(self, process: Process) -> None:
        """Start a dead process again; a token must not expire in a world where nothing went wrong."""
        if process.over:
            self.scheduler.processes.remove(process)
            if process.mode:
                after_s = self.chance.choice((1.0, 60.0, 900.0)) if process.crashed else 0.0
                self._start(process.host, process.mode, after_s)
        late_s = self.scheduler.now_s + self.start_s - self.expires_at_s
        if late_s < 0:
            return
        if self.quiet and not (self.faults.injected or self.revoked):
            raise Violation(9, "a token expired although nothing went wrong")
        if self.scheduler.now_s > self.well_from_s and late_s > _A_PASS_LATE_S + self.scenario.period_s:
            self.watch.still_fresh()

    def _start(self, host: str, mode: str, delay_s: float) -> None:
        self.instances += 1
        process = Process(f"{host} {mode}#{self.instances}", lambda: None, host, mode)
        process.skew_s = self._skews_s[host]
        process.body = self._daemon(process) if mode == "daemon" else self._once(process)
        process.wakes_at_s = self.scheduler.now_s + delay_s
        self.scheduler.start(process)

    def _daemon(self, process: Process) -> Callable[[], None]:
        def body() -> None:
            observer, rotation = self.parts(process)
            while True:
                wait_s = self._wait_s(self._turn(process, observer, rotation, 0.0), process)
                until_s = self.scheduler.now_s + wait_s
                seen = self.store.versions([SECRET])
                while self.scheduler.now_s < until_s and self.store.versions([SECRET]) == seen:
                    self.scheduler.pause(min(until_s - self.scheduler.now_s, LOOK_S))

        return body

    def _once(self, process: Process) -> Callable[[], None]:
        period_s = self.scenario.period_s

        def body() -> None:
            observer, rotation = self.parts(process)
            began_s = self.scheduler.now_s
            for _ in range(3):
                outcome = self._turn(process, observer, rotation, period_s, force=self.people.forced())
                if self._wait_s(outcome, process) > 0:
                    break
            self.scheduler.pause(began_s + period_s - self.scheduler.now_s)

        return body

    def _turn(
        self, process: Process, observer: Observer, rotation: Rotation, horizon_s: float, *, force: bool = False
    ) -> Outcome:
        self._at_work.add(process.name)
        try:
            outcome = rotation.run(observer.observe(self.credential, horizon_s=horizon_s, force=force))
        except RotatorError as error:
            outcome = outcomes.of_error(SECRET, error)
        except Exception as error:
            raise Violation(0, f"a defect: {error!r}") from error
        finally:
            self._at_work.discard(process.name)
        self.watch.turn_over(process)
        if self.traced:
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
            return PERSON_S
        return max(0.0, (until - START).total_seconds() - self.scheduler.now_s - process.skew_s)

    def parts(self, process: Process) -> tuple[Observer, Rotation]:
        """Return the real procedure over this process's simulated ports."""
        host = process.host
        self.replicas += 1
        own = self.replicas  # not the number of starts: two that began together would share their ids
        clock = SimClock(self.scheduler, process)
        randomness = SeededRandomness(own)
        retrier = Retrier(clock, randomness)
        actor = Actor(host, own, "daemon", process.name)
        stores: dict[str, SecretStore] = {"main": SimStore(self, process)}
        state = SimState(self, process)
        escrow: Any = RecordEscrow(state) if self.scenario.escrow == "state" else SimEscrow(self, process, host)
        trail = AuditTrail([SimAudit(self, process)], clock, SequentialIds(1_000_000 + own), actor)
        teller = Teller(trail, clock)
        cooldowns = Cooldowns(state, retrier)
        observer = Observer(stores, state, escrow, SEAL, cooldowns, clock, retrier, actor)
        write_back = WriteBack(clock, randomness, retrier)
        settling = Settling(stores, escrow, SEAL, trail, teller, write_back, cooldowns, retrier, clock)
        setbacks = Setbacks(stores, escrow, SEAL, teller, cooldowns, retrier, clock)
        ids = SequentialIds(own)
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

    def waits(self, digest: str) -> bool:
        """Return whether the successor of a token waits in any escrow."""
        return digest in self.watch.waiting or any(escrow.holds(digest) for escrow in self._escrows.values())

    def left_to_a_person(self) -> bool:
        """Return whether a doubt about the stored token waits for an operator's word."""
        claim = self._open_claim()
        return bool(claim) and (self.scenario.on_doubt == "operator" or claim.get("tries", 1) > 1)

    def digest_in_doubt(self) -> str:
        """Return the digest of the stored token if a doubt about it is open and nobody is at work; else nothing."""
        body, _ = self.state.read(self._key)
        return "" if (body or {}).get("lease") else str(self._open_claim().get("digest", ""))

    def _open_claim(self) -> Mapping[str, Any]:
        body, _ = self.state.read(self._key)
        stored = digest_of(Secret(self.stored))
        claim = claims_in(body or {}).get(stored, {"outcome": "none"})
        return claim if claim.get("outcome", "open") == "open" else {}

    @property
    def _key(self) -> str:
        return secret_key(self.store.read(SECRET).identity)

    def stale_read(self, secret: str) -> Versioned:
        """Return the version before the current one, if it was replaced a short while ago."""
        if self._previous and self.scheduler.now_s - self._previous[1] < STALE_S:
            return self._previous[0]
        return self.store.read(secret)

    def replaced(self, secret: str, before: Versioned) -> None:  # noqa: ARG002 - one secret in a world
        """Note what a stale read may still show."""
        self._previous = (before, self.scheduler.now_s)
        document = self.document()
        self.expires_at_s = float(document["expires_at"])
        self.stored = str(document["refresh_token"])

    def presented(self, request: RefreshRequest) -> tuple[str, str]:
        """Return what a request presents, and its digest; a standing grant presents what the provider knows of it."""
        if request.refresh_token:
            return request.refresh_token.reveal(), digest_of(request.refresh_token)
        return self.provider.families[-1].live, stored_digest(self.store.read(SECRET), request.provider)

    def down(self, call: str) -> bool:
        """Return whether the store or the state is down."""
        now_s = self.scheduler.now_s
        return any(call.startswith(name) and begin <= now_s < end for name, begin, end in self.scenario.outages)

    def later(self, write: Callable[[], Any]) -> None:
        """Apply a write after a while, if it still can be."""
        self.people.at(self.scheduler.now_s + self.chance.choice((0.5, 10.0, 120.0)), lambda: late(write))

    def note(self, process: Process, call: str, kind: str | None) -> None:
        """Write a line of the trace."""
        fault = f"  !! {kind}" if kind else ""
        self.tell(f"{process.name:16} {call}{fault}")

    def tell(self, what: str) -> None:
        """Write a line of the trace."""
        self.trace.append(f"{self.scheduler.now_s:10.2f}  {what}")

    # ------------------------------------------------------------------------------------------ from outside

    def put(self, document: Mapping[str, Any]) -> None:
        """Write a document as another program does."""
        before = self.store.read(SECRET) if self.expires_at_s else None
        self.store.raw_put(SECRET, json.dumps(document))
        self.replaced(SECRET, before or self.store.read(SECRET))

    def set_clock(self, host: str, by_s: float) -> None:
        """Set the clock of a host."""
        if host not in self._skews_s:
            return  # left out of a case that is made smaller
        self._skews_s[host] += by_s
        self.clocks_off = self.clocks_off or abs(by_s) > CLOCKS_OFF_S
        for process in self.scheduler.processes:
            if process.host == host:
                process.skew_s += by_s
        if self.traced:
            self.tell(f"the clock of {host} is set by {by_s} s")

    def empty_disk(self, host: str) -> None:
        """Lose what a host's private escrow holds."""
        escrow = self._escrows.pop(f"file:{host}", None)
        if escrow:
            self.watch.dropped({entry.parent for entry in escrow.all_waiting()})

    def replace_state(self, records: Mapping[str, tuple[str, int]]) -> None:
        """Put other records in the place of all that the state holds."""
        self.state.raw_restore(records)
        body, _ = self.state.read(self._key)
        self.watch.state_lost(body or {})


def world(seed: int, *, traced: bool = False, **changes: Any) -> World:
    """Return the world of a seed."""
    return World(Case(Scenario.drawn(seed)).replace(**changes), traced=traced)
