"""What `rotator once` leaves behind for Prometheus: in a file, and at a Pushgateway over real HTTP."""

from __future__ import annotations

import base64
import socket
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.app.pushgateway import Gateway, gateway
from tests.app.stage import CANARIES
from tests.app.test_listener import samples

if TYPE_CHECKING:
    from pathlib import Path

    from tests.app.stage import Stage

__all__ = ["gateway"]

WHO = ("alpha", "acme", "main")


def to_file(stage: Stage) -> Path:
    path = stage.folder / "rotator.prom"
    stage.config["metrics"] = {"textfile": str(path)}
    return path


def to_gateway(stage: Stage, gateway: Gateway, **more: Any) -> None:
    stage.config["metrics"] = {"push": {"url": gateway.address, **more}}


def read(path: Path) -> dict[tuple[str, ...], float]:
    return samples(path.read_text())


def test_a_password_that_is_no_text_changes_no_exit_code(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes in the environment that are no UTF-8: a warning without them, after a pass that went well."""
    monkeypatch.setenv("PUSH_PASSWORD", "canary-\udcff")
    push = {"url": "http://127.0.0.1:9", "username": "me", "password": {"env": "PUSH_PASSWORD"}}
    stage.config["metrics"] = {"push": push}
    stage.ready()

    ended = stage.cli("once")

    assert ended.code == 0
    assert "metrics were not pushed" in ended.err


def test_a_pass_leaves_the_daemons_metrics_and_its_own_in_a_file(stage: Stage) -> None:
    """Of what was rotated, and when the pass ended and how; readable for node_exporter, and no token is in it."""
    path = to_file(stage)
    stage.ready()
    stage.until_due()
    assert stage.cli("once").code == 0
    found, document = read(path), stage.document()
    assert found["rotator_credential_expiration_timestamp_seconds", *WHO] == document["expires_at"]
    assert found["rotator_credential_ready", *WHO] == 1.0
    assert 0 < found["rotator_credential_next_refresh_timestamp_seconds", *WHO] < document["expires_at"]
    assert found["rotator_rotations_total", "succeeded", "acme"] == 1.0
    assert found["rotator_token_request_duration_seconds_count", "refreshed", "acme"] == 1.0
    assert found["rotator_store_operations_total", "write", "ok", "main"] == 1.0
    assert found["rotator_escrow_entries",] == 0.0
    assert found["rotator_last_pass_timestamp_seconds",] == stage.clock.now().timestamp()
    assert found["rotator_last_pass_exit_code",] == 0.0
    assert found["rotator_last_pass_duration_seconds",] >= 0.0
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert not any(canary in path.read_text() for canary in CANARIES)
    assert [one.name for one in stage.folder.glob("*.prom*")] == [path.name]
    assert not list(stage.folder.glob(".rotator.prom*"))


def test_a_dead_grant_is_told_by_the_exit_code_and_its_expiry_stays(stage: Stage) -> None:
    """What an outcome leaves open is told by the look."""
    path = to_file(stage)
    stage.ready()
    stage.until_due()
    expires_at = stage.document()["expires_at"]
    stage.face().revoke(1)
    assert stage.cli("once").code == 1
    found = read(path)
    assert found["rotator_last_pass_exit_code",] == 1.0
    assert found["rotator_credential_ready", *WHO] == 0.0
    assert found["rotator_credential_expiration_timestamp_seconds", *WHO] == expires_at


def test_a_credential_that_is_gone_vanishes(stage: Stage) -> None:
    """A stale series would be an alert about nothing."""
    path = to_file(stage)
    stage.ready("alpha", "beta")
    stage.cli("once")
    assert ("rotator_credential_ready", "beta", "acme", "main") in read(path)
    stage.config["credentials"].pop()
    stage.cli("once")
    found = read(path)
    assert ("rotator_credential_ready", "beta", "acme", "main") not in found
    assert ("rotator_credential_ready", *WHO) in found


@pytest.mark.parametrize("arguments", [("--name", "alpha"), ("--dry-run",)])
def test_a_part_of_a_pass_leaves_the_metrics_of_the_whole_as_they_are(stage: Stage, arguments: tuple[str, ...]) -> None:
    """It would erase the others' series, or tell of a pass that was none."""
    path = to_file(stage)
    stage.ready("alpha", "beta")
    stage.cli("once")
    before = path.read_text()
    stage.advance(60)
    assert stage.cli("once", *arguments).code == 0
    assert path.read_text() == before


def test_what_is_not_found_does_not_vanish(stage: Stage) -> None:
    """Where a rule of discovery cannot be followed, the metrics of the last whole pass stay, and that is said."""
    path = to_file(stage)
    stage.ready()
    stage.cli("once")
    before = path.read_text()
    stage.config["stores"]["gone"] = {"type": "vault", "address": "http://127.0.0.1:9", "mount": "secret"}
    stage.config["discover"] = [{"prefix": "app/", "store": "gone", "provider": "acme"}]
    stage.config["credentials"][0]["store"] = "main"
    stage.env["VAULT_TOKEN"] = "t"
    ended = stage.ended(stage.spawn("once"))
    assert ended.code == 75
    assert "metrics stay as they are: not all credentials were found" in ended.err
    assert path.read_text() == before


def test_a_file_that_cannot_be_written_is_a_warning(stage: Stage) -> None:
    """The exit code is the pass'; the file of before would stay."""
    stage.ready()
    stage.until_due()
    stage.config["metrics"] = {"textfile": str(stage.folder / "none" / "rotator.prom")}
    ended = stage.cli("once")
    assert ended.code == 0
    assert "metrics were not written to" in ended.err
    assert stage.is_live()


def test_a_push_replaces_the_group_of_its_job_and_instance(stage: Stage, gateway: Gateway) -> None:
    """By PUT, so that what is gone vanishes there too; the instance is the same at the next pass."""
    to_gateway(stage, gateway, job="rotator/eu")
    stage.ready()
    ended = stage.cli("once")
    assert (ended.code, ended.err) == (0, "")
    [(method, path, headers, body)] = gateway.pushed
    job = base64.urlsafe_b64encode(b"rotator/eu").decode()
    assert (method, path) == ("PUT", f"/metrics/job@base64/{job}/instance/once")
    assert headers["Content-Type"].startswith("text/plain")
    assert samples(body)["rotator_last_pass_exit_code",] == 0.0
    stage.cli("once", "--shard", "0/2")
    assert gateway.pushed[1][1].endswith("/instance/once-0-of-2")


@pytest.mark.parametrize(
    ("way", "sent"),
    [
        ({"token": {"env": "PUSH_SECRET"}}, "Bearer canary-push"),
        (
            {"username": "rotator", "password": {"env": "PUSH_SECRET"}},
            "Basic " + base64.b64encode(b"rotator:canary-push").decode(),
        ),
    ],
)
def test_a_gateway_may_ask_for_a_secret(
    stage: Stage, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, way: dict[str, Any], sent: str
) -> None:
    """A bearer token, or HTTP Basic; one that is not there is told, and what is refused as well, without it."""
    stage.ready()
    to_gateway(stage, gateway, **way)
    assert "PUSH_SECRET is not set" in stage.cli("once").err
    assert "PUSH_SECRET is not set" in stage.cli("check").out
    monkeypatch.setenv("PUSH_SECRET", "canary-push")
    gateway.status = 401
    ended = stage.cli("once")
    assert ended.code == 0
    assert "it answered 401" in ended.err
    assert "canary" not in ended.err
    assert gateway.pushed[0][2]["Authorization"] == sent


def test_a_gateway_that_hangs_holds_nothing_up(stage: Stage, gateway: Gateway) -> None:
    """After its timeout the pass ends as it would have."""
    stage.ready()
    stage.until_due()
    to_gateway(stage, gateway, timeout="0.3s")
    gateway.go.clear()
    ended = stage.cli("once")
    assert ended.code == 0
    assert "metrics were not pushed" in ended.err
    assert "rotated" in ended.out


def test_a_gateway_that_is_away_is_a_warning(stage: Stage) -> None:
    """With what is wrong with the connection."""
    stage.ready()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        stage.config["metrics"] = {"push": {"url": f"http://127.0.0.1:{taken.getsockname()[1]}"}}
        ended = stage.cli("once")
    assert ended.code == 0
    assert "not sent: connecting failed" in ended.err


def test_nothing_is_loaded_where_nobody_asks_for_metrics(stage: Stage) -> None:
    """Neither prometheus_client nor what leaves its metrics."""
    stage.ready()
    stage.save()
    code = (
        "import sys; from rotator.cli import commands; "
        f"assert commands.run(['-c', {str(stage.file)!r}, 'once', '--dry-run']) == 0; "
        "print(sorted({'prometheus_client', 'opentelemetry', 'rotator.last_pass'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_missing_library_is_told_by_its_extra(stage: Stage) -> None:
    """Exit code 2, and how to install it; nothing is done."""
    to_file(stage)
    stage.ready()
    stage.save()
    code = (
        "import sys; sys.modules['prometheus_client'] = None; from rotator.cli import commands; "
        f"sys.exit(commands.run(['-c', {str(stage.file)!r}, 'once']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "pip install 'rotator[metrics]'" in done.stderr


@pytest.mark.parametrize(
    ("name", "value"), [("OTEL_BSP_MAX_QUEUE_SIZE", "0"), ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "canary-x")]
)
def test_a_variable_that_opentelemetry_refuses_is_told_before_anything_is_rotated(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """As a fault of the configuration, without its text, which may be a header's."""
    monkeypatch.setenv(name, value)
    stage.config["traces"] = {"type": "otlp", "endpoint": "http://127.0.0.1:9"}
    stage.ready()

    ended = stage.cli("once", "--force")

    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "traces: OpenTelemetry refuses what its variables say\n    → correct the OTEL_… variables\n"
