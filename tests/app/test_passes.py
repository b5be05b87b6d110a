"""Passes and the dispatcher below them: what is begun when, in which order, and what holds what up."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from rotator import outcomes
from rotator.bell import Stop
from rotator.dispatch import Dispatcher
from rotator.errors import StoreUnavailable
from rotator.job import Job
from rotator.limits import RateLimit
from rotator.observe import Observed, Observer
from rotator.rotation import Rotation
from rotator.testing.sandbox import DEFAULT_CLIENT_ID, Client
from tests.app import situations
from tests.app.stage import WAIT_S, poll

if TYPE_CHECKING:
    import pytest

    from rotator.model import Credential
    from rotator.outcomes import Outcome
    from tests.app.stage import Stage


def two_lanes(stage: Stage) -> None:
    """Two credentials at one provider, `alpha` and `beta`, and one at another, `gamma`; all due."""
    stage.ready("alpha", "beta")
    stage.provider("other", face="dailypay")
    stage.credential("gamma", provider="other")
    stage.seed("gamma", face="dailypay")
    stage.until_due()


def run(stage: Stage, **options: Any) -> dict[str, Outcome]:
    app = stage.app()
    results = app.passes.run(app.credentials, **{"horizon_s": 900.0, **options})
    assert len(results) == len(app.credentials)
    return {outcome.name: outcome for outcome in results}


# ------------------------------------------------------------------------------------------------ the look


def test_a_look_keeps_all_threads_busy(stage: Stage) -> None:
    """Each thread gets its share, in whole calls of the store: three threads read four each, two with each call."""
    stage.ready(*(f"credential-{number:02d}" for number in range(12)))
    app = stage.app()
    stores: Any = app.stores
    real: Any = stores["main"]
    chunks: list[int] = []

    def read_many(secrets: Any) -> Any:
        chunks.append(len(secrets))
        return real.read_many(secrets)

    stores._made["main"] = SimpleNamespace(batch=2, read=real.read, read_many=read_many)
    assert len(replace(app.passes, workers=4).look(app.credentials)) == 12
    assert chunks == [4, 4, 4]


# ------------------------------------------------------------------------------------------------ the end of a pass


def test_a_pass_that_is_stopped_before_it_begins_starts_nothing(stage: Stage) -> None:
    """With `stop` set, nothing is claimed and nothing is sent; what was due is deferred."""
    two_lanes(stage)
    stop = Stop()
    stop.want()

    results = run(stage, stop=stop)

    assert {outcome.reason for outcome in results.values() if isinstance(outcome, outcomes.Deferred)} == {
        "no_time_left"
    }
    assert [stage.face(name).report.requests for name in ("auth0", "dailypay")] == [0, 0]
    assert stage.record().presented == ()


def test_a_pass_that_is_stopped_starts_nothing_new(stage: Stage) -> None:
    """With one worker, `stop` during the first request lets that one finish and begins no other."""
    stage.config["workers"] = 1
    two_lanes(stage)
    stop, go = Stop(), threading.Event()
    held = stage.face().fault("delay_before_reply", delay_s=WAIT_S, until=go)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run, stage, stop=stop)
        poll(lambda: held.hits, "the first request")
        stop.want()
        go.set()
        results = future.result(WAIT_S)

    assert sorted(type(outcome).__name__ for outcome in results.values()) == ["Deferred", "Deferred", "Rotated"]
    assert [stage.face(name).report.requests for name in ("auth0", "dailypay")] == [1, 0]


def test_nothing_is_begun_after_until(stage: Stage) -> None:
    """A pass whose time is over before the first request begins none and defers what is due."""
    two_lanes(stage)

    results = run(stage, until=stage.clock.now() - timedelta(seconds=1))

    assert {type(outcome) for outcome in results.values()} == {outcomes.Deferred}
    assert stage.face().report.requests == 0


def test_slots_beyond_until_are_left_to_the_next_pass(stage: Stage) -> None:
    """What the budget lets through before `until` is rotated, the rest is deferred with the slot's time."""
    stage.provider("acme", rate_limit={"requests": 1, "per": "60s"})
    stage.ready("alpha", "beta", "gamma")
    stage.until_due()
    began = stage.clock.now()

    results = run(stage, until=began + timedelta(seconds=100))

    assert [type(results[name]).__name__ for name in ("alpha", "beta", "gamma")] == ["Rotated", "Rotated", "Deferred"]
    late = results["gamma"]
    assert isinstance(late, outcomes.Deferred)
    assert late.reason == "no_time_left"
    assert late.retry_at
    assert late.retry_at >= began + timedelta(seconds=120)


