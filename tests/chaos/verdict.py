"""What a fleet of rotator did to its logins: each loss and each second presentation needs a cause from outside."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rotator import policy
from rotator.rotation import GOOD_FOR_S
from rotator.testing.sandbox import DEFAULT_CLIENT_SECRET
from tests.chaos.deployment import LEASE_S, PROVIDERS, READERS_FIELD, TOLD_S
from tests.chaos.facts import KEPT_WITHIN_S, Facts, issued, refresh_tokens
from tests.chaos.leaks import leaks

if TYPE_CHECKING:
    from rotator.testing.sandbox import Face
    from tests.chaos.deployment import Rotator
    from tests.chaos.facts import Presented
    from tests.chaos.fleet import Fleet

ENDS: dict[str, set[str]] = {
    "strict": {"waits for a person", "a person logged in"},
    "lasttry": {
        "waits for its last try",
        "reported dead after its last try",
        "waits for a person after its last try",
        "a person logged in",
        "pauses",
        "is tried once more just now",
    },
    "graceful": {
        "presented again and kept",
        "waits for a person after its last try",
        "a person logged in",
        "pauses",
        "is tried once more just now",
    },
}
"""How a lost reply may end, by the provider's `replay` and `on_doubt`. `pauses`: the next try waits for its time."""

IN_PEACE = {"held by a dead process"}
"""And in a run that does not wait for the leases of the dead to end."""

EXITS = {0, 1, 75, -9}
"""How `once` may end; -9 is the driver's SIGKILL."""


@dataclass(slots=True)
class Verdict:
    """What was counted.

    Args:
        violations: Promises that were broken, in words; none, or rotator has a defect.
        lost: Logins that are dead at the end, or were when a person logged in anew.
        lost_unexplained: Those of them that nothing from outside explains.
        ended: How lost replies ended, by cause.
    """

    violations: list[str] = field(default_factory=list)
    logins: int = 0
    lost: int = 0
    lost_unexplained: int = 0
    reuse_detections: int = 0
    reuse_unexplained: int = 0
    families_revoked: int = 0
    rotations: int = 0
    over_the_limit: int = 0
    secrets_found: int = 0
    ended: dict[str, Counter[str]] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{name:20} {value}" for name, value in self.numbers.items()]
        lines += [f"{f'lost: {cause}':20} {dict(ends)}" for cause, ends in self.ended.items()]
        return "\n".join([*lines, *(f"VIOLATION {one}" for one in self.violations)])


