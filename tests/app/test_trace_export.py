"""Traces on their way to a collector: real processes, real OTLP over HTTP, and collectors that fail or hang."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from rotator.clocks import SystemClock, this_actor
from rotator.traces import Traces
from tests.app.collectors import Collector, collecting
from tests.app.daemons import expiring
from tests.app.stage import CANARIES, poll

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.app.stage import Stage

HANGS_S = 60
"""How long the exporter itself would wait for an answer."""

ENDS_S = 20.0
"""What a process may take on a machine with other work; it is told from HANGS_S."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as server:
        yield server


@pytest.fixture
def due(real_stage: Stage, collector: Collector) -> Stage:
    """A credential that is to be rotated, on a stage whose traces go to the collector."""
    stage = real_stage
    stage.config["traces"] = {"type": "otlp", "endpoint": collector.address}
    stage.env["OTEL_EXPORTER_OTLP_TIMEOUT"] = str(HANGS_S)
    stage.ready()
    expiring(stage)
    return stage


def test_a_pass_sends_its_traces_before_it_ends(due: Stage, collector: Collector) -> None:
    """As protobuf, to the path of the signal, with the environment's headers and names; without a token."""
    due.env |= {
        "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=payments",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=staging",
    }
    ended = due.ended(due.spawn("once"))
    assert ended.code == 0
    [(path, headers, body)] = collector.requests
    assert path == "/v1/traces"
    assert headers["content-type"] == "application/x-protobuf"
    assert headers["x-tenant"] == "payments"
    [resource] = collector.resources
    assert (resource["service.name"], resource["rotator.mode"]) == ("rotator", "once")
    assert resource["deployment.environment.name"] == "staging"
    [root] = [span for span in collector.spans if not span.parent_span_id]
    assert (root.name, len(collector.spans)) == ("rotate", 10)
    assert not [canary for canary in CANARIES if canary.encode() in body]


def test_the_environment_names_service_and_collector(due: Stage, collector: Collector) -> None:
    """Where the configuration names none."""
    due.config["traces"] = {"type": "otlp"}
    due.env |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.address, "OTEL_SERVICE_NAME": "tokens"}
    assert due.ended(due.spawn("once")).code == 0
    assert collector.resources[0]["service.name"] == "tokens"


def test_a_collector_that_hangs_holds_no_pass_up(due: Stage, collector: Collector) -> None:
    """It ends after two seconds, says so, and has rotated."""
    collector.go.clear()
    began = time.monotonic()
    ended = due.ended(due.spawn("once"))
    assert time.monotonic() - began < ENDS_S
    assert ended.code == 0
    assert "traces: the collector does not answer" in ended.err
    assert due.is_live()


def test_a_collector_that_hangs_holds_no_daemon_up(due: Stage, collector: Collector) -> None:
    """Neither its rotations nor its end."""
    due.env["OTEL_BSP_SCHEDULE_DELAY"] = "100"
    collector.go.clear()
    process = due.spawn("run")
    poll(lambda: collector.requests, "spans, sent")
    poll(lambda: "rotation.succeeded" in due.event_names(), "the rotation")
    expiring(due)
    process.send_signal(signal.SIGHUP)  # it looks at once for what was edited
    poll(lambda: due.event_names().count("rotation.succeeded") == 2, "the next rotation")
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert due.ended(process).code == 0
    assert time.monotonic() - began < ENDS_S


def test_a_collector_that_takes_nothing_is_told_once(due: Stage, collector: Collector) -> None:
    """Without its words, and the pass goes on."""
    collector.status = 400
    ended = due.ended(due.spawn("once"))
    assert ended.code == 0
    assert ended.err.count("the collector takes no traces") == 1


def test_a_missing_library_is_told_by_its_extra(due: Stage) -> None:
    """Exit code 2 and how to install it, before anything is done."""
    due.save()
    code = (
        "import sys; sys.modules['opentelemetry'] = None; from rotator.cli import commands; "
        f"sys.exit(commands.run(['-c', {str(due.file)!r}, 'once']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "pip install 'rotator[otel]'" in done.stderr
    assert due.face().report.requests == 0


def test_a_flush_waits_no_longer_than_it_is_told(collector: Collector) -> None:
    """And the next one does not queue up behind it: Lambda asks after each event."""
    traces = Traces.otlp(collector.address, this_actor("lambda"), SystemClock())
    collector.go.clear()
    traces._tracer.start_span("x").end()
    began = time.monotonic()
    traces.flush(0.2)
    poll(lambda: collector.requests, "the request")
    traces.flush(30.0)
    assert time.monotonic() - began < 10.0
    collector.go.set()
    traces.close()
