"""Prometheus metrics: what a process counts as it works, and what its board shows at the moment of a scrape.

Names and labels are a contract with whoever has alerts on them; times are epoch seconds
(prometheus.io/docs/practices/naming). No label holds a token, a client id or a secret's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder

from rotator.metered import CountedEscrow, CountedEvents, MeteredEndpoint, MeteredStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from prometheus_client.metrics_core import Metric

    from rotator.board import Board, Line
    from rotator.ports import AuditSink, Clock, Escrow, SecretStore, TokenEndpoint

REQUEST_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LAG_S = (0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0)
"""Upper ends of the histograms' buckets."""

PASS = {
    "timestamp_seconds": "When the last pass ended.",
    "duration_seconds": "How long it took.",
    "exit_code": "How it ended: 0 well, 1 a person is needed, 75 something is left to the next one, 130 interrupted.",
}


class Meters:
    """The counters of one process; they outlive a reload of its configuration. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._registry = CollectorRegistry(auto_describe=True)
        self._rotations = Counter(
            "rotator_rotations", "Rotations by what became of them.", ["provider", "outcome"], registry=self._registry
        )
        self._requests = Histogram(
            "rotator_token_request_duration_seconds",
            "Requests to token endpoints, until their answer.",
            ["provider", "outcome"],
            registry=self._registry,
            buckets=REQUEST_S,
        )
        self._operations = Counter(
            "rotator_store_operations",
            "Calls of stores by what became of them.",
            ["store", "operation", "outcome"],
            registry=self._registry,
        )
        self._lag = Histogram(
            "rotator_schedule_lag_seconds",
            "From the planned moment to the one in which the work on a credential began.",
            registry=self._registry,
            buckets=LAG_S,
        )
        self._entries = CountedEscrow()
        escrow = Gauge(
            "rotator_escrow_entries",
            "Token sets that this process knows to wait in escrow for their store.",
            registry=self._registry,
        )
        escrow.set_function(lambda: float(len(self._entries)))
        self._of_board: _OfBoard | None = None
        self._pass: dict[str, Gauge] = {}

    def sink(self) -> AuditSink:
        """Return an audit sink that counts rotations."""
        return CountedEvents(lambda provider, outcome: self._rotations.labels(provider, outcome).inc())

    def endpoint(self, endpoint: TokenEndpoint) -> TokenEndpoint:
        """Return the endpoint with its requests timed."""

        def took(provider: str, outcome: str, seconds: float) -> None:
            self._requests.labels(provider, outcome).observe(seconds)

        return MeteredEndpoint(endpoint, self._clock, took)

    def store(self, store: SecretStore) -> SecretStore:
        """Return the store with its calls counted."""

        def called(operation: str, outcome: str) -> None:
            self._operations.labels(store.name, operation, outcome).inc()

        return MeteredStore(store, called)

    def escrow(self, escrow: Escrow) -> Escrow:
        """Return the escrow with its entries counted."""
        return self._entries.around(escrow)

    def lag(self, seconds: float) -> None:
        """Count how late the work on a credential began."""
        self._lag.observe(max(0.0, seconds))

    def show(self, board: Board, cooldowns: Callable[[], Mapping[str, datetime]]) -> None:
        """Take what a board shows into every scrape from now on, in place of another one.

        Args:
            cooldowns: Returns, by lane, until when nobody sends.
        """
        if self._of_board is not None:
            self._registry.unregister(self._of_board)
        self._of_board = _OfBoard(board, cooldowns, self._clock)
        self._registry.register(self._of_board)

    def begin_pass(self, board: Board, cooldowns: Callable[[], Mapping[str, datetime]]) -> None:
        """Count from nothing: what is left of a pass tells of that pass alone. `show`, besides."""
        for one in (self._rotations, self._requests, self._operations):
            one.clear()
        self.show(board, cooldowns)

    def passed(self, at: datetime, took_s: float, exit_code: int) -> None:
        """Note the end of a pass; a daemon, which makes none, has no such metrics."""
        values = {"timestamp_seconds": at.timestamp(), "duration_seconds": took_s, "exit_code": float(exit_code)}
        for name, value in values.items():
            if name not in self._pass:
                self._pass[name] = Gauge(f"rotator_last_pass_{name}", PASS[name], registry=self._registry)
            self._pass[name].set(value)

    def scrape(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics and their content type, in the best format that an `Accept` header asks for."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self._registry), content_type


class _OfBoard:
    """`prometheus_client`'s collector protocol."""

    def __init__(self, board: Board, cooldowns: Callable[[], Mapping[str, datetime]], clock: Clock) -> None:
        self._board = board
        self._cooldowns = cooldowns
        self._clock = clock

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what would be read for it is only there at a scrape."""
        return ()

    def collect(self) -> Iterator[Metric]:
        lines = self._board.lines()
        now = self._clock.now()
        yield _gauge("expiration_timestamp_seconds", "When the access token ends.", lines, lambda one: one.expires_at)
        yield _gauge("next_refresh_timestamp_seconds", "When it is refreshed next.", lines, lambda one: one.next_at)
        yield _gauge(
            "ready",
            "1 while readers have a token that works and no person is needed, else 0.",
            lines,
            lambda one: one.ready(now),
        )
        yield _gauge(
            "refresh_token_expiration_timestamp_seconds",
            "When the refresh token ends, where the provider says so.",
            lines,
            lambda one: one.grant_ends_at,
            of="",
        )
        paused = GaugeMetricFamily(
            "rotator_provider_cooldown_until_timestamp_seconds",
            "Until when nothing is sent to a provider, by its own word or after failures.",
            labels=["provider"],
        )
        latest: dict[str, float] = {}
        lanes = dict(self._board.lanes)
        for lane, until in self._cooldowns().items():
            if lane in lanes:
                latest[lanes[lane]] = max(latest.get(lanes[lane], 0.0), until.timestamp())
        for provider, until_s in latest.items():
            paused.add_metric([provider], until_s)
        yield paused


def _gauge(
    name: str,
    text: str,
    lines: Iterable[Line],
    value: Callable[[Line], datetime | bool | None],
    of: str = "credential_",
) -> Metric:
    family: Any = GaugeMetricFamily(f"rotator_{of}{name}", text, labels=["credential", "provider", "store"])
    for line in lines:
        found = value(line)
        if found is None:
            continue
        credential = line.credential
        number = float(found) if isinstance(found, bool) else found.timestamp()
        family.add_metric([credential.name, credential.provider.name, credential.store], number)
    return family  # type: ignore[no-any-return]
