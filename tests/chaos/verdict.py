"""What a fleet under chaos did to its tokens: each loss and each second presentation needs a cause from outside."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rotator import policy
from rotator.model import Document
from rotator.rotation import GOOD_FOR_S
from tests.chaos.fleet import LEASE_S, PROVIDERS, TIMEOUT_S, TOLD_S

if TYPE_CHECKING:
    from rotator.testing.sandbox import Face
    from rotator.wiring import App
    from tests.chaos.fleet import Blow, Fleet
    from tests.chaos.proxy import Exchange

KEPT_WITHIN_S = 1.5
"""How long after a reply arrived its tokens may take to become durable on a busy machine: a kill within that time may
have hit between the answer and the escrow, where nothing can be done."""

TOKEN = re.compile(rb"sandbox_rt_[0-9a-f]+")


@dataclass(slots=True)
class Presented:
    """One presentation of a refresh token that the provider answered with new tokens.

    Args:
        blow: What hit its process meanwhile or soon after.
        cause: Why its reply may never have become durable; empty when nothing from outside explains it.
    """

    exchange: Exchange
    pid: int | None
    blow: Blow | None
    cause: str

    @property
    def told(self) -> str:
        """The cause; with a blow, when it came after the answer."""
        late_s = self.blow.from_s - self.exchange.answered_s if self.blow and self.exchange.answered_s else None
        return self.cause if late_s is None or self.cause == "reply cut" else f"{self.cause} {late_s:+.2f} s"


@dataclass(slots=True)
class Verdict:
    """What was counted.

    Args:
        broken: Promises that were broken, in words; none, or rotator has a defect.
        losses: Logins lost for a cause from outside, by cause.
        again: Second presentations of a token, by the cause of the first one's doubt.
    """

    broken: list[str] = field(default_factory=list)
    losses: Counter[str] = field(default_factory=Counter)
    again: Counter[str] = field(default_factory=Counter)
    numbers: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{name:18} {value}" for name, value in self.numbers.items()]
        lines += [f"{'lost, explained':18} {dict(self.losses)}", f"{'presented again':18} {dict(self.again)}"]
        return "\n".join([*lines, *(f"BROKEN {one}" for one in self.broken)])


class Judge:
    """Reads what the servers, the proxies, the audit trail and the driver noted."""

    def __init__(self, fleet: Fleet, app: App) -> None:
        self.fleet = fleet
        self.app = app
        self.events = _events(fleet)
        self.started: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
        for event in self.events:
            if event["event"] == "rotation.started":
                at_s = datetime.fromisoformat(event["ts"]).timestamp()
                self.started[event["refresh_token_digest"]].append((at_s, event["actor"]["pid"]))
        self.presented: defaultdict[str, list[Presented]] = defaultdict(list)
        for exchange in fleet.proxy.exchanges:
            found = TOKEN.search(bytes(exchange.request))
            if found and exchange.status == b"200":
                token = found[0].decode()
                pid = self._presenter(token, exchange)
                blow = self._blow(exchange, pid)
                self.presented[token].append(Presented(exchange, pid, blow, _cause(exchange, blow)))

    def verdict(self) -> Verdict:
        """Judge."""
        verdict = Verdict()
        for name in PROVIDERS:
            self._presentations(verdict, name, self.fleet.server.face(name))
        reuses = {name: self.fleet.server.face(name).report.reuse_detections for name in PROVIDERS}
        # An operator is asked first, or the provider allows it: no reuse. One last try: one reuse for each lost reply.
        last_tries = sum(times for name, times in verdict.again.items() if name.startswith("lasttry"))
        if reuses["strict"] or reuses["graceful"] or reuses["lasttry"] > last_tries:
            verdict.broken.append(f"reuse was detected: {reuses}")
        self._stored(verdict)
        self._paced(verdict)
        self._told_once(verdict)
        self._numbers(verdict, reuses)
        return verdict

    # ---------------------------------------------------------------------------------------------- causes

    def _presenter(self, token: str, exchange: Exchange) -> int | None:
        started = self.started[self.app.seal.audit_digest(token)]
        before = [one for one in started if one[0] <= exchange.began_s + 0.01]
        return max(before)[1] if before else None

    def _blow(self, exchange: Exchange, pid: int | None) -> Blow | None:
        arrived_s = (exchange.delivered_s or exchange.answered_s or exchange.began_s) + KEPT_WITHIN_S
        blows = [one for one in self.fleet.blows if one.pid == pid and exchange.began_s - TIMEOUT_S <= one.from_s]
        hit = [one for one in blows if one.from_s <= arrived_s]
        kills = [one for one in hit if one.until_s is None]
        return (kills or hit or [None])[0]

    # ---------------------------------------------------------------------------------------------- judging

    def _presentations(self, verdict: Verdict, name: str, face: Face) -> None:
        processed = face.report.processed
        for token in _refresh_tokens(face):
            times = processed.get(face.label(token), 0)
            if times < 2:
                continue
            who = f"{name} {face.label(token)}"
            cause = self.presented[token][0].cause if self.presented[token] else ""
            verdict.again[f"{name}: {cause}"] += 1
            if name == "strict":
                verdict.broken.append(f"{who} was presented {times} times without an operator's word")
            elif times > policy.MOST_TRIES:
                verdict.broken.append(f"{who} was presented {times} times")
            elif not cause:
                verdict.broken.append(f"{who} was presented twice and no reply was lost")

    def _stored(self, verdict: Verdict) -> None:
        """Compare what is stored with what the provider holds to be live."""
        for name, (observed, decision) in self.fleet.look(self.app).items():
            situation = observed.situation
            face = self.fleet.server.face(situation.credential.provider.name)
            content = situation.stored.content
            assert isinstance(content, Document)
            token = str(content.fields["refresh_token"])
            if face.family_of(token) < self.fleet.logins[name]:
                verdict.broken.append(f"{name}: login {self.fleet.logins[name]}, which a person put, was overwritten")
            known = face._book._refresh_tokens[token]
            if known.first_used_at is None and not known.family.revoked:
                continue
            causes = [one.cause for one in self.presented[token]]
            if causes and all(causes):
                told = ", ".join(one.told for one in self.presented[token])
                verdict.losses[f"{face.settings.name}: {told}"] += 1
            else:
                shown = [(one.exchange.fate, one.pid, one.cause) for one in self.presented[token]]
                verdict.broken.append(
                    f"{name}: the stored token {face.label(token)} is dead; {shown}; {type(decision).__name__}: "
                    f"{decision.reason}"
                )

    def _paced(self, verdict: Verdict) -> None:
        """Find requests that came although their sender could know better: promise 5.

        A refusal is known to all once it is noted; a request that was decided on before may still be on its way.
        """
        paced = [one for one in self.fleet.proxy.exchanges if one.request.startswith(b"POST /oauth2/")]
        told = [one for one in paced if one.status == b"429" and one.fate in {"pass", "delay"}]
        early = []
        for refusal in told:
            assert refusal.answered_s
            known_s = refusal.answered_s + GOOD_FOR_S + KEPT_WITHIN_S
            early += [one for one in paced if known_s < one.began_s < refusal.answered_s + TOLD_S]
        verdict.numbers["told to wait"] = len(told)
        verdict.numbers["early all the same"] = len(early)
        pauses = sum(blow.until_s is not None for blow in self.fleet.blows)
        over = self.fleet.server.face("graceful").report.rejected_over_rate
        if not self.fleet.backend.proxies and len(early) > len(self.fleet.blows):
            verdict.broken.append(f"{len(early)} requests came before the time that all had been told")
        if over > pauses:  # a process that is stopped between its slot and its request sends late
            verdict.broken.append(f"{over} requests were over the limit")

    def _told_once(self, verdict: Verdict) -> None:
        """Check the trail: promises 6 and 8."""
        deaths = Counter(
            event["refresh_token_digest"]
            for event in self.events
            if event["event"] == "credential.reauthorization_required"
        )
        verdict.numbers["deaths told again"] = sum(times - 1 for times in deaths.values())
        for token, presented in self.presented.items():
            if any(one.pid is None for one in presented):
                label = self.app.seal.audit_digest(token)
                verdict.broken.append(f"{label} was sent without a durable rotation.started")

    def _numbers(self, verdict: Verdict, reuses: dict[str, int]) -> None:
        fleet = self.fleet
        reports = {name: fleet.server.face(name).report for name in PROVIDERS}
        kills = sum(blow.until_s is None for blow in fleet.blows)
        pauses = [blow.until_s - blow.from_s for blow in fleet.blows if blow.until_s is not None]
        verdict.numbers |= {
            "rotations": {name: report.rotations for name, report in reports.items()},
            "reuse detections": reuses,
            "over the limit": {name: report.rejected_over_rate for name, report in reports.items()},
            "sent too early": {name: report.sent_too_early for name, report in reports.items()},
            "kills": kills,
            "pauses": f"{len(pauses)}, the longest {max(pauses, default=0.0):.1f} s",
            "provider cuts": dict(fleet.proxy.counts),
            "store cuts": {name: dict(proxy.counts) for name, proxy in fleet.backend.proxies.items()},
            "left in escrow": dict(Counter(entry.kind for entry in self.app.escrow.all_waiting())),
            "logins by persons": fleet.persons,
            "exits": dict(fleet.exits),
            "events": dict(Counter(_kind(event) for event in self.events)),
        }


def _cause(exchange: Exchange, blow: Blow | None) -> str:
    if exchange.lost_after_answer and exchange.fate != "client_left":
        return "reply cut"
    if blow and blow.until_s is None:
        return "killed"
    if blow and blow.until_s is not None:
        return "paused beyond the lease" if blow.until_s - blow.from_s > LEASE_S - TIMEOUT_S else "paused"
    return "left early" if exchange.fate == "client_left" else ""


def _kind(event: dict[str, Any]) -> str:
    reason = event.get("reason", "")
    return (
        f"{event['event']} {reason}" if event["event"] in {"rotation.deferred", "rotation.failed"} else event["event"]
    )


def _events(fleet: Fleet) -> list[dict[str, Any]]:
    """Return the audit trail; a line that a killed process left half done is the only one that may be broken."""
    events = []
    for line in fleet.audit_file.read_text().splitlines() if fleet.audit_file.exists() else ():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return events


def _refresh_tokens(face: Face) -> list[str]:
    return list(face._book._refresh_tokens)


def issued(fleet: Fleet) -> list[str]:
    """Return every token that the sandbox issued."""
    books = [face._book for face in fleet.server.faces.values()]
    return [text for book in books for text in (*book._refresh_tokens, *book._access_tokens)]