def test_a_long_cooldown_does_not_end_the_pass_of_another_lane(stage: Stage) -> None:
    """A lane that stays closed beyond `until` defers its own jobs, not those of a lane that waits for a worker."""
    stage.config["workers"] = 1
    stage.ready("alpha", "beta")
    stage.provider("other", face="dailypay")
    for name in ("gamma", "delta"):
        stage.credential(name, provider="other")
        stage.seed(name, face="dailypay")
    stage.until_due()
    stage.write("alpha", expires_at=int(stage.clock.now().timestamp()) + 1)  # the first of all
    stage.face().fault("rate_limited", wait_s=7200)

    results = run(stage, until=stage.clock.now() + timedelta(seconds=900))

    assert {name: type(outcome).__name__ for name, outcome in results.items()} == {
        "alpha": "Deferred",
        "beta": "Deferred",
        "gamma": "Rotated",
        "delta": "Rotated",
    }


# ------------------------------------------------------------------------------------------------ lanes and order


def test_the_earliest_deadline_goes_first(stage: Stage) -> None:
    """Of several due credentials at one provider, the one whose access token ends first is refreshed first."""
    stage.config["workers"] = 1
    stage.ready("alpha", "beta", "gamma", "delta")
    stage.until_due()
    now = int(stage.clock.now().timestamp())
    for name, left_s in (("alpha", 40), ("beta", 10), ("gamma", 30), ("delta", 20)):
        stage.write(name, expires_at=now + left_s)

    run(stage)

    begun = [event["credential"] for event in stage.events if event["event"] == "rotation.started"]
    assert begun == ["beta", "delta", "gamma", "alpha"]


def test_what_has_no_known_deadline_goes_behind_what_has_one(stage: Stage) -> None:
    """Promise 9: one request a minute, three documents of unknown expiry; the deadline of the fourth is kept."""
    stage.provider("acme", rate_limit={"requests": 1, "per": "60s"})
    stage.ready("alpha", "beta", "gamma", "zeta")
    for name in ("alpha", "beta", "gamma"):
        stage.write(name, expires_at=None, expires_in=None)
    now = int(stage.clock.now().timestamp())
    stage.write("zeta", issued_at=now - 3480, expires_at=now + 120)
    app = stage.app()
    order: list[str] = []

    app.passes.run(app.credentials, horizon_s=900.0, tell=lambda outcome: order.append(outcome.name))

    assert order == ["zeta", "alpha", "beta", "gamma"]


def test_a_job_learns_its_deadline_when_it_is_looked_at(stage: Stage) -> None:
    """A deadline that was unknown when a job was made, for its secret could not be read, counts in its lane."""
    stage.provider("acme", rate_limit={"requests": 1, "per": "60s"})
    stage.ready("alpha", "beta", "zeta")
    for name in ("alpha", "beta"):
        stage.write(name, expires_at=None, expires_in=None)
    stage.until_due("zeta")
    app = stage.app()
    order: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        dispatcher = Dispatcher(app.rotation, app.observer, app.budget, app.surroundings.clock, pool, lambda: None)
        for name in ("alpha", "beta", "zeta"):
            dispatcher.add(Job(app.credential(name)))
        while not dispatcher.idle:
            opens = dispatcher.pump()
            if opens and not dispatcher.running:
                stage.advance(max(0.0, (opens - stage.clock.now()).total_seconds()))
            order += [job.credential.name for job, _ in dispatcher.finished()]

    assert order.index("zeta") < order.index("beta")  # the first one may leave before the others are looked at


