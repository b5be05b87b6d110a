"""The promises of the product, written as checks over everything that happens in a world."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rotator.model import Document, Refreshed, Rejected
from rotator.testing.sim.presented import LAST_TRY_S, TIMEOUT_S, Presentation, Violation, claims_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rotator.audit.events import AuditEvent
    from rotator.model import RefreshRequest, TokenAnswer, Versioned
    from rotator.records import SealedEntry
    from rotator.testing.sim.schedule import Process
    from rotator.testing.sim.world import World

OWN_FIELDS = frozenset(
    {"access_token", "refresh_token", "token_type", "scope", "id_token", "expires_in", "issued_at", "expires_at"}
)


@dataclass(slots=True)
class Watch:
    """Sees every effect, and raises Violation when one breaks a promise.

    Args:
        parents: By refresh token, the one that it was received for.
        pending: By refresh token, its newest answer, for as long as the document does not show what followed.
        waiting: The digests of the tokens whose successors wait in the state record.
        permitted: Digests of tokens that an operator allowed one more try.
        forgotten: Digests of tokens whose claims were lost with the state.
        explained: How many second presentations the rules allow for.
        attempts: By promise, how often it could have been broken and was looked at.
    """

    world: World
    presentations: dict[str, list[Presentation]] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    pending: dict[str, Presentation] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    started: dict[str, int] = field(default_factory=dict)
    last_sent: dict[str, str] = field(default_factory=dict)
    looked_at_s: dict[str, float] = field(default_factory=dict)
    leased_s: dict[str, float] = field(default_factory=dict)
    cooldown: tuple[float, float] = (0.0, 0.0)
    wait_until_s: float = 0.0
    told: Process | None = None
    latched: dict[str, float] = field(default_factory=dict)
    rejected: dict[str, Process] = field(default_factory=dict)
    reported: dict[str, Process] = field(default_factory=dict)
    troubled: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    permitted: set[str] = field(default_factory=set)
    claimed: set[str] = field(default_factory=set)
    forgotten: set[str] = field(default_factory=set)
    fence: int = 0
    holder: Process | None = None
    holders: dict[int, Process] = field(default_factory=dict)
    explained: int = 0
    attempts: Counter[int] = field(default_factory=Counter)

    # ------------------------------------------------------------------------------------ at the provider

    def arrives(self, process: Process, request: RefreshRequest) -> None:
        """A request reaches the provider: promises 1, 2, 5, 6 and 8."""
        token, digest = self.world.presented(request)
        self.digests[token] = digest
        self.attempts.update((1, 5, 6, 8))
        if self.started.get(process.name, 0) < 1:
            raise Violation(8, "sent without a durable rotation.started")
        self.started[process.name] -= 1
        self.last_sent[process.name] = digest
        if self._known_dead(process, digest):
            raise Violation(6, f"{token} was latched and is sent again")
        (durable_s, until_s), now_s = self.cooldown, self.world.scheduler.now_s
        if self.looked_at_s.get(process.name, 0.0) > durable_s > 0 and now_s < until_s and not self.world.clocks_off:
            raise Violation(5, f"sent {until_s - now_s:.1f} s before the cooldown ends")
        before = self.presentations.setdefault(token, [])
        if before and self.world.scenario.rotates and not self.world.scenario.safe:
            self._again(process, token, digest, before)
        before.append(Presentation(now_s, self.world.expires_at_s, process))

    def _known_dead(self, process: Process, digest: str) -> bool:
        """Return whether a process may know that the provider rejected a token.

        A clock that is hours ahead ends a living holder's lease: two may have claimed it before either was answered.
        """
        claimed_s = self.leased_s.get(process.name, 0.0)
        on_its_way = self.world.clocks_off and claimed_s < self.latched.get(digest, 0.0)
        return (digest in self.latched and not on_its_way) or self.rejected.get(digest) is process

    def _again(self, process: Process, token: str, digest: str, before: list[Presentation]) -> None:
        """A single-use token comes again: only after a lost reply, once, and only where the rules allow it.

        A successor that is kept in the private escrow of a host that does not come back in time is lost, for others.
        """
        self.explained += 1
        if digest in self.forgotten:
            return  # the claims are gone with the state: nobody can know
        if len(before) > 1:
            raise Violation(1, f"{token} is presented for the third time")
        elsewhere = self.world.scenario.escrow == "private" and before[0].process.host != process.host
        ahead_s = max(self.world.scenario.skew_s, process.skew_s)  # a clock may have been set by seconds, too
        ended = self.world.scheduler.now_s + self.world.start_s + ahead_s >= before[0].ends_s
        away = elsewhere and (ended or digest in self.permitted)
        if before[0].kept and not (away or self.world.clocks_off):
            raise Violation(1, f"{token} is presented again while its successor is kept")
        now_s = self.world.scheduler.now_s
        still_out = before[-1].out and not before[-1].process.over and now_s - before[-1].at_s < TIMEOUT_S
        if self.world.clocks_off:
            return  # the rules below go by the time
        if still_out:
            raise Violation(1, f"{token} is presented again while {before[-1].process.name} waits for the answer")
        if not self._may_again(process, digest, now_s - before[0].at_s):
            raise Violation(1, f"{token} is presented again, which no rule allows now")

    def _may_again(self, process: Process, digest: str, since_s: float) -> bool:
        """Return whether an operator, the provider's replay rule or the last try allow a second presentation now."""
        world, scenario = self.world, self.world.scenario
        if digest in self.permitted or scenario.replay == "until_successor_used":
            return True
        if scenario.replay == "window" and since_s <= scenario.grace_s:
            return True
        left_s = world.expires_at_s - world.start_s - world.scheduler.now_s
        ahead_s = scenario.period_s if process.mode == "once" else 0.0
        return scenario.on_doubt == "wait_then_replay" and left_s <= LAST_TRY_S + ahead_s

    def answered(self, process: Process, request: RefreshRequest, answer: TokenAnswer) -> None:
        """The provider made an answer; whether it arrives is another matter."""
        token, _ = self.world.presented(request)
        presentation = self.presentations[token][-1]
        presentation.answered = True
        if isinstance(answer, Refreshed):
            presentation.access = answer.tokens.access_token.reveal()
        if isinstance(answer, Refreshed) and answer.tokens.refresh_token:
            presentation.successor = answer.tokens.refresh_token.reveal()
            self.parents[presentation.successor] = token
            self.pending[token] = presentation
        if isinstance(answer, Rejected) and not self._explained_rejection():
            raise Violation(1, f"{process.name} presented {token} and was rejected")

    def _explained_rejection(self) -> bool:
        """Return whether a rejection follows from what nobody can prevent: this family was revoked or replayed."""
        beyond = self.world.revoked or self.world.clocks_off or bool(self.forgotten)
        return self.explained > 0 or beyond

    def handed(self, process: Process, *, whole: bool) -> None:
        """The request of a process is over: its answer was handed over, or is lost."""
        for presentations in self.presentations.values():
            for presentation in presentations:
                if presentation.process is process and presentation.out:
                    presentation.out, presentation.handed = False, whole

    def asked_to_wait(self, process: Process, seconds: float) -> None:
        """The provider asks everybody to stay away; that counts once it is durable, or the process has gone on."""
        self.wait_until_s = self.world.scheduler.now_s + seconds
        self.told = process

    def turn_over(self, process: Process) -> None:
        """A process is done with what it was about: what it was told and handed is durable, unless a fault hit that."""
        if self.wait_until_s and process is self.told:
            self._cool_down()
        if process.name in self.failed or self.forgotten:
            return
        for token, several in self.presentations.items():
            mine = any(one.process is process and one.handed and one.access for one in several)
            if mine and not any(one.kept for one in several):
                raise Violation(2, f"the answer to {token} arrived and was thrown away")

    def fails(self, process: Process, call: str, *, late: bool = False) -> None:
        """A call of a process goes wrong, or only takes long."""
        self.troubled.add(process.name)
        if not late:
            self.failed.add(process.name)
        if process is self.told and call.startswith("state"):
            self.wait_until_s = 0.0

    def _cool_down(self) -> None:
        skew_s = 2 * self.world.scenario.skew_s + sum(abs(by_s) for _, by_s, _ in self.world.scenario.jumps)
        self.cooldown = (self.world.scheduler.now_s, self.wait_until_s - skew_s - 1.0)
        self.wait_until_s = 0.0

    # -------------------------------------------------------------------------------------- at the state

    def looked_at_cooldown(self, process: Process) -> None:
        """A process read the provider's record."""
        self.looked_at_s[process.name] = self.world.scheduler.now_s

    def state_written(self, process: Process, key: str, body: Mapping[str, Any]) -> None:
        """A record was written: the fencing number never goes back, cooldowns and latches are noted."""
        if key.startswith("provider/"):
            if self.wait_until_s and "cooldown_until" in body:
                self._cool_down()
            return
        self._fenced(process, int(body.get("fence", 0)), body.get("lease"))
        for digest, claim in claims_in(body).items():
            self.claimed.add(digest)
            if claim.get("outcome") == "rejected":
                self.latched.setdefault(digest, self.world.scheduler.now_s)
        self.waiting = {entry["parent"] for entry in body.get("escrow", ()) if entry["kind"] == "tokens"}
        for parent in self.waiting:
            self._kept(process, parent)
        self.nothing_lost()

    def _fenced(self, process: Process, fence: int, lease: Mapping[str, Any] | None) -> None:
        if fence < self.fence:
            raise Violation(0, "the fencing number goes back")
        self.fence = fence
        if lease:
            if lease["fence"] not in self.holders:
                self.leased_s[process.name] = self.world.scheduler.now_s
            self.holder = self.holders.setdefault(lease["fence"], process)
        elif self.holder:
            if self.holder is not process and not (self.holder.over or self.world.clocks_off or self.forgotten):
                raise Violation(0, f"{process.name} ends the lease of {self.holder.name}")
            self.holder = None

    def state_lost(self, body: Mapping[str, Any]) -> None:
        """The records are gone, or an old backup is in their place; so are the claims made since."""
        left = claims_in(body)
        self.forgotten |= self.claimed - set(left)
        # A claim that the backup shows as open may have been settled, given back or tried again since.
        self.forgotten |= {digest for digest, claim in left.items() if claim.get("outcome", "open") == "open"}
        self.claimed = set(left)
        # A death that the backup does not show as reported has to be reported again.
        self.reported = {digest: who for digest, who in self.reported.items() if left.get(digest, {}).get("reported")}
        self.holders.clear()
        self.rejected.clear()  # what was noted is in nobody's memory any more
        self.latched = {digest: 0.0 for digest, claim in left.items() if claim.get("outcome") == "rejected"}
        self.fence, self.cooldown, self.wait_until_s = int(body.get("fence", 0)), (0.0, 0.0), 0.0
        self.holder = None
        waiting = {entry["parent"] for entry in body.get("escrow", ()) if entry["kind"] == "tokens"}
        self.dropped(self.waiting - waiting)
        self.waiting = waiting

    # ----------------------------------------------------------------------------------- escrow and audit

    def escrowed(self, process: Process, entry: SealedEntry) -> None:
        """An entry is durable."""
        if entry.kind == "tokens":
            self._kept(process, entry.parent)

    def _kept(self, process: Process, parent: str) -> None:
        for token, presentations in self.presentations.items():
            if self.digests[token] != parent:
                continue
            for presentation in presentations:
                if presentation.process is process:
                    presentation.kept = presentation.kept or presentation.answered

    def dropped(self, parents: set[str]) -> None:
        """A disk, or the state, went away with what waited there."""
        for token, presentations in self.presentations.items():
            if self.digests[token] in parents:
                for presentation in presentations:
                    presentation.kept = presentation.handed = False

    def audited(self, process: Process, event: AuditEvent) -> None:
        """An event is durable: promises 6 and 7."""
        self.attempts[7] += 1
        if event.event == "rotation.started":
            self.started[process.name] = self.started.get(process.name, 0) + 1
        if event.event == "rotation.failed" and event.details.get("reason") == "rejected":
            # A state that is away just then takes no latch, and a process that ends takes what it knows along.
            self.rejected[self.last_sent[process.name]] = process
        text = repr(event)
        if "rt-" in text or "at-" in text.replace("rot-", ""):
            raise Violation(7, f"a token in {event.event}")
        if event.event == "credential.reauthorization_required":
            digest = str(event.details["refresh_token_digest"])
            before = self.reported.get(digest)
            # Between the event and the note that it was made nothing can be done about a crash or a lost write.
            # Nor about a clock that is hours ahead, and ends the lease of who reports.
            troubled = bool(self.troubled & {process.name, before.name if before else ""})
            excused = troubled or self.world.clocks_off or bool(self.forgotten)
            if before and not (before.crashed or excused):
                raise Violation(6, "a dead grant is reported twice")
            self.reported[digest] = process

    # --------------------------------------------------------------------------------------- at the store

    def keeps(self, process: Process) -> None:
        """A process writes into an escrow, or into the state where the escrow is."""
        for presentation in self.pending.values():
            if presentation.process is process and presentation.handed:
                presentation.keeping = True

    def writes(self, process: Process) -> None:
        """A process writes a document: what it received is durable before anything else happens to it."""
        for token, presentation in self.pending.items():
            if presentation.process is process and presentation.handed and not presentation.keeping:
                raise Violation(2, f"the successor of {token} goes to the store before it is in escrow")

    def rotator_wrote(self, before: Versioned, written: Versioned) -> None:
        """A replica replaced a document: promises 3 and 4."""
        self.attempts.update((3, 4))
        if not isinstance(before.content, Document) or not isinstance(written.content, Document):
            raise Violation(4, "a document was replaced by, or from, something else")
        old, new = before.content.fields, written.content.fields
        for name in (set(old) | set(new)) - OWN_FIELDS:
            if old.get(name) != new.get(name):
                raise Violation(3, f"the field {name} was changed")
        if not new.get("access_token") or not new.get("refresh_token"):
            raise Violation(4, "a token was deleted")
        if not self._follows(str(new["refresh_token"]), str(old.get("refresh_token"))):
            raise Violation(3, f"{old.get('refresh_token')} was replaced by {new.get('refresh_token')}")
        for presentation in (one for several in self.presentations.values() for one in several):
            if presentation.successor == new["refresh_token"] or presentation.access == new["access_token"]:
                presentation.kept = True

    def nothing_lost(self) -> None:
        """What was received and kept is in the store, or waits in an escrow: promise 2.

        Of several answers to one token, a replay's, only the newest counts; what a person's new login replaced does
        not count any more.
        """
        if not self.pending:
            return
        self.attempts[2] += 1
        stored = self.world.stored
        for token, arrival in list(self.pending.items()):
            successor = arrival.successor
            unknown = self.world.clocks_off or self.digests[token] in self.forgotten
            branched = unknown and len(self.presentations[token]) > 1
            if successor is None or branched or self._descends(stored, successor):
                del self.pending[token]
            elif (
                arrival.kept
                and self._family(stored) == self._family(token)
                and not self.world.waits(self.digests[token])
            ):
                raise Violation(2, f"the kept successor of {token} is neither stored nor in escrow")

    def _follows(self, token: str, before: str) -> bool:
        """Return whether a token may replace another: it came after it, or in a later answer to the same token."""
        parent = self.parents.get(before, "")
        later = self.presentations[parent][-1].successor == token if parent in self.presentations else False
        return later or self._descends(token, before)

    def _descends(self, token: str, ancestor: str) -> bool:
        while token != ancestor:
            if token not in self.parents:
                return False
            token = self.parents[token]
        return True

    def _family(self, token: str) -> str:
        while token in self.parents:
            token = self.parents[token]
        return token

    # --------------------------------------------------------------------------------------- at the end

    def settled(self) -> None:
        """After the faults are over and time has passed: nothing that arrived is lost, and what lives is fresh."""
        self.attempts.update((2, 9))
        world = self.world
        document = world.document()
        stored = str(document["refresh_token"])
        self.nothing_lost()
        if world.expires_at_s <= world.scheduler.now_s + world.start_s:
            self.still_fresh()
        # Of the stored token's own family: a person's login counts, whatever was received for the one before.
        kept = [_number(one.access) for one in self.presentations.get(stored, ()) if one.kept]
        if not world.scenario.rotates and max(kept, default=0) > _number(str(document["access_token"])):
            raise Violation(2, "a kept access token is not stored")
        if not world.provider.is_live(stored) and not self._explained_loss(stored) and not world.revoked:
            raise Violation(2, f"the stored token {stored} is dead and no reply was lost")

    def still_fresh(self) -> None:
        """A while after the last fault every token that a refresh can keep fresh is fresh: promise 9."""
        world = self.world
        if world.clocks_off or not world.provider.is_live(world.stored):
            return
        if not world.left_to_a_person():
            raise Violation(9, "a live credential has an expired access token although all is well")

    def _explained_loss(self, stored: str) -> bool:
        """Return whether a reply of this login never became durable in time: the one loss that nobody can prevent."""
        if self.forgotten:
            return True
        family = self._family(stored)
        return any(
            self._family(token) == family
            and (len(arrivals) > 1 or any(one.successor and not one.kept for one in arrivals))
            for token, arrivals in self.presentations.items()
        )


def _number(access_token: str) -> int:
    """Return the number of an access token: later ones have greater ones."""
    return int(access_token.removeprefix("at-") or 0)
