"""What the provider, the proxies, the audit trail and the driver noted about each presentation of a refresh token."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rotator.records import digest_of
from rotator.redact import Secret
from tests.chaos.deployment import TIMEOUT_S
from tests.chaos.proxy import CUT

if TYPE_CHECKING:
    from pathlib import Path

    from rotator.testing.sandbox import Face
    from tests.chaos.deployment import Deployment, Rotator
    from tests.chaos.fleet import Blow, Fleet
    from tests.chaos.proxy import Exchange

KEPT_WITHIN_S = 5.0
"""Where the escrow is a file, nobody sees when a reply's tokens became durable. On a busy machine it may take so long;
a kill within that time may have hit between the answer and the escrow. Where the escrow is in the state, the proxy
before the state saw it."""

OVER = 0.95
"""A request that took this share of its timeout, by rotator's own clock, ended because its time was over."""

TOKEN = re.compile(rb"sandbox_rt_[0-9a-f]+")


@dataclass(slots=True)
class Presented:
    """One presentation of a refresh token that the provider answered with new tokens.

    Args:
        cause: Why its reply may never have become durable; empty when nothing from outside explains it.
    """

    token: str
    exchange: Exchange
    pid: int | None
    rotation_id: str
    cause: str


class Facts:
    """Reads what was noted. Times are wall-clock and of one machine."""

    def __init__(self, fleet: Fleet, program: Rotator) -> None:
        self.fleet = fleet
        self.program = program
        self.events = read_events(program.deployment.audit_file)
        self._durable: dict[str, float] = {}
        for proxy in program.deployment.backend.proxies.values():
            self._durable |= proxy.noted
        self._started: defaultdict[str, list[tuple[float, int, str]]] = defaultdict(list)
        self._doubts: dict[str, float] = {}
        for event in self.events:
            if event["event"] == "rotation.started":
                key = event["refresh_token_digest"]
                self._started[key].append((seconds(event), event["actor"]["pid"], event["rotation_id"]))
            elif event["event"] == "rotation.in_doubt":
                self._doubts[event["rotation_id"]] = event.get("duration_ms", 0) / 1000
        self.presented: defaultdict[str, list[Presented]] = defaultdict(list)
        for exchange in program.deployment.proxy.exchanges:
            found = TOKEN.search(bytes(exchange.request))
            if found and exchange.status == b"200":
                token = found[0].decode()
                self.presented[token].append(self._presented(token, exchange))

    @property
    def escrow_seen(self) -> bool:
        """Whether the proxies saw each entry on its way into the escrow."""
        return bool(self.program.deployment.backend.proxies)

    def _presented(self, token: str, exchange: Exchange) -> Presented:
        started = self._started[self.program.app.seal.audit_digest(token)]
        before = [one for one in started if one[0] <= exchange.began_s + 0.01]
        _, pid, rotation_id = max(before) if before else (0.0, None, "")
        return Presented(token, exchange, pid, rotation_id, self._cause(token, exchange, pid, rotation_id))

    def _cause(self, token: str, exchange: Exchange, pid: int | None, rotation_id: str) -> str:
        if exchange.fate in CUT:
            return "reply cut"
        blows = [blow for blow in self.fleet.blows if blow.pid == pid]
        if any(self._before_escrow(token, exchange, blow) for blow in blows if blow.until_s is None):
            return "killed before the escrow"
        if self._doubts.get(rotation_id, 0.0) >= OVER * TIMEOUT_S:
            hit = [blow for blow in blows if blow.until_s and blow.until_s >= exchange.began_s - TIMEOUT_S]
            return "paused beyond the timeout" if hit else "timeout"
        return ""

    def _before_escrow(self, token: str, exchange: Exchange, kill: Blow) -> bool:
        if self.escrow_seen:
            durable_s = self._durable.get(digest_of(Secret(token)))
            return durable_s is None or kill.from_s <= durable_s
        arrived_s = exchange.delivered_s or exchange.answered_s or exchange.began_s
        return kill.from_s <= arrived_s + KEPT_WITHIN_S


def read_events(path: Path) -> list[dict[str, Any]]:
    """Return the audit trail; a line that a killed process left half done is the only one that may be broken."""
    events = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return events


def seconds(event: dict[str, Any], key: str = "ts") -> float:
    """Return an event's time."""
    return datetime.fromisoformat(event[key]).timestamp()


def refresh_tokens(face: Face) -> list[str]:
    """Return every refresh token that a tenant issued."""
    return list(face._book._refresh_tokens)


def issued(deployment: Deployment) -> list[str]:
    """Return every token that the sandbox issued."""
    books = [face._book for face in deployment.server.faces.values()]
    return [text for book in books for text in (*book._refresh_tokens, *book._access_tokens)]