def test_a_cooldown_of_one_lane_delays_no_other(stage: Stage) -> None:
    """After a 429 of one provider the pass goes on with the other one at once, and comes back when the time is up."""
    stage.config["workers"] = 1
    two_lanes(stage)
    began = stage.clock.now()
    stage.face().fault("rate_limited", wait_s=120)

    results = run(stage)

    assert {name: type(outcome).__name__ for name, outcome in results.items()} == {
        "alpha": "Deferred",
        "beta": "Rotated",
        "gamma": "Rotated",
    }
    started = {event["credential"]: event["ts"] for event in stage.events if event["event"] == "rotation.started"}
    assert started["gamma"].startswith(began.isoformat()[:19])
    assert started["beta"] >= (began + timedelta(seconds=120)).isoformat()[:19]
    assert stage.face().report.sent_too_early == 0


def test_a_free_worker_takes_the_next_job(stage: Stage) -> None:
    """While one request hangs, the other worker goes on with all that waits."""
    stage.config["workers"] = 2
    stage.provider("acme", timeout="30s")
    two_lanes(stage)
    stage.write("alpha", expires_at=int(stage.clock.now().timestamp()) + 1)  # the first of all
    go = threading.Event()
    slow = stage.face().fault("delay_before_reply", delay_s=WAIT_S, until=go)
    told: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run, stage, tell=lambda outcome: told.append(outcome.name))
        try:
            poll(lambda: slow.hits, "the slow request")
            poll(lambda: len(told) == 2, "both others while the first hangs", within_s=5)
        finally:
            go.set()
        future.result(WAIT_S)

    assert set(told[:2]) == {"beta", "gamma"}


def test_two_clients_of_one_provider_have_lanes_of_their_own(stage: Stage) -> None:
    """A cooldown of one client leaves another client of the same provider alone."""
    clients = stage.face().settings.clients
    clients["second"] = Client("second", secret=clients[DEFAULT_CLIENT_ID].secret)
    stage.ready("alpha", "beta")
    stage.config["credentials"][1]["client_id"] = "second"
    stage.write("beta", **stage.face().login("second"))
    stage.until_due()
    stage.face().fault("rate_limited", wait_s=7200, when=lambda request: request.claimed_client_id != "second")

    results = run(stage, until=stage.clock.now() + timedelta(seconds=900))

    assert [type(results[name]).__name__ for name in ("alpha", "beta")] == ["Deferred", "Rotated"]


def test_a_lost_reply_inside_the_window_is_tried_again_in_the_same_pass(stage: Stage) -> None:
    """Where the provider allows a replay within a window, one pass loses the reply and still ends well."""
    stage.provider("acme", replay={"window": "30s"})
    stage.face().settings.grace_window_s = 60
    stage.ready()
    stage.until_due()
    stage.face().fault("drop_after_processing")

    results = run(stage)

    assert isinstance(results["alpha"], outcomes.Rotated)
    assert stage.face().report.grace_replays == 1
    assert stage.is_live()


def test_slots_that_were_missed_are_not_made_up_for(stage: Stage) -> None:
    """After a request that took longer than several slots the others go on at the limit's pace, not in a burst."""
    stage.config["workers"] = 1
    stage.provider("acme", rate_limit={"requests": 1, "per": "1s"}, timeout="60s")
    stage.ready("alpha", "beta", "gamma")
    stage.until_due()
    stage.face().settings.rate_limit = RateLimit(requests=1, per_s=1.0)
    stage.face().fault("delay_before_reply", delay_s=10)

    results = run(stage)

    assert {type(outcome) for outcome in results.values()} == {outcomes.Rotated}
    assert stage.face().report.rejected_over_rate == 0


