"""The whole of rotator on local files, for surfaces that need it; it sends nothing, for nobody listens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rotator.clocks import SystemIds, SystemRandom
from rotator.config import load_config
from rotator.testing.memory import VirtualClock
from rotator.wiring import App, Surroundings, build
from tests.fuzz.leaks import PROCESS

if TYPE_CHECKING:
    from pathlib import Path

    from rotator.model import Mode


def local_app(folder: Path, mode: Mode = "once", **changes: Any) -> App:
    """Return the parts over files in a folder, with the one credential `one`."""
    env = {"CLIENT_SECRET": PROCESS}
    content = {
        "version": 1,
        "stores": {"main": {"type": "local", "path": str(folder / "secrets.db")}},
        "state": {"type": "local", "path": str(folder / "state.db")},
        "escrow": {"type": "file", "path": str(folder / "escrow")},
        "audit": [{"type": "jsonl", "path": str(folder / "audit.jsonl")}],
        "workers": 1,
        "providers": {"acme": {"profile": "generic", "token_endpoint": "http://127.0.0.1:9/token"}},
        "credentials": [{"name": "one", "provider": "acme", "client_secret": {"env": "CLIENT_SECRET"}}],
        **changes,
    }
    surroundings = Surroundings(env, VirtualClock(), SystemIds(), SystemRandom(), 1.0)
    return build(load_config(json.dumps(content), env), mode, surroundings)
