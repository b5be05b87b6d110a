"""The daemon's HTTP listener, asked over real sockets while the daemon works."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rotator.errors import StoreUnavailable
from tests.app.daemons import Running, expiring, running
from tests.app.stage import poll

if TYPE_CHECKING:
    from tests.app.stage import Stage

TOKEN = "canary-page-token"


def port_of(daemon: Running) -> int:
    listener = daemon.daemon._showing.listener
    assert listener is not None
    return listener.port


def ask(daemon: Running, path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(daemon), timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Return values by name and the labels' values, in their order."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def listening(real_stage: Stage) -> Stage:
    """A stage whose daemon listens at a port that is free."""
    real_stage.config["http"] = {"listen": "127.0.0.1:0"}
    return real_stage


def test_metrics_tell_what_was_rotated_and_when_it_ends(listening: Stage) -> None:
    """By credential, provider and store, under the names that alerts go by."""
    stage = listening
    stage.ready()
    expiring(stage)
    with running(stage) as daemon:
        poll(lambda: daemon.rotated("alpha"), "a rotation")
        found = samples(poll(lambda: counted(daemon), "the count of it"))
    document = stage.document()
    who = ("alpha", "acme", "main")
    assert found["rotator_credential_expiration_timestamp_seconds", *who] == document["expires_at"]
    assert found["rotator_credential_ready", *who] == 1.0
    assert 0 < found["rotator_credential_next_refresh_timestamp_seconds", *who] < document["expires_at"]
    assert found["rotator_rotations_total", "succeeded", "acme"] == 1.0
    assert found["rotator_token_request_duration_seconds_count", "refreshed", "acme"] == 1.0
    assert found["rotator_store_operations_total", "write", "ok", "main"] == 1.0
    assert found["rotator_escrow_entries",] == 0.0
    assert found["rotator_schedule_lag_seconds_count",] >= 1.0


def counted(daemon: Running) -> str:
    text = ask(daemon, "/metrics")[1]
    return text if 'rotator_rotations_total{outcome="succeeded"' in text else ""


def test_a_dead_grant_is_not_ready_and_a_failed_call_is_counted(listening: Stage) -> None:
    """Under the outcome's name."""
    stage = listening
    stage.ready()
    expiring(stage)
    stage.face().revoke(1)
    with running(stage) as daemon:
        poll(lambda: daemon.of("alpha"), "the dead grant told")
        found = samples(ask(daemon, "/metrics")[1])
    assert found["rotator_credential_ready", "alpha", "acme", "main"] == 0.0
    assert found["rotator_rotations_total", "failed", "acme"] == 1.0


