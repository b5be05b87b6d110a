"""docs/reference/metrics.md, from the registry of a process that made a pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rotator.board import Board
from rotator.metrics import Meters
from rotator.testing.memory import EPOCH, VirtualClock
from tests.docs.reference.markdown import code, table

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

HEAD = """# Metrics

The Prometheus metrics of rotator, as its registry has them. Times are seconds since the epoch. No label holds a token,
a client id or a secret's name. How to scrape them, and what to alert on: [metrics.md](../metrics.md).
"""


def page() -> str:
    """Return the page."""
    rows = [
        (code(name), kind, ", ".join(code(label) for label in labels), text)
        for name, (kind, labels, text) in sorted(known().items())
    ]
    return f"{HEAD}\n{table(('metric', 'kind', 'labels', 'what'), rows)}"


def known() -> dict[str, tuple[str, tuple[str, ...], str]]:
    """Return by name each metric's kind, labels and text."""
    meters = Meters(VirtualClock())
    meters.begin_pass(Board(), dict)
    meters.passed(EPOCH, 1.0, 0)
    registry: CollectorRegistry = meters._registry
    found: dict[str, tuple[str, tuple[str, ...], str]] = {}
    for collector in list(registry._collector_to_names):
        of_collector: Any = collector
        for family in collector.collect():
            labels = getattr(family, "_labelnames", None) or getattr(of_collector, "_labelnames", ())
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found[name] = family.type, tuple(labels), family.documentation
    return found
