"""5,000 credentials whose tokens end in the same second, and a provider that takes ten requests a second.

In virtual time, through the real daemon: its jobs run one at a time, each request takes its time on the virtual clock.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rotator import outcomes
from rotator.clocks import SystemIds
from rotator.config.load import load_config
from rotator.limits import RateLimit
from rotator.model import Document
from rotator.testing.memory import EPOCH, SeededRandomness, VirtualClock
from rotator.wiring import Surroundings, build
from tests.benchmarks import generated, inside
from tests.benchmarks.figures import most_in_window
from tests.benchmarks.fleets import CLIENT_ID, ENVIRONMENT, NOT_FLUSHED, document, name_of
from tests.benchmarks.stubs.token_endpoint import LIFETIME_S

COUNT = 5_000
LIMIT = 10
PER_S = 1.0
TAKES_S = 0.05
"""Of a request, on the virtual clock. One after the other they are twice as fast as the limit."""

SPARE = 1.02
"""How much longer the tokens live than the limit needs for all of them: a daemon that waits for their margins is too
late, and one that does not keep to the limit is not held back by anything else."""


@dataclass(slots=True)
class Kept:
    """How long before its end each access token was replaced, in seconds; negative is too late."""

    left_s: dict[str, float] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


def measure(count: int = COUNT, limit: int = LIMIT, spare: float = SPARE, claims: int = 0) -> dict[str, Any]:
    """Return how many tokens expired, and how many requests went beyond the limit."""
    began_s = time.process_time()
    with tempfile.TemporaryDirectory() as name:
        generated.plug_in(Path(name))
        sys.path.insert(0, name)
        clock = VirtualClock()
        endpoint = generated.Endpoint(clock, TAKES_S)
        app = inside.with_endpoint(_app(clock, count, {"requests": limit, "per": f"{PER_S}s"}, claims), endpoint)
        needed_s = count * RateLimit(limit, PER_S).interval_s
        ends_s = clock.now().timestamp() + round(spare * needed_s)
        store: Any = app.stores["main"]
        store._made = _all_alike(ends_s)  # one second for all, whatever their jitter makes of it
        kept = _run(app, clock, count, ends_s)
        sys.path.remove(name)
    return {
        "credentials": count,
        "limit_per_s": limit,
        "refreshed": len(kept.left_s),
        "expired": count - sum(left_s > 0 for left_s in kept.left_s.values()),
        "over_limit": max(0, most_in_window(endpoint.asked_s, PER_S) - limit),
        "requests": len(endpoint.asked_s),
        "reused": endpoint.reused,
        "least_left_s": min(kept.left_s.values(), default=0.0),
        "most_left_s": max(kept.left_s.values(), default=0.0),
        "others": kept.others[:3],
        "cpu_s": time.process_time() - began_s,
    }


def _run(app: inside.App, clock: VirtualClock, count: int, ends_s: float) -> Kept:
    """Run the daemon until every token was replaced, or has ended."""
    kept = Kept()

    def tell(outcome: outcomes.Outcome) -> None:
        if isinstance(outcome, outcomes.Rotated):
            kept.left_s.setdefault(outcome.name, ends_s - clock.now().timestamp())
        else:
            kept.others.append(repr(outcome))
        if len(kept.left_s) == count or clock.now().timestamp() > ends_s + LIFETIME_S:
            daemon.stop()

    daemon = inside.virtual_daemon(app, clock, tell, lambda *_, **__: None)
    daemon.run()
    return kept


def _all_alike(ends_s: float) -> Any:
    issued_s = int(ends_s) - LIFETIME_S

    def made(secret: str, _: int) -> tuple[int, Document, datetime]:
        return 1, Document(document(secret, issued_s)), datetime.fromtimestamp(issued_s, UTC)

    return made


def _app(clock: VirtualClock, count: int, limit: dict[str, Any], claims: int) -> inside.App:
    generic = {"profile": "generic", "token_endpoint": "http://127.0.0.1:9/token"}
    config = {
        "version": 1,
        "stores": {"main": {"type": "generated", "first_due_s": EPOCH.timestamp(), "per_s": 1.0, "due": 0}},
        "state": {"type": "generated", "claims": claims},
        "seal": {"key_env": "BENCH_SEAL_KEY"},
        "audit": [{"type": "jsonl", "path": NOT_FLUSHED}],
        "workers": 16,
        "providers": {"acme": {**generic, "rate_limit": limit}},
        "credentials": [
            {"name": name_of(number), "provider": "acme", "client_id": CLIENT_ID} for number in range(count)
        ],
    }
    settings = load_config(json.dumps(config), ENVIRONMENT)
    return build(settings, "daemon", Surroundings(ENVIRONMENT, clock, SystemIds(), SeededRandomness()))
