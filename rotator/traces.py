"""OpenTelemetry traces of rotations: one trace each, sent to a collector in the background.

Nobody waits for the collector: spans are queued, a full queue drops them, and the end of the process waits for the time
that it is given and no longer. Names and attributes are in `docs/metrics.md`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

from rotator import __version__
from rotator.bounded import bounded
from rotator.errors import slug
from rotator.traced import TracedEndpoint, TracedEscrow, TracedRotation, TracedSink, TracedState, TracedStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
    from opentelemetry.trace import Span as OtelSpan

    from rotator.model import Actor
    from rotator.observe import Observed
    from rotator.ports import AuditSink, Clock, Escrow, SecretStore, StateStore, TokenEndpoint
    from rotator.rotation import Rotation

FLUSH_S = 2.0
"""How long the end of a process waits for spans to be taken."""

CLIENT = "exchange"
"""The one step that is a request to somebody else's server."""

_log = logging.getLogger("rotator.traces")


class _Quiet:
    """What is open where nobody traces."""

    def note(self, **facts: str | int) -> None:
        """Do nothing."""

    def failed(self, kind: str) -> None:
        """Do nothing."""


_QUIET = _Quiet()


@dataclass(slots=True)
class _Open:
    """A span that is open in this thread, and its rotation.

    Args:
        root: The rotation's own; None for that itself.
        claimed: Of a root: whether its refresh token was claimed, or the lease taken.
    """

    name: str
    span: OtelSpan
    began_ns: int
    root: _Open | None = None
    claimed: bool = False

    def note(self, **facts: str | int) -> None:
        """See `traced.Span`."""
        for name, value in facts.items():
            self.span.set_attribute(name.replace("__", "."), value)

    def failed(self, kind: str) -> None:
        """See `traced.Span`."""
        self.span.set_status(Status(StatusCode.ERROR, kind))
        self.span.set_attribute("error.type", kind)


_OPEN: ContextVar[_Open | None] = ContextVar("rotator_span", default=None)


