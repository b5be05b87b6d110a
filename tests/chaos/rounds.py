"""One round: a fleet on a fresh deployment goes through a scenario, is left in peace, and is judged.

rotator and the naive refresher go through the same blows one after the other, each on a deployment of its own: side by
side they would take processor time from each other, and the one that is slower would be blamed for it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import boto3

from rotator import aws_session, policy
from rotator.documents import stored_tokens
from rotator.model import Malformed
from rotator.testing.sandbox import SandboxServer
from tests.chaos import backends
from tests.chaos.deployment import TIMEOUT_S, Deployment, Naive, Rotator, faces
from tests.chaos.facts import OVER, read_events, seconds
from tests.chaos.fleet import Fleet
from tests.chaos.proxy import CUT, Proxy
from tests.chaos.verdict import Judge, pid_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chaos.backends import Backend
    from tests.chaos.scenarios import Scenario
    from tests.chaos.verdict import Verdict

NAIVE_SETTLE_S = 6.0
"""Nothing fails any more: what the naive program has in hand is done by then."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much, and for how long.

    Args:
        chaos_s: How long blows fall.
        lifetime_s: Of an access token; half of it is the margin.
        settle_s: How long the fleet may take at most to finish what was left undone.
        peace_s: How long access tokens are watched then; more than half of a lifetime, so that each is refreshed.
        patient: Whether the leases of the dead and the pauses after failures are waited for, too.
    """

    credentials: int
    chaos_s: float
    lifetime_s: int
    settle_s: float
    peace_s: float
    patient: bool = True


@dataclass(slots=True)
class Round:
    """What came of a round of rotator.

    Args:
        expired: Credentials whose access token ended in the store while everything was up.
    """

    verdict: Verdict
    expired: set[str]
    faults: Counter[str]


@dataclass(slots=True)
class Losses:
    """What came of a round of the naive refresher, counted by the same provider.

    Args:
        replies_lost: Token responses that the proxy kept from it: at a provider that allows no replay nobody could have
            saved those logins.
    """

    logins: int = 0
    lost: int = 0
    reuse_detections: int = 0
    families_revoked: int = 0
    rotations: int = 0
    replies_lost: int = 0
    struck: Counter[str] = field(default_factory=Counter)


def rotator_round(
    kind: backends.Kind, scenario: Scenario, seed: int, size: Size, folder: Path, *, module: str = "rotator"
) -> Round:
    """Send rotator through a scenario and judge."""
    with _deployed(kind, seed, size, folder) as deployment:
        program = Rotator(deployment, module)
        program.log_in_everywhere(seed)
        fleet = Fleet(program, scenario, seed)
        try:
            fleet.chaos(size.chaos_s)
            fleet.heal()
            restless = _settled(fleet, program, size)
            expired = _expired_in_peace(fleet, program, size.peace_s)
            codes = fleet.end()
        finally:
            fleet.kill_all()
        verdict = Judge(fleet, program, patient=size.patient).verdict()
        verdict.violations += [f"{name} did not settle: {what}" for name, what in restless.items()]
        verdict.violations += [f"{name}: its access token expired while everything was up" for name in sorted(expired)]
        if any(codes):
            verdict.violations.append(f"daemons ended with {codes} on SIGTERM")
        return Round(verdict, expired, _faults(fleet))


def naive_round(kind: backends.Kind, scenario: Scenario, seed: int, size: Size, folder: Path) -> Losses:
    """Send the naive refresher through the same scenario and count what it lost."""
    with _deployed(kind, seed, size, folder) as deployment:
        program = Naive(deployment)
        program.log_in_everywhere(seed)
        fleet = Fleet(program, scenario, seed)
        try:
            fleet.chaos(size.chaos_s)
            fleet.heal()
            _run_on(fleet, min(NAIVE_SETTLE_S, size.settle_s))
        finally:
            fleet.kill_all()
        reports = [face.report for face in deployment.server.faces.values()]
        return Losses(
            logins=len(deployment.names),
            lost=fleet.lost_before + sum(program.asks(name) for name in deployment.names),
            reuse_detections=sum(report.reuse_detections for report in reports),
            families_revoked=sum(report.families_revoked for report in reports),
            rotations=sum(report.rotations for report in reports),
            replies_lost=sum(one.status == b"200" and one.fate in CUT for one in deployment.proxy.exchanges),
            struck=_faults(fleet),
        )


@contextlib.contextmanager
def _deployed(kind: backends.Kind, seed: int, size: Size, folder: Path) -> Iterator[Deployment]:
    folder.mkdir(parents=True)
    with (
        backends.opened(kind, folder, seed) as backend,
        _environment(backend),
        SandboxServer(faces(size.lifetime_s)) as server,
        # A delay before the server would bunch requests that left in their slots.
        Proxy(server.url, seed, unhurried=(b"POST /oauth2/token",), keep=True) as proxy,
    ):
        yield Deployment(folder, backend, server, proxy, size.credentials, size.lifetime_s)


@contextlib.contextmanager
def _environment(backend: Backend) -> Iterator[None]:
    """Give this process what the others get, for the SDKs that look nowhere else; and no session of another round."""
    before = dict(os.environ)
    os.environ.update(backend.env)
    aws_session._SHARED.clear()
    boto3.DEFAULT_SESSION = None
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        aws_session._SHARED.clear()
        boto3.DEFAULT_SESSION = None


def _run_on(fleet: Fleet, for_s: float) -> None:
    ends_s = time.time() + for_s
    while time.time() < ends_s:
        fleet.keep_running()
        time.sleep(0.1)


def _settled(fleet: Fleet, program: Rotator, size: Size) -> dict[str, str]:
    """Run on until each credential was seen at rest, or the time is up; return those that were not.

    At rest is also a pause after a failure that ends later, and a doubt that waits for its moment or for a person;
    where nobody is patient, any pause, what a dead process holds, and what waits in escrow.
    """
    ends_s = time.time() + size.settle_s
    restless = dict.fromkeys(program.deployment.names, "")
    while True:
        began_s = time.time()
        for name, (_, decision) in program.look().items():
            if name not in restless:
                continue
            restless[name] = f"{type(decision).__name__}: {decision.reason}"
            match decision:
                case policy.Due() | policy.Stale():
                    continue
                case policy.Recover() if size.patient:
                    continue  # otherwise the tokens are safe in escrow until the next pass
                case policy.CoolingDown(until=until) if size.patient and until.timestamp() < ends_s - 2.0:
                    continue
                case policy.Held(holder=holder) if size.patient or pid_of(holder) not in fleet.dead:
                    continue
            del restless[name]
        if not restless or time.time() > ends_s:
            return restless
        _run_on(fleet, max(0.3, time.time() - began_s))


def _expired_in_peace(fleet: Fleet, program: Rotator, for_s: float) -> set[str]:
    """Return which of those that are fresh now had an access token end in the store, by the audit trail."""
    began_s = time.time()
    ends: dict[str, float] = {}
    for name, (observed, decision) in program.look().items():
        tokens = stored_tokens(observed.situation.stored, observed.situation.credential.provider)
        assert not isinstance(tokens, Malformed)
        if isinstance(decision, policy.Fresh) and tokens.expires_at:
            ends[name] = tokens.expires_at.timestamp()
    _run_on(fleet, for_s)
    now_s = time.time()
    late = set()
    for event in read_events(program.deployment.audit_file):
        name, at_s = event["credential"], seconds(event)
        if name not in ends or at_s < began_s:
            continue
        if event["event"] == "rotation.in_doubt" and event.get("duration_ms", 0) >= OVER * TIMEOUT_S * 1000:
            del ends[name]  # the machine was so busy that a reply came too late: it was not all up
        elif event["event"] in {"rotation.succeeded", "escrow.replayed"}:
            late |= {name} if at_s > ends[name] else set()
            ends[name] = max(ends[name], seconds(event, "expires_at"))
    return {name for name in late if name in ends} | {name for name, end_s in ends.items() if now_s > end_s}


def _faults(fleet: Fleet) -> Counter[str]:
    deployment = fleet.program.deployment
    faults: Counter[str] = Counter(fleet.struck)
    for where, proxies in (("provider", [deployment.proxy]), ("store", deployment.backend.proxies.values())):
        for proxy in proxies:
            counted = {fate: times for fate, times in proxy.counts.items() if fate not in {"pass", "client_left"}}
            faults.update({f"{where} {fate}": times for fate, times in counted.items()})
    refused = sum(face.report.faults for face in deployment.server.faces.values())
    faults.update({"provider refused": refused} if refused else {})
    return faults
