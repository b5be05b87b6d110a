"""The budget of a provider: reserved slots, and what the provider itself counts."""

from __future__ import annotations

import itertools
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from rotator.errors import StoreWriteInDoubt
from rotator.limits import RateLimit
from rotator.observe import Observed
from rotator.testing.sandbox import DEFAULT_CLIENT_ID
from rotator.token_endpoint import HttpTokenEndpoint
from tests.app.stage import poll

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rotator.budget import Budget
    from tests.app.stage import Stage

LIMIT = RateLimit(requests=5, per_s=1.0)


def budget_of(stage: Stage) -> Budget:
    """The budget as a process of its own would hold it."""
    if not stage.config["credentials"]:
        stage.credential()
    return stage.app().budget


def test_slots_of_two_processes_keep_their_distance(stage: Stage) -> None:
    """Reservations of two processes follow each other, never closer than the limit's own spacing."""
    first, second = budget_of(stage), budget_of(stage)

    slots = [*first.reserve("provider/x", LIMIT, 3), *second.reserve("provider/x", LIMIT, 2)]
    slots += first.reserve("provider/x", LIMIT, 1)

    assert slots[0] == stage.clock.now()
    assert all(later - earlier >= timedelta(seconds=0.2) for earlier, later in itertools.pairwise(slots))
    assert len(slots) == 6


def test_time_that_passed_is_not_made_up_for(stage: Stage) -> None:
    """After a quiet while the next slot is now, not one of those that nobody took."""
    budget = budget_of(stage)
    budget.reserve("provider/x", LIMIT, 1)
    stage.advance(100)

    assert budget.reserve("provider/x", LIMIT, 1) == [stage.clock.now()]


def test_slots_begin_after_the_cooldown(stage: Stage) -> None:
    """A provider that asked for a pause gets no slot before its end."""
    stage.provider("acme", rate_limit={"requests": 5, "per": "1s"})
    stage.ready()
    stage.until_due()
    stage.face().fault("rate_limited", wait_s=50)
    stage.cli("once")
    app = stage.app()
    [key] = [key for key in app.state.keys("provider/")]  # noqa: C416 - a port's method, not a mapping's

    [slot] = app.budget.reserve(key, LIMIT, 1)

    assert slot >= stage.clock.now() + timedelta(seconds=50)


def test_a_reservation_whose_answer_was_lost_is_made_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is unknown whether a reservation was written, later slots are taken: none is used twice."""
    stage.credential()
    app = stage.app()
    real = app.state.compare_and_swap

    def lost(key: str, body: Mapping[str, Any], *, expected: int) -> int:
        monkeypatch.undo()
        real(key, body, expected=expected)
        raise StoreWriteInDoubt("the answer was lost")

    monkeypatch.setattr(app.state, "compare_and_swap", lost)

    slots = app.budget.reserve("provider/x", LIMIT, 2)

    assert slots[0] >= stage.clock.now() + timedelta(seconds=0.4)
    assert budget_of(stage).reserve("provider/x", LIMIT, 1)[0] > slots[-1]


def test_two_processes_together_keep_to_the_providers_limit(real_stage: Stage) -> None:
    """Two passes at once over one state: the provider, which counts strictly, refuses not one request."""
    stage = real_stage
    stage.face().settings.rate_limit = RateLimit(requests=8, per_s=1.0)
    stage.provider("acme", rate_limit={"requests": 8, "per": "1s"}, timeout="10s")
    names = [f"credential-{number}" for number in range(24)]
    stage.ready(*names)

    halves = [[word for name in names[start::2] for word in ("--name", name)] for start in (0, 1)]
    processes = [stage.spawn("once", "--force", "--json", *half) for half in halves]
    ended = [stage.ended(process) for process in processes]

    report = stage.face().report
    assert [(one.code, len(one.json["rotated"])) for one in ended] == [(0, 12), (0, 12)]
    assert (report.refreshes, report.rejected_over_rate, report.sent_too_early) == (24, 0, 0)
    assert report.spent_twice == ()


def test_threads_that_reserve_at_once_get_slots_that_differ(stage: Stage) -> None:
    """No slot goes to two of the threads that reserve at the same time."""
    budget = budget_of(stage)
    slots: list[Any] = []
    threads = [threading.Thread(target=lambda: slots.extend(budget.reserve("provider/x", LIMIT, 2))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    poll(lambda: len(slots) == 12, "all reservations")

    assert len(set(slots)) == 12


@pytest.mark.parametrize("client_id", ["configured", "document"])
def test_an_entry_without_a_limit_does_not_lift_the_limit_of_another(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, client_id: str
) -> None:
    """Two providers' entries lead to one endpoint and client, one with a limit: it holds for all that goes there."""
    stage.provider("acme", rate_limit={"requests": 1, "per": "10s"})
    stage.provider("plain")
    configured = {} if client_id == "configured" else {"client_id": None}
    for name, provider in (("alpha", "plain"), ("beta", "acme"), ("gamma", "acme"), ("delta", "plain")):
        stage.credential(name, provider=provider, **configured)
        stage.seed(name, client_id=DEFAULT_CLIENT_ID)
    stage.until_due()
    sent_s: list[float] = []
    real = HttpTokenEndpoint.refresh

    def noted(self: Any, request: Any, **more: Any) -> Any:
        sent_s.append(stage.clock.monotonic_s())
        return real(self, request, **more)

    monkeypatch.setattr(HttpTokenEndpoint, "refresh", noted)
    app = stage.app()
    app.passes.run(app.credentials, horizon_s=0.0)

    assert len(sent_s) == 4
    assert all(later - earlier >= 10.0 for earlier, later in itertools.pairwise(sent_s)), sent_s


def test_starts_are_planned_by_the_strictest_limit_of_a_client(stage: Stage) -> None:
    """The limit of one entry moves the starts of another entry's credentials too, so that all keep their deadlines."""
    stage.provider("acme", rate_limit={"requests": 1, "per": "60s"})
    stage.provider("plain")
    for name in ("alpha", "beta", "gamma"):
        stage.ready(name, provider="plain")
    stage.credential("delta", provider="acme")
    app = stage.app()

    seen = app.passes._started_early(app.passes.look(app.credentials[:3]))
    starts = [one.situation.start_at for _, one in seen if isinstance(one, Observed)]

    assert all(later - earlier >= timedelta(seconds=60) for earlier, later in itertools.pairwise(sorted(starts)))  # type: ignore[type-var, operator]
    assert len(starts) == 3
