"""Collectors of traces: one in memory, and one over real OTLP/HTTP that reads protobuf, or hangs."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rotator.clocks import this_actor
from rotator.traces import Traces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from rotator.ports import Clock


class Memory:
    """Traces that are kept here, each span at once."""

    def __init__(self, clock: Clock) -> None:
        self._exporter = InMemorySpanExporter()
        self.traces = Traces(SimpleSpanProcessor(self._exporter), this_actor("once"), clock)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    @property
    def roots(self) -> list[ReadableSpan]:
        return [span for span in self.spans if span.parent is None]

    def below(self, above: ReadableSpan) -> list[ReadableSpan]:
        """Return the spans right below one, in the order in which they ended."""
        return [one for one in self.spans if one.parent and one.parent.span_id == above.context.span_id]

    def tree(self, above: ReadableSpan) -> list[Any]:
        """Return the names below a span, in order; with those below them, where there are any."""
        return [(one.name, self.tree(one)) if self.below(one) else one.name for one in self.below(above)]

    def text(self) -> str:
        """Return all that would leave."""
        return "\n".join(span.to_json() for span in self.spans)


class Collector(ThreadingHTTPServer):
    """Takes traces by OTLP over HTTP, while `go` is set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 200
        self.go = threading.Event()
        self.go.set()

    @property
    def spans(self) -> list[Any]:
        return [
            span
            for _, _, body in self.requests
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def resources(self) -> list[dict[str, str]]:
        return [
            {one.key: one.value.string_value for one in resource.resource.attributes}
            for _, _, body in self.requests
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        ]


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.path, headers, body))
        self.server.go.wait(60)
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector for the length of the block."""
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.go.set()
            server.shutdown()
            thread.join()
