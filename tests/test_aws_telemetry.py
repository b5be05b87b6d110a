"""What a Lambda invocation leaves behind: metrics at a Pushgateway, and traces at a collector."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from rotator import aws_events
from tests.app.collectors import Collector, collecting
from tests.app.pushgateway import Gateway, gateway
from tests.app.test_listener import samples
from tests.integration.conftest import table
from tests.test_aws_events import Context, deployed, names, sandbox, seed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rotator.testing.sandbox import SandboxServer

__all__ = ["deployed", "gateway", "names", "sandbox", "table"]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as server:
        yield server


def configure(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ROTATOR_CONFIG_YAML", os.environ["ROTATOR_CONFIG_YAML"] + text)


def test_a_pass_over_all_is_pushed_and_counts_that_pass_alone(
    deployed: SandboxServer, names: list[str], gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the sandbox of Lambda is the same; a pass over some is not pushed, for it would erase the others."""
    configure(monkeypatch, f"\nmetrics: {{textfile: /none/x.prom, push: {{url: '{gateway.address}'}}}}\n")
    seed(deployed, due=True)
    aws_events.handler({}, Context(300))
    aws_events.handler({"names": names[:1]}, Context(300))
    aws_events.handler({}, Context(300))
    (_, path, _, first), (_, _, _, second) = gateway.pushed
    assert path == "/metrics/job/rotator/instance/lambda"
    assert samples(first)["rotator_rotations_total", "succeeded", "dailypay"] == 2.0
    assert samples(first)["rotator_last_pass_exit_code",] == 0.0
    assert not [key for key in samples(second) if key[0] == "rotator_rotations_total"]
    assert samples(second)["rotator_credential_ready", names[0], "dailypay", "main"] == 1.0


def test_nothing_waits_longer_than_the_function_may_run(
    deployed: SandboxServer,
    gateway: Gateway,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With 1.2 s left a gateway that hangs is given up after 0.2 s, and so is a collector."""
    configure(
        monkeypatch,
        f"\nmetrics: {{push: {{url: '{gateway.address}', timeout: 30s}}}}\n"
        f"traces: {{type: otlp, endpoint: '{collector.address}'}}\n",
    )
    seed(deployed, due=False)
    aws_events.handler({}, None)  # what is loaded on use
    gateway.go.clear()
    collector.go.clear()
    began = time.monotonic()
    report = aws_events.handler({}, Context(1.2))
    assert time.monotonic() - began < 10.0
    assert report["fresh"] == 2
    assert "metrics were not pushed" in capsys.readouterr().err


def test_traces_are_sent_before_lambda_holds_the_process_still(
    deployed: SandboxServer, names: list[str], collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With each event."""
    configure(monkeypatch, f"\ntraces: {{type: otlp, endpoint: '{collector.address}'}}\n")
    seed(deployed, due=True)
    aws_events.handler({}, Context(300))
    roots = [span for span in collector.spans if not span.parent_span_id]
    found = [{one.key: one.value.string_value for one in root.attributes} for root in roots]
    assert sorted(one["rotator.credential"] for one in found) == sorted(names)
    assert collector.resources[0]["rotator.mode"] == "lambda"
