"""What falls on a fleet does what it says: the proxy's fates, and the plans drawn from a seed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import requests

from rotator.testing.sandbox import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, SandboxServer, auth0_face
from tests.chaos.proxy import Proxy
from tests.chaos.scenarios import SCENARIOS, plan

if TYPE_CHECKING:
    from tests.chaos.proxy import Fate


def refreshed(server: SandboxServer, proxy: Proxy) -> int | None:
    """Present a new login's refresh token through the proxy; return the status, None if no whole reply came."""
    form = {
        "grant_type": "refresh_token",
        "refresh_token": server.face("auth0").login(DEFAULT_CLIENT_ID)["refresh_token"],
        "client_id": DEFAULT_CLIENT_ID,
        "client_secret": DEFAULT_CLIENT_SECRET,
    }
    try:
        response = requests.post(f"{proxy.url}/oauth/token", data=form, timeout=5)
    except requests.exceptions.RequestException:
        return None
    if response.status_code == 200:
        assert response.json()["refresh_token"]
    return response.status_code


@pytest.mark.parametrize(
    ("fate", "status", "processed"),
    [
        ("pass", 200, 1),
        ("delay", 200, 1),
        ("drip", 200, 1),
        ("cut_before", None, 0),
        ("reset_before", None, 0),
        ("gateway_before", 502, 0),
        ("cut_after", None, 1),
        ("reset_after", None, 1),
        ("truncate", None, 1),
        ("gateway_after", 502, 1),
    ],
)
def test_a_fate_happens_to_a_request(fate: Fate, status: int | None, processed: int) -> None:
    """Each fate shows the client what it says, reaches the provider or not, and is remembered."""
    with (
        SandboxServer([auth0_face()]) as server,
        Proxy(server.url, 1, {fate: 1.0}, keep=True, note=re.compile(rb"grant_type=(\w+)")) as proxy,
    ):
        assert refreshed(server, proxy) == status
        assert sum(server.face("auth0").report.processed.values()) == processed
        [exchange] = proxy.exchanges
        assert exchange.fate == fate
        assert exchange.lost_after_answer == (processed == 1 and status != 200)
        assert list(proxy.noted) == (["refresh_token"] if processed else [])


def test_a_seed_draws_the_same_blows_for_every_program() -> None:
    """The same seed gives the same plan, another seed another one; all blows fall in the time given."""
    mixed = SCENARIOS["mixed"]
    first = plan(mixed, 1, 90.0, 200, 33.0)
    assert first == plan(mixed, 1, 90.0, 200, 33.0)
    assert first != plan(mixed, 2, 90.0, 200, 33.0)
    assert {step.kind for step in first} == {"kill", "pause", "outage", "person"}
    assert all(0 <= step.at_s < 90 for step in first)
    assert {step.slot for step in first} <= {0, 1, 2, 3}


def test_a_long_plan_has_a_pause_beyond_the_lease() -> None:
    """Where there is time for it, one daemon sleeps longer than its lease lasts, and wakes before the end."""
    [longest] = [step for step in plan(SCENARIOS["mixed"], 1, 90.0, 200, 33.0) if step.for_s > 33.0]
    assert longest.kind == "pause"
    assert longest.at_s + longest.for_s < 90.0
