"""(c): how long after its due instant a credential's job begins, and what that costs, through the real daemon.

Stores, state and token endpoint are made up in memory, so that the scheduler is what is measured; the whole procedure
runs, and the audit trail is on disk. A job has begun when it reads its document, which is the first thing it does.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rotator import outcomes
from rotator.clocks import SystemClock
from rotator.config.load import load_config
from rotator.wiring import Surroundings, build
from tests.benchmarks import generated, inside
from tests.benchmarks.figures import percentile
from tests.benchmarks.fleets import CLIENT_ID, ENVIRONMENT, NOT_FLUSHED, name_of

WORKERS = 16
LEAST_LEAD_S = 3.0
SETTLE_S = 1.0
"""Between the end of the start and the first credential that falls due."""

PATIENCE_S = 60.0
"""How long after the last one fell due the rest is waited for."""

TICK_S = 0.05


@dataclass(slots=True)
class Heard:
    """What the daemon told."""

    running: threading.Event = field(default_factory=threading.Event)
    rotated: int = 0
    others: list[str] = field(default_factory=list)

    def tell(self, outcome: outcomes.Outcome) -> None:
        """Count an outcome; called in one thread."""
        if isinstance(outcome, outcomes.Rotated):
            self.rotated += 1
        elif not isinstance(outcome, outcomes.Fresh):
            self.others.append(repr(outcome))

    def note(self, text: str, **_: Any) -> None:
        """Wait for the start."""
        if text == "running":
            self.running.set()


def measure(
    count: int, per_s: float, seconds: float, claims: int, *, flushed: bool, lead_s: float = LEAST_LEAD_S
) -> dict[str, Any]:
    """Return lag and processor time; the fleet falls due only after the daemon has started, however long that takes.

    Args:
        lead_s: How long it presumably takes; if it takes longer, all begins anew.
        flushed: Whether the audit trail goes to disk with every event.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generated.plug_in(folder)
        sys.path.insert(0, name)
        while True:
            found = _tried(folder, count, per_s, min(seconds, 0.9 * count / per_s), claims, flushed, lead_s)
            if "lag_ms" in found:
                return found
            lead_s = 2 * found["start_s"] + LEAST_LEAD_S


def _tried(
    folder: Path, count: int, per_s: float, seconds: float, claims: int, flushed: bool, lead_s: float
) -> dict[str, Any]:
    first_due_s = time.time() + lead_s
    due = round(per_s * seconds)
    app = _app(folder, count, {"first_due_s": first_due_s, "per_s": per_s, "due": due}, claims, flushed)
    heard = Heard()
    daemon = inside.daemon(app, heard.tell, heard.note)
    thread = threading.Thread(target=daemon.run)
    began_s = time.time()
    thread.start()
    try:
        heard.running.wait()
        start_s = time.time() - began_s
        if time.time() > first_due_s - SETTLE_S:
            return {"start_s": start_s}
        _sleep_until(first_due_s)
        cpu_s, idle_s = time.process_time(), time.time()
        _sleep_until(first_due_s + seconds)
        cpu_share = (time.process_time() - cpu_s) / (time.time() - idle_s)
        ends_s = time.time() + PATIENCE_S
        while heard.rotated < due and time.time() < ends_s:
            time.sleep(TICK_S)
        took_s = time.time() - first_due_s
    finally:
        daemon.stop()
        thread.join()
    store: Any = app.stores["main"]
    lags = [(store.begun_s[number] - store.due_at_s(number)) * 1000 for number in sorted(store.begun_s)]
    return {
        "due": due,
        "per_s": per_s,
        "seconds": seconds,
        "rotated": heard.rotated,
        "others": heard.others[:3],
        "reused": app.endpoint.reused,  # type: ignore[attr-defined]  # the endpoint of `generated`
        "lag_ms": {name: percentile(lags, share) for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))},
        "cpu_share": cpu_share,
        "took_s": took_s,
        "start_s": start_s,
    }


def _app(folder: Path, count: int, store: dict[str, Any], claims: int, flushed: bool) -> inside.App:
    config = {
        "version": 1,
        "stores": {"main": {"type": "generated", **store}},
        "state": {"type": "generated", "claims": claims},
        "seal": {"key_env": "BENCH_SEAL_KEY"},
        "audit": [{"type": "jsonl", "path": str(folder / "audit.jsonl") if flushed else NOT_FLUSHED}],
        "workers": WORKERS,
        "providers": {"acme": {"profile": "generic", "token_endpoint": "http://127.0.0.1:9/token"}},
        "credentials": [
            {"name": name_of(number), "provider": "acme", "client_id": CLIENT_ID} for number in range(count)
        ],
    }
    app = build(load_config(json.dumps(config), ENVIRONMENT), "daemon", Surroundings.real(ENVIRONMENT))
    return inside.with_endpoint(app, generated.Endpoint(SystemClock()))


def _sleep_until(epoch_s: float) -> None:
    time.sleep(max(0.0, epoch_s - time.time()))