class Judge:
    """Compares what the provider holds, what is stored, and what was noted.

    Args:
        patient: Whether the fleet was given the time to take over what dead processes held.
    """

    def __init__(self, fleet: Fleet, program: Rotator, *, patient: bool) -> None:
        self.fleet = fleet
        self.program = program
        self.patient = patient
        self.facts = Facts(fleet, program)
        self.faces = {name: program.deployment.server.face(name) for name in PROVIDERS}
        self.seen = program.look()
        self.documents = {name: program.stored(name) for name in program.deployment.names}
        self.stored = {name: str(document["refresh_token"]) for name, document in self.documents.items()}

    def verdict(self) -> Verdict:
        """Judge."""
        verdict = Verdict(logins=len(self.stored), lost=self.fleet.lost_before)
        last_tries = self._presentations(verdict)
        self._reuse(verdict, last_tries)
        self._stored(verdict)
        self._ends(verdict)
        self._paced(verdict)
        self._processes(verdict)
        self._numbers(verdict)
        return verdict

    # ---------------------------------------------------------------------------------------------- judging

    def _presentations(self, verdict: Verdict) -> int:
        """Find second presentations without a cause; return how many were a last try."""
        last_tries = 0
        for name, face in self.faces.items():
            processed = face.report.processed
            for token in refresh_tokens(face):
                times = processed.get(face.label(token), 0)
                if times < 2:
                    continue
                who = f"{name} {face.label(token)} was presented {times} times"
                explained = bool(self.facts.presented[token]) and bool(self.facts.presented[token][0].cause)
                last_tries += name == "lasttry" and explained
                if name == "strict":
                    verdict.violations.append(f"{who} without an operator's word")
                elif times > policy.MOST_TRIES:
                    verdict.violations.append(who)
                elif not explained:
                    verdict.violations.append(f"{who} and no reply was lost")
        return last_tries

    def _reuse(self, verdict: Verdict, last_tries: int) -> None:
        """No reuse where an operator is asked or the provider allows it. A last try is one, known beforehand."""
        reuses = {name: face.report.reuse_detections for name, face in self.faces.items()}
        verdict.reuse_detections = sum(reuses.values())
        verdict.families_revoked = sum(face.report.families_revoked for face in self.faces.values())
        verdict.reuse_unexplained = reuses["strict"] + reuses["graceful"] + max(0, reuses["lasttry"] - last_tries)
        if verdict.reuse_unexplained:
            verdict.violations.append(f"reuse was detected: {reuses}, {last_tries} of them last tries")

    def _stored(self, verdict: Verdict) -> None:
        """Compare what is stored with what the provider holds to be live."""
        for name, token in self.stored.items():
            face = self.program.deployment.face(name)
            if face.family_of(token) < self.program.logins[name]:
                verdict.violations.append(f"{name}: a login that a person put was overwritten")
            if self.documents[name].get(READERS_FIELD) != name:
                verdict.violations.append(f"{name}: a field that rotator does not know was lost")
            decision = self.seen[name][1]
            if self.program.alive(name, token) or self._in_escrow(name):
                continue
            verdict.lost += 1
            shown = self.facts.presented[token]
            if not shown or not all(one.cause for one in shown):
                verdict.lost_unexplained += 1
                told = [(one.exchange.fate, one.pid, one.cause) for one in shown]
                verdict.violations.append(
                    f"{name}: the stored token {face.label(token)} is dead; {told}; {type(decision).__name__}: "
                    f"{decision.reason}"
                )

    def _in_escrow(self, name: str) -> bool:
        observed = self.seen[name][0]
        return any(one.tokens is not None for one in observed.situation.waiting)

    def _ends(self, verdict: Verdict) -> None:
        """Check that each lost reply ended as the profile says."""
        owners = {
            (name.partition("-")[0], self.program.deployment.face(name).family_of(token)): name
            for name, token in self.stored.items()
        }
        for provider, face in self.faces.items():
            for token in refresh_tokens(face):
                lost = [one for one in self.facts.presented.get(token, ()) if one.cause]
                name = owners.get((provider, face.family_of(token)))
                end = self._end(face, token, name, lost) if lost else ""
                if not end:
                    continue
                verdict.ended.setdefault(lost[0].cause, Counter())[f"{provider}: {end}"] += 1
                if end not in ENDS[provider] and (self.patient or end not in IN_PEACE):
                    verdict.violations.append(f"{provider} {face.label(token)}: a lost reply ended: {end}")

    def _end(self, face: Face, token: str, name: str | None, lost: list[Presented]) -> str:
        """Return how a lost reply ended; nothing if it was not lost after all."""
        known = face._book._refresh_tokens[token]
        kept = [one.first_used_at is not None or one.text in self.stored.values() for one in known.successors]
        again = face.report.processed.get(face.label(token), 0) > 1
        if any(kept):
            return "presented again and kept" if again and not (kept[0] and len(lost) == 1) else ""
        if name is None:
            return "a person logged in"
        if self.stored[name] != token:
            return "lost without a trace"
        return self._at_rest(name, self.seen[name][1])

    def _at_rest(self, name: str, decision: policy.Decision) -> str:
        match decision:
            case policy.Recover():
                return ""
            case policy.InDoubt(until=None, claim=claim):
                # The record's count, not the provider's: a last try may have been cut before it arrived.
                return "waits for a person" + (" after its last try" if claim.tries == policy.MOST_TRIES else "")
            case policy.InDoubt():
                return "waits for its last try"
            case policy.Due(again=True):
                return "is tried once more just now"
            case policy.Latched(claim=claim):
                return "reported dead" + (" after its last try" if claim.tries == policy.MOST_TRIES else "")
            case policy.CoolingDown():
                return "pauses"
            case policy.Held(holder=holder):
                if self._in_escrow(name):
                    return ""
                return "held by a dead process" if pid_of(holder) in self.fleet.dead else "is tried once more just now"
            case other:
                return type(other).__name__

    def _paced(self, verdict: Verdict) -> None:
        """Find requests that came although their sender could know better: promise 5.

        A refusal is known to all once it is noted; a request that was decided on before may still be on its way.
        """
        paced = [one for one in self.program.deployment.proxy.exchanges if one.request.startswith(b"POST /oauth2/")]
        told = [one for one in paced if one.status == b"429" and one.fate in {"pass", "delay", "drip"}]
        early = []
        for refusal in told:
            assert refusal.answered_s
            known_s = refusal.answered_s + GOOD_FOR_S + KEPT_WITHIN_S
            early += [one for one in paced if known_s < one.began_s < refusal.answered_s + TOLD_S]
        verdict.numbers["told to wait"] = f"{len(told)}, early all the same {len(early)}"
        # Whoever is killed, or cannot reach the state, cannot tell the others.
        if not self.program.deployment.backend.proxies and len(early) > len(self.fleet.blows):
            verdict.violations.append(f"{len(early)} requests came before the time that all had been told")
        verdict.over_the_limit = sum(face.report.rejected_over_rate for face in self.faces.values())
        pauses = sum(blow.until_s is not None for blow in self.fleet.blows)
        if verdict.over_the_limit > pauses:  # a process that is stopped between its slot and its request sends late
            verdict.violations.append(f"{verdict.over_the_limit} requests were over the limit")

    def _processes(self, verdict: Verdict) -> None:
        """Look at what the processes left: exits, tracebacks, secrets; and at the trail: promises 7 and 8."""
        for presented in self.facts.presented.values():
            if any(one.pid is None for one in presented):
                verdict.violations.append("a refresh token was sent without a durable rotation.started")
        deaths = Counter(
            event["refresh_token_digest"]
            for event in self.facts.events
            if event["event"] == "credential.reauthorization_required"
        )
        again = sum(times - 1 for times in deaths.values())
        verdict.numbers["deaths told"] = f"{len(deaths)}, again {again}"
        if again > len(self.fleet.blows) + self.fleet.struck["store outage"]:  # told, and hit before that was noted
            verdict.violations.append(f"{again} deaths of a grant were told more than once")
        folder = self.program.deployment.folder
        verdict.violations += [
            f"{path.name} has a traceback" for path in folder.glob("*.err") if b"Traceback" in path.read_bytes()
        ]
        strange = {
            (kind, code): times
            for (kind, code), times in self.fleet.exits.items()
            if kind == "once" and code not in EXITS
        }
        strange |= {key: times for key, times in self.fleet.exits.items() if key[0] == "run" and key[1] != -9}
        if strange:
            verdict.violations.append(f"processes ended by themselves: {strange}")
        env = self.program.deployment.backend.env
        texts = [text for name, text in env.items() if name != "AWS_DEFAULT_REGION" and len(text) > 8]
        found = leaks(folder, issued(self.program.deployment), [DEFAULT_CLIENT_SECRET, *texts])
        verdict.secrets_found = len(found)
        verdict.violations += [f"a secret in {one}" for one in found]
        verdict.violations += [*self.fleet.defects, *self.program.deployment.server.failures]

    def _numbers(self, verdict: Verdict) -> None:
        reports = {name: face.report for name, face in self.faces.items()}
        verdict.rotations = sum(report.rotations for report in reports.values())
        pauses = [blow.until_s - blow.from_s for blow in self.fleet.blows if blow.until_s is not None]
        deployment = self.program.deployment
        verdict.numbers |= {
            "rotations": {name: report.rotations for name, report in reports.items()},
            "reuse detections": {name: report.reuse_detections for name, report in reports.items()},
            "over the limit": verdict.over_the_limit,
            "struck": dict(self.fleet.struck),
            "longest pause": f"{max(pauses, default=0.0):.1f} s; the lease is {LEASE_S:.0f} s",
            "provider": dict(deployment.proxy.counts),
            "stores": {name: dict(proxy.counts) for name, proxy in deployment.backend.proxies.items()},
            "exits": dict(self.fleet.exits),
            "events": dict(Counter(_kind(event) for event in self.facts.events)),
        }


def pid_of(holder: str) -> int:
    """Return the process id in the name under which a process takes leases: `host/pid/instance`."""
    return int(holder.split("/")[-2])


def _kind(event: dict[str, Any]) -> str:
    reason = event.get("reason", "")
    return (
        f"{event['event']} {reason}" if event["event"] in {"rotation.deferred", "rotation.failed"} else event["event"]
    )