# ------------------------------------------------------------------------------------------------ what was read


def test_what_was_read_long_ago_is_read_again(stage: Stage) -> None:
    """A person's edit while a job waits for its slot is seen: what is fresh by then is not refreshed."""
    stage.provider("acme", rate_limit={"requests": 1, "per": "60s"})
    stage.ready("alpha", "beta")
    stage.until_due()
    now = int(stage.clock.now().timestamp())

    def edit(outcome: Outcome) -> None:
        if outcome.name == "alpha":
            stage.write("beta", expires_at=now + 7200, issued_at=now)

    results = run(stage, tell=edit, until=None)

    assert isinstance(results["beta"], outcomes.Fresh)
    assert stage.face().report.requests == 1


def test_a_secret_that_goes_while_its_job_waits_is_an_outcome(stage: Stage) -> None:
    """A store that fails at the second reading makes an outcome, not a traceback."""
    stage.provider("acme", rate_limit={"requests": 1, "per": "60s"})
    stage.ready("alpha", "beta")
    stage.until_due()

    def lose(outcome: Outcome) -> None:
        (stage.folder / "secrets.db").unlink(missing_ok=True)

    results = run(stage, tell=lose)

    beta = results["beta"]
    assert isinstance(beta, outcomes.Failed)
    assert beta.reason == "secret_not_found"


def test_a_defect_in_one_job_stops_no_other(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw, in the work on one credential, is that one's outcome; the others are rotated."""
    stage.ready("alpha", "beta")
    stage.until_due()
    real = Rotation._refresh

    def broken(rotation: Rotation, observed: Observed, *args: Any) -> Outcome:
        if observed.situation.credential.name == "alpha":
            raise ZeroDivisionError("canary")
        return real(rotation, observed, *args)

    monkeypatch.setattr(Rotation, "_refresh", broken)

    results = run(stage)

    alpha = results["alpha"]
    assert isinstance(alpha, outcomes.Failed)
    assert (alpha.reason, alpha.error.partition(" in ")[0]) == ("defect", "ZeroDivisionError")
    assert "canary" not in alpha.error
    assert isinstance(results["beta"], outcomes.Rotated)


def test_a_defect_in_the_first_look_stops_no_other(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw, in the reading of one credential, is that one's outcome; the others are rotated."""
    stage.ready("alpha", "beta")
    stage.until_due()
    real = Observer.observe

    def broken(observer: Observer, credential: Credential, **how: Any) -> Observed:
        if credential.name == "alpha":
            raise ZeroDivisionError("canary")
        return real(observer, credential, **how)

    monkeypatch.setattr(Observer, "observe", broken)

    results = run(stage)

    assert isinstance(results["alpha"], outcomes.Failed)
    assert isinstance(results["beta"], outcomes.Rotated)


def test_the_end_of_the_process_ends_the_pass(stage: Stage) -> None:
    """What is no mere defect (an exit, a crash) goes through the pass."""
    stage.ready()
    stage.until_due()

    situations.crash_before_the_write(stage)

    assert stage.face().report.requests == 1


def test_a_budget_that_cannot_be_reserved_leaves_the_word_to_the_job(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the state gone after the first look, the job itself tells what is wrong, and nothing is sent."""
    stage.provider("acme", rate_limit={"requests": 1, "per": "1s"})
    stage.ready()
    stage.until_due()
    app = stage.app()

    def unavailable(*_: object, **__: object) -> int:
        raise StoreUnavailable("the state is away")

    monkeypatch.setattr(app.state, "compare_and_swap", unavailable)

    [outcome] = app.passes.run(app.credentials, horizon_s=900.0)

    assert isinstance(outcome, outcomes.Deferred)
    assert outcome.reason == "store_unavailable"
    assert stage.face().report.requests == 0
