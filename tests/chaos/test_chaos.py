"""Whole fleets of real processes, killed, paused and cut off at random: no token is lost but for a cause from outside.

ROTATOR_CHAOS_SECONDS makes the chaos longer (then with pauses beyond the lease), ROTATOR_CHAOS_SEED changes it.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest

from rotator import aws_session
from rotator.testing.sandbox import DEFAULT_CLIENT_SECRET, SandboxServer
from tests.chaos import backends
from tests.chaos.fleet import LEASE_S, Fleet, faces
from tests.chaos.leaks import leaks
from tests.chaos.proxy import Proxy
from tests.chaos.verdict import Judge, issued

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.chaos.backends import Backend

CHAOS_S = float(os.environ.get("ROTATOR_CHAOS_SECONDS", "12"))
SEED = int(os.environ.get("ROTATOR_CHAOS_SEED", "1"))
LONG = CHAOS_S >= 60
LIFETIME_S = 24 if LONG else 12
CREDENTIALS = 21
SETTLE_S = 130.0 if LONG else LEASE_S + 3.0
"""In the short run nobody waits for the minute after a failure: a pause that ends later is at rest."""


pytestmark = pytest.mark.xdist_group("chaos")  # one fleet at a time: two would starve each other of processor time


def prove(folder: Path, backend: Backend) -> None:
    """Run a fleet through chaos, let it settle, and judge."""
    with SandboxServer(faces(LIFETIME_S)) as server:
        proxy = Proxy(server.url, SEED, {}, unhurried=(b"POST /oauth2/token",), keep=True)
        with proxy:
            fleet = Fleet(folder, backend, server, proxy, SEED, CREDENTIALS)
            try:
                fleet.chaos(CHAOS_S, long_pauses=LONG)
                fleet.heal()
                app = fleet.app()
                restless = fleet.settled(app, SETTLE_S)
                expired = fleet.expired_in_peace(app, 2.0 * LIFETIME_S if LONG else 3.0)
                codes = fleet.end()
            finally:
                fleet.kill_all()
            verdict = Judge(fleet, app).verdict()
        print(f"\nseed {SEED}, {CHAOS_S} s of chaos\n{verdict}")  # noqa: T201 - shown with -s, and when it fails
        assert server.failures == ()
    assert verdict.broken == []
    assert restless == {}
    assert expired == set()
    assert codes == [0] * fleet.daemons
    secrets = [DEFAULT_CLIENT_SECRET, *(text for name, text in backend.env.items() if name != "AWS_DEFAULT_REGION")]
    assert leaks(folder, issued(fleet), [text for text in secrets if len(text) > 8]) == []
    tracebacks = [path.name for path in folder.glob("*.err") if b"Traceback" in path.read_bytes()]
    assert tracebacks == []
    assert sum(verdict.numbers["rotations"].values()) > CREDENTIALS


@pytest.mark.timeout(CHAOS_S + SETTLE_S + 180)
def test_a_fleet_on_local_files_survives_chaos(tmp_path: Path) -> None:
    """Daemons and passes that share local files lose no login and spend no token twice, whatever is killed."""
    folder = tmp_path / "fleet"
    prove(folder, backends.local(folder))


@pytest.mark.timeout(CHAOS_S + SETTLE_S + 240)
@pytest.mark.parametrize("where", ["aws", "vault"])
def test_a_fleet_on_remote_stores_survives_chaos(
    tmp_path: Path,
    where: str,
    request: pytest.FixtureRequest,
    new_name: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Replicas that share only remote stores, with connections that break, keep the same promises."""
    monkeypatch.setattr(aws_session, "_SHARED", [])
    with contextlib.ExitStack() as stack:
        if where == "aws":
            urls = (request.getfixturevalue("moto_url"), request.getfixturevalue("ministack_url"))
            backend = stack.enter_context(backends.aws(*urls, new_name("chaos"), SEED))
        else:
            backend = stack.enter_context(backends.vault(SEED))
        for name, text in backend.env.items():
            monkeypatch.setenv(name, text)
        prove(tmp_path / "fleet", backend)
