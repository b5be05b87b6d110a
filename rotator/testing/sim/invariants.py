"""The promises of the product, written as checks over everything that happens in a world."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rotator.model import Document, Refreshed, Rejected
from rotator.records import digest_of
from rotator.redact import Secret

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


class Violation(AssertionError):
    """A promise is broken."""


def _host(name: str) -> str:
    return name.partition(" ")[0]


@dataclass(slots=True)
class Presentation:
    """A refresh token arrived at the provider.

    Args:
        successor: The refresh token that it was answered with, if any.
        kept: The answer reached an escrow.
    """

    at_s: float
    by: str
    successor: str | None = None
    answered: bool = False
    kept: bool = False


@dataclass(slots=True)
class Watch:
    """Sees every effect, and raises Violation when one breaks a promise."""

    world: World
    presentations: dict[str, list[Presentation]] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    by_digest: dict[str, str] = field(default_factory=dict)
    started: dict[str, int] = field(default_factory=dict)
    last_sent: dict[str, str] = field(default_factory=dict)
    looked_at_s: dict[str, float] = field(default_factory=dict)
    cooldown: tuple[float, float] = (0.0, 0.0)
    wait_until_s: float = 0.0
    latched: set[str] = field(default_factory=set)
    reported: set[str] = field(default_factory=set)
    fences: dict[str, int] = field(default_factory=dict)
    explained: int = 0

    # ------------------------------------------------------------------------------------ at the provider

    def arrives(self, process: Process, request: RefreshRequest) -> None:
        """A request reaches the provider: promises 1, 2, 5, 6 and 8."""
        token = request.refresh_token.reveal()
        digest = digest_of(request.refresh_token)
        self.by_digest[digest] = token
        self._audited_before(process)
        self.last_sent[process.name] = digest
        if digest in self.latched:
            raise Violation(f"promise 6: {token} was latched and is sent again")
        durable_s, until_s = self.cooldown
        if self.looked_at_s.get(process.name, 0.0) > durable_s > 0 and self.world.scheduler.now_s < until_s:
            raise Violation(f"promise 5: sent {until_s - self.world.scheduler.now_s:.1f} s before the cooldown ends")
        before = self.presentations.setdefault(token, [])
        if before and self.world.scenario.rotates and not self.world.scenario.safe:
            self._again(process, token, before)
        before.append(Presentation(self.world.scheduler.now_s, process.name))

    def _audited_before(self, process: Process) -> None:
        if self.started.get(process.name, 0) < 1:
            raise Violation("promise 8: sent without a durable rotation.started")
        self.started[process.name] -= 1

    def _again(self, process: Process, token: str, before: list[Presentation]) -> None:
        """A single-use token comes again: only after a lost reply, once, and only where the rules allow it.

        A successor that is kept in the private escrow of a host that does not come back in time is lost, for others.
        """
        if len(before) > 1:
            raise Violation(f"promise 1: {token} is presented for the third time")
        elsewhere = self.world.scenario.escrow == "private" and _host(before[0].by) != _host(process.name)
        if before[0].kept and not (elsewhere and self.world.expired()):
            raise Violation(f"promises 1 and 2: {token} is presented again while its successor is kept")
        if self.world.scenario.on_doubt == "operator" and self.world.scenario.replay == "never":
            raise Violation(f"promise 1: {token} is presented again without an operator's word")
        self.explained += 1

    def answered(self, process: Process, request: RefreshRequest, answer: TokenAnswer) -> None:
        """The provider made an answer; whether it arrives is another matter."""
        presentation = self.presentations[request.refresh_token.reveal()][-1]
        presentation.answered = True
        if isinstance(answer, Refreshed) and answer.tokens.refresh_token:
            presentation.successor = answer.tokens.refresh_token.reveal()
            self.parents[presentation.successor] = request.refresh_token.reveal()
        if isinstance(answer, Rejected) and not self.world.explained_rejection(request.refresh_token.reveal()):
            raise Violation(f"promise 1: {process.name} presented {request.refresh_token.reveal()} and was rejected")

    def asked_to_wait(self, seconds: float) -> None:
        """The provider asks everybody to stay away; that counts once it is durable."""
        self.wait_until_s = self.world.scheduler.now_s + seconds

    # -------------------------------------------------------------------------------------- at the state

    def looked_at_cooldown(self, process: Process) -> None:
        """A process read the provider's record."""
        self.looked_at_s[process.name] = self.world.scheduler.now_s

    def state_written(self, process: Process, key: str, body: Mapping[str, Any]) -> None:
        """A record was written: the fencing number never goes back, cooldowns and latches are noted."""
        if key.startswith("provider/"):
            if self.wait_until_s and "cooldown_until" in body:
                skew_s = 2 * self.world.scenario.skew_s
                self.cooldown = (self.world.scheduler.now_s, self.wait_until_s - skew_s - 1.0)
                self.wait_until_s = 0.0
            return
        fence = int(body.get("fence", 0))
        if fence < self.fences.get(key, 0):
            raise Violation(f"the fencing number of {key} goes back")
        self.fences[key] = fence
        for claim in body.get("presented", ()):
            if claim.get("outcome") == "rejected":
                self.latched.add(claim["digest"])
        for entry in body.get("escrow", ()):
            if entry["kind"] == "tokens":
                self._kept(process, entry["parent"])

    # ----------------------------------------------------------------------------------- escrow and audit

    def escrowed(self, process: Process, entry: SealedEntry) -> None:
        """An entry is durable."""
        if entry.kind == "tokens":
            self._kept(process, entry.parent)

    def _kept(self, process: Process, parent: str) -> None:
        token = self.by_digest.get(parent)
        for presentation in self.presentations.get(token or "", ()):
            if presentation.by == process.name:
                presentation.kept = presentation.kept or presentation.answered

    def audited(self, process: Process, event: AuditEvent) -> None:
        """An event is durable: promises 6 and 7."""
        if event.event == "rotation.started":
            self.started[process.name] = self.started.get(process.name, 0) + 1
        if event.event == "rotation.failed" and event.details.get("reason") == "rejected":
            self.latched.add(self.last_sent[process.name])
        text = repr(event)
        if "rt-" in text or "at-" in text.replace("rot-", ""):
            raise Violation(f"promise 7: a token in {event.event}")
        if event.event == "credential.reauthorization_required":
            digest = str(event.details["refresh_token_digest"])
            if digest in self.reported:
                raise Violation("promise 6: a dead grant is reported twice")
            self.reported.add(digest)

    # --------------------------------------------------------------------------------------- at the store

    def rotator_wrote(self, before: Versioned, written: Versioned) -> None:
        """A replica replaced a document: promises 3 and 4."""
        if not isinstance(before.content, Document) or not isinstance(written.content, Document):
            raise Violation("promise 4: a document was replaced by, or from, something else")
        old, new = before.content.fields, written.content.fields
        for name in (set(old) | set(new)) - OWN_FIELDS:
            if old.get(name) != new.get(name):
                raise Violation(f"promise 3: the field {name} was changed")
        if not self._descends(str(new.get("refresh_token")), str(old.get("refresh_token"))):
            raise Violation(f"promise 3: {old.get('refresh_token')} was replaced by {new.get('refresh_token')}")
        for token in self._between(str(new["refresh_token"]), str(old["refresh_token"])):
            for presentation in self.presentations.get(token, ()):
                if presentation.successor == new["refresh_token"]:
                    presentation.kept = True

    def _descends(self, token: str, ancestor: str) -> bool:
        while token != ancestor:
            if token not in self.parents:
                return False
            token = self.parents[token]
        return True

    def _between(self, token: str, ancestor: str) -> list[str]:
        path = []
        while token != ancestor:
            token = self.parents[token]
            path.append(token)
        return path

    # --------------------------------------------------------------------------------------- at the end

    def settled(self) -> None:
        """After the faults are over and time has passed: nothing that arrived is lost, and what lives is fresh."""
        world = self.world
        document = world.document()
        stored = str(document["refresh_token"])
        # Of several answers to one token, a replay's, only the last one counts.
        newest = [(token, arrivals[-1]) for token, arrivals in self.presentations.items()]
        lost = [
            token
            for token, arrival in newest
            if arrival.kept and arrival.successor and not self._reached(arrival.successor, stored)
        ]
        if lost and not world.reseeded:
            raise Violation(f"promise 2: the kept successor of {lost[0]} is neither stored nor in escrow")
        alive = world.provider.is_live(stored)
        if (
            alive
            and not world.left_to_a_person()
            and float(document["expires_at"]) <= world.scheduler.now_s + world.start_s
        ):
            raise Violation("promise 9: a live credential has an expired access token although all is well")
        if not alive and not self.explained_loss() and not world.reseeded and not world.revoked:
            raise Violation(f"promise 2: the stored token {stored} is dead and no reply was lost")

    def _reached(self, successor: str, stored: str) -> bool:
        if successor == stored or self._descends(stored, successor):
            return True
        digest = digest_of(Secret(self.parents.get(successor, "")))
        return any(entry.parent == digest for entry in self.world.all_waiting())

    def explained_loss(self) -> bool:
        """Return whether some reply never became durable in time: the one loss that nobody can prevent."""
        return self.explained > 0 or any(
            arrival.successor and not arrival.kept for arrivals in self.presentations.values() for arrival in arrivals
        )