class Traces:
    """The traces of one process (`traced.Tracer`); they outlive a reload of its configuration. Thread-safe.

    Args:
        processor: Takes spans that have ended; must not wait for anybody.
        actor: Whose process it is.
    """

    def __init__(self, processor: SpanProcessor, actor: Actor, clock: Clock) -> None:
        own: dict[str, Any] = {
            "service.name": "rotator",
            "service.version": __version__,
            "host.name": actor.host,
            "process.pid": actor.pid,
            "rotator.mode": actor.mode,
        }
        resource = Resource.create({**own, **OTELResourceDetector().detect().attributes})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)  # which would wait for half a minute
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("rotator", __version__)
        self._clock = clock
        self._flushing = threading.Lock()

    @classmethod
    def otlp(cls, endpoint: str | None, actor: Actor, clock: Clock) -> Traces:
        """Return traces that go to a collector by OTLP over HTTP.

        Args:
            endpoint: Its base address; None is OpenTelemetry's own variables, or its default on this machine.
        """
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it would quote what a collector answers
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces" if endpoint else None)
        return cls(BatchSpanProcessor(_Told(exporter)), actor, clock)

    # ------------------------------------------------------------------------------------------------- parts

    def rotation_of(self, rotation: Rotation) -> Rotation:
        """Return the procedure, traced."""
        return TracedRotation.of(rotation, self)

    def endpoint(self, endpoint: TokenEndpoint) -> TokenEndpoint:
        """Return the endpoint with its requests in spans."""
        return TracedEndpoint(endpoint, self)

    def sink(self, sink: AuditSink) -> AuditSink:
        """Return the audit sink with its events in spans."""
        return TracedSink(sink, self)

    def store(self, store: SecretStore) -> SecretStore:
        """Return the store with the calls of rotations in spans."""
        return TracedStore(store, self)

    def state(self, state: StateStore) -> StateStore:
        """Return the state with the calls of rotations in spans."""
        return TracedState(state, self)

    def escrow(self, escrow: Escrow) -> Escrow:
        """Return the escrow with the entries that are kept in spans."""
        return TracedEscrow(escrow, self)

    # ------------------------------------------------------------------------------------------------- spans

    @contextlib.contextmanager
    def rotation(self, observed: Observed) -> Iterator[_Open]:
        """See `traced.Tracer.rotation`."""
        situation = observed.situation
        credential = situation.credential
        began_ns = _ns(observed.at)
        root = _Open("rotate", self._tracer.start_span("rotate", start_time=began_ns), began_ns)
        root.note(
            rotator__credential=credential.name,
            rotator__provider=credential.provider.name,
            rotator__store=credential.store,
            rotator__holder=situation.holder,
        )
        # It was read before anybody knew that it is due; `now` is the moment in which all was read.
        seen = self._tracer.start_span("observe", set_span_in_context(root.span), start_time=began_ns)
        seen.end(max(began_ns, _ns(situation.now)))
        with self._opened(root):
            yield root

    @contextlib.contextmanager
    def step(self, name: str, **facts: str | int) -> Iterator[_Open | _Quiet]:
        """See `traced.Tracer.step`."""
        above = _OPEN.get()
        if above is None:
            yield _QUIET
            return
        kind = SpanKind.CLIENT if name == CLIENT else SpanKind.INTERNAL
        began_ns = _ns(self._clock.now())
        span = self._tracer.start_span(name, set_span_in_context(above.span), kind=kind, start_time=began_ns)
        below = _Open(name, span, began_ns, above.root or above)
        below.note(**facts)
        with self._opened(below):
            yield below

    @contextlib.contextmanager
    def state_write(self, key: str) -> Iterator[_Open | _Quiet]:
        """See `traced.Tracer.state_write`."""
        above = _OPEN.get()
        if above is None:
            yield _QUIET
            return
        root = above.root or above
        if not key.startswith("secret/"):
            name = "note pace"
        elif above is not root:
            name = "write record"
        else:
            name = "settle" if root.claimed else "claim"
        with self.step(name) as span:
            yield span
        root.claimed = root.claimed or name == "claim"

    def in_rotation(self) -> _Open | None:
        """See `traced.Tracer.in_rotation`."""
        above = _OPEN.get()
        return above and (above.root or above)

    @contextlib.contextmanager
    def _opened(self, one: _Open) -> Iterator[None]:
        token = _OPEN.set(one)
        try:
            yield
        except BaseException as error:
            one.failed(slug(type(error)))
            raise
        finally:
            _OPEN.reset(token)
            one.span.end(max(one.began_ns, _ns(self._clock.now())))

    # ------------------------------------------------------------------------------------------------- the end

    def flush(self, within_s: float) -> None:
        """Have the collector take what has ended, as far as it does so in time."""
        if within_s <= 0 or not self._flushing.acquire(blocking=False):
            return  # a flush that was given up is still on its way

        def flushed() -> None:
            try:
                self._provider.force_flush()
            finally:
                self._flushing.release()

        bounded(flushed, within_s)

    def close(self, within_s: float = FLUSH_S) -> None:
        """Flush and end; what is not taken in time is lost."""
        if not bounded(self._provider.shutdown, within_s):
            _log.warning(
                "traces: the collector does not answer, the last ones are lost: see `endpoint`, or OTEL_… variables"
            )


class _Told(SpanExporter):
    """Says once that a collector takes nothing, and once that it does so again."""

    def __init__(self, behind: SpanExporter) -> None:
        self._behind = behind
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See `SpanExporter.export`."""
        result = self._behind.export(spans)
        failing = result is not SpanExportResult.SUCCESS
        if failing != self._failing:
            _log.warning("the collector %s", "takes no traces" if failing else "takes traces again")
        self._failing = failing
        return result

    def shutdown(self) -> None:
        """See `SpanExporter.shutdown`."""
        self._behind.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """See `SpanExporter.force_flush`."""
        return self._behind.force_flush(timeout_millis)


def _ns(instant: datetime) -> int:
    return int(instant.timestamp() * 1e6) * 1000