def test_tokens_that_wait_for_their_store_are_counted(listening: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the moment they are in escrow until the store has them."""
    stage = listening
    stage.ready()
    expiring(stage)
    app = stage.app("daemon", pause_s=0.3)
    store: Any = app.stores["main"].behind  # type: ignore[attr-defined]  # the meter stands in front of it
    real = store.compare_and_swap

    def away(*_: object, **__: object) -> Any:
        raise StoreUnavailable("store main: no answer")

    monkeypatch.setattr("rotator.retrying.FIRST_WAIT_S", 0.01)
    store.compare_and_swap = away
    with running(stage, app) as daemon:
        poll(lambda: samples(ask(daemon, "/metrics")[1])["rotator_escrow_entries",] == 1.0, "an entry in escrow")
        store.compare_and_swap = real
        poll(lambda: samples(ask(daemon, "/metrics")[1])["rotator_escrow_entries",] == 0.0, "the entry written")
        found = samples(ask(daemon, "/metrics")[1])
    assert found["rotator_store_operations_total", "write", "store_unavailable", "main"] >= 1.0
    assert stage.is_live()


def test_it_is_ready_once_all_was_looked_at(listening: Stage) -> None:
    """And says what store it cannot list while that is so."""
    stage = listening
    stage.ready()
    app = stage.app("daemon", pause_s=0.3)
    store: Any = app.stores["main"].behind  # type: ignore[attr-defined]  # as above
    with running(stage, app) as daemon:
        poll(lambda: ask(daemon, "/readyz")[0] == 200, "readiness")
        assert ask(daemon, "/healthz") == (200, "ok\n")

        def away(_: object) -> Any:
            raise StoreUnavailable("store main: no answer")

        store.versions = away
        status, text = poll(lambda: unready(daemon), "a listing that fails")
        assert (status, "main: store unavailable" in text) == (503, True)


def unready(daemon: Running) -> tuple[int, str] | None:
    found = ask(daemon, "/readyz")
    return found if found[0] != 200 else None


def test_a_token_is_read_anew(listening: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new one in its file counts within seconds; no answer holds either."""
    monkeypatch.setattr("rotator.web.FRESH_S", 0.0)
    stage = listening
    stage.ready()
    file = stage.folder / "token"
    file.write_text(TOKEN)
    stage.config["http"]["token"] = {"file": str(file)}
    with running(stage) as daemon:
        assert ask(daemon, "/metrics")[0] == 401
        assert ask(daemon, "/metrics", Authorization=f"Bearer {TOKEN}")[0] == 200
        file.write_text(TOKEN + "-2")
        assert ask(daemon, "/metrics", Authorization=f"Bearer {TOKEN}")[0] == 401
        assert ask(daemon, "/metrics", Authorization=f"Bearer {TOKEN}-2")[0] == 200
        file.unlink()
        assert ask(daemon, "/metrics", Authorization=f"Bearer {TOKEN}-2")[0] == 503


def test_a_token_that_is_not_there_is_told_at_the_start(listening: Stage) -> None:
    """In the log; the daemon works, and whoever asks is refused."""
    stage = listening
    stage.ready()
    stage.config["http"]["token"] = {"env": "NOT_SET"}
    with running(stage) as daemon:
        [facts] = daemon.noted("the token of http cannot be read")
        assert "NOT_SET" in facts["problems"]
        assert ask(daemon, "/metrics", Authorization="Bearer x")[0] == 503
        assert ask(daemon, "/healthz")[0] == 200


def test_a_reload_moves_the_listener_and_keeps_the_counts(listening: Stage) -> None:
    """It listens where the new configuration says, begins when there is one and ends when there is none."""
    stage = listening
    stage.ready()
    expiring(stage)
    with running(stage) as daemon:
        poll(lambda: daemon.rotated("alpha"), "a rotation")
        before = port_of(daemon)
        stage.config["http"] = {"listen": "localhost:0"}
        daemon.daemon.request_reload()
        poll(lambda: len(daemon.noted("listening")) == 2, "the listener elsewhere")
        assert port_of(daemon) != before
        found = samples(poll(lambda: counted(daemon), "the count of before"))
        assert found["rotator_credential_ready", "alpha", "acme", "main"] == 1.0
        del stage.config["http"]
        daemon.daemon.request_reload()
        poll(lambda: daemon.daemon._showing.listener is None, "the end of the listener")


def test_a_daemon_that_began_without_a_listener_gets_one_by_a_reload(real_stage: Stage) -> None:
    """With every credential on it."""
    stage = real_stage
    stage.ready("alpha", "beta")
    with running(stage) as daemon:
        stage.config["http"] = {"listen": "127.0.0.1:0"}
        daemon.daemon.request_reload()
        poll(lambda: daemon.noted("listening"), "the listener")
        found = samples(poll(lambda: shows(daemon, "alpha", "beta"), "both"))
    assert found["rotator_credential_ready", "beta", "acme", "main"] == 1.0


def shows(daemon: Running, *names: str) -> str:
    text = ask(daemon, "/metrics")[1]
    return text if all(f'rotator_credential_ready{{credential="{name}"' in text for name in names) else ""


def test_a_daemon_that_waits_for_a_rotation_before_it_reloads_is_alive(
    listening: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who killed it then would kill the only holder of what the provider has just answered."""
    stage = listening
    stage.ready()
    expiring(stage)
    monkeypatch.setattr("rotator.board.LIVE_S", 1.0)
    monkeypatch.setattr("rotator.daemon.LONGEST_SLEEP_S", 0.1)
    go = threading.Event()
    stage.face().fault("delay_before_reply", until=go, delay_s=20.0)
    with running(stage) as daemon:
        poll(lambda: stage.face().report.requests, "a request on its way")
        daemon.daemon.request_reload()
        until = time.monotonic() + 2.0
        while time.monotonic() < until:  # longer than a loop that hangs would pass for alive
            assert ask(daemon, "/healthz") == (200, "ok\n")
        go.set()
        poll(lambda: daemon.noted("reloaded"), "the reload")


def test_a_port_that_is_taken_is_told_and_nothing_is_spent(listening: Stage) -> None:
    """Exit code 2 before any work; at a reload the daemon goes on without the listener, and says so."""
    stage = listening
    stage.ready()
    expiring(stage)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        stage.config["http"] = {"listen": f"127.0.0.1:{taken.getsockname()[1]}"}
        stage.save()
        ended = stage.ended(stage.spawn("run"))
        assert ended.code == 2
        assert "http.listen" in ended.err
        assert "choose another port" in ended.err
        assert "Traceback" not in ended.err
        assert stage.face().report.requests == 0
        stage.config["http"] = {"listen": "127.0.0.1:0"}
        with running(stage) as daemon:
            stage.config["http"] = {"listen": f"127.0.0.1:{taken.getsockname()[1]}"}
            daemon.daemon.request_reload()
            poll(lambda: daemon.noted("nothing is listened at"), "the note")
            poll(lambda: daemon.rotated("alpha"), "its work")


def test_slow_clients_keep_only_themselves_waiting(listening: Stage) -> None:
    """More connections that never ask than there are threads."""
    stage = listening
    stage.ready()
    with running(stage) as daemon:
        idle = [socket.create_connection(("127.0.0.1", port_of(daemon))) for _ in range(20)]
        for one in idle:
            one.sendall(b"GET /healthz HTTP/1.1\r\nHost: loc")
        assert ask(daemon, "/healthz")[0] == 200
        for one in idle:
            one.close()
