"""docs/reference says what the code says."""

from __future__ import annotations

from tests.docs.pages import REFERENCE
from tests.docs.reference import codes, commands, events, metrics, pages, settings


def test_the_reference_is_what_the_code_says() -> None:
    """Every page of docs/reference is as the generator writes it, and there is no other."""
    stored = {page.name: page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md")}
    written = pages()
    stale = sorted(name for name in stored.keys() | written.keys() if stored.get(name) != written.get(name))
    assert stale == [], "docs/reference is stale: run make docs"


def test_every_setting_is_described() -> None:
    """Each key of the configuration has its line under `Args:` in the docstring of its section."""
    assert settings.undescribed() == []


def test_every_event_and_field_is_described() -> None:
    """Each audit event, and each field that the code records, has its meaning (`tests/docs/reference/events.py`)."""
    assert events.undescribed() == []


def test_every_code_and_state_is_described() -> None:
    """Each exit code and each state has its meaning (`tests/docs/reference/codes.py`)."""
    assert codes.undescribed() == []


def test_every_variable_is_described() -> None:
    """Each environment variable that the code reads has its meaning (`tests/docs/reference/commands.py`)."""
    assert commands.undescribed() == []


def test_every_metric_is_described() -> None:
    """Each metric has a text, and a kind that Prometheus knows."""
    assert [name for name, (kind, _, text) in metrics.known().items() if not text or kind == "unknown"] == []
