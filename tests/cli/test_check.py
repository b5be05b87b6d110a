"""`rotator check`: all problems of the configuration, and with `--live` all of the world it points to."""

from __future__ import annotations

import base64
import os
import re
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rotator.errors import StoreDenied, StoreUnavailable
from tests.app import situations

if TYPE_CHECKING:
    from tests.app.stage import Stage

WRONG = """\
version: 1
stores:
  main: {type: local, path: secrets.db}
  other: {type: locall, path: x.db}
workers: 0
providers:
  acme: {profile: generic, token_endpoint: "http://id.acme.example/token"}
  other: {profile: generic, token_endpoint: "https://id.acme.example/token", tiemout: 3s}
  sound: {profile: generic, token_endpoint: "https://id.acme.example/token"}
credentials:
  - {name: alpha, provider: nobody, store: main}
  - {name: alpha, provider: sound, store: main}
  - {name: beta, provider: sound, store: main, client_secret: {env: NOT_SET_ANYWHERE}}
"""


def test_a_sound_configuration_is_said_to_be_sound(stage: Stage) -> None:
    """Without a problem the code is 0 and the file and the number of credentials are named."""
    stage.credential("alpha")
    stage.credential("beta")

    ended = stage.cli("check")

    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"{stage.file}: no problem found in 2 credentials\n"


def test_all_problems_are_told_at_once(stage: Stage) -> None:
    """Every problem comes with file and line, key and hint, in the order of the file, and the code is 2."""
    stage.file.write_text(WRONG)

    ended = stage.cli("check", save=False)

    assert ended.code == 2
    text = ended.out + ended.err
    found = re.findall(rf"^{re.escape(str(stage.file))}:(\d+): (\S+)", text, re.MULTILINE)
    assert [(int(line), key) for line, key in found] == [
        (4, "stores.other.type:"),
        (5, "workers:"),
        (7, "providers.acme.token_endpoint:"),
        (8, "providers.other.tiemout:"),
        (11, "credentials[0]"),
        (12, "credentials[1]"),
        (12, "credentials[1]"),
        (13, "credentials[2]"),
    ]
    assert "(beta).client_secret: the environment variable NOT_SET_ANYWHERE is not set" in text
    assert text.count("\n    → ") == 7


def test_a_configuration_that_is_not_there_is_bad_usage(stage: Stage) -> None:
    """A missing file ends with 2, its name and where to get one."""
    ended = stage.cli("check", config=stage.folder / "nowhere.yaml")

    assert ended.code == 2
    assert f"{stage.folder / 'nowhere.yaml'}: there is no such file\n    → " in ended.err


def test_warnings_stop_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is probably not meant is printed as a warning, and the code stays 0."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    stage.credential()

    ended = stage.cli("check")

    assert ended.code == 0
    assert re.search(r"^warning: .*: a local state keeps its promises only on a disk", ended.out, re.MULTILINE)


# ---------------------------------------------------------------------------------------------------------- live


def live(stage: Stage) -> tuple[int, list[str]]:
    """Return the code of `check --live` and its findings, hints left out; nothing may be spent or changed."""
    before = (stage.face().report.requests, stage.events)
    ended = stage.cli("check", "--live")
    assert (stage.face().report.requests, stage.events) == before
    return ended.code, [line for line in ended.out.splitlines() if not line.startswith("    → ")]


def test_a_sound_world_is_said_to_be_sound(stage: Stage) -> None:
    """When everything can be used the code is 0, no refresh token is spent, and no version is made."""
    stage.provider("other", face="dailypay")
    stage.ready("alpha", "beta")
    stage.credential("gamma", provider="other", scope="openid")
    stage.seed("gamma", face="dailypay")
    records = stage.records()

    code, findings = live(stage)

    assert (code, findings) == (0, [f"{stage.file}: 3 credentials can be rotated"])
    assert [stage.version(name) for name in ("alpha", "beta", "gamma")] == ["1", "1", "1"]
    assert stage.records() == records
    assert not list((stage.folder / "escrow").glob("*.json"))


def test_a_missing_secret_is_found(stage: Stage) -> None:
    """A secret that is not there needs a person, and the hint says how it comes about."""
    stage.credential()

    ended = stage.cli("check", "--live")

    assert ended.code == 1
    assert ended.out.startswith(f"credential alpha: store main: no secret alpha in {stage.folder / 'secrets.db'}\n")
    assert "    → seed it with rotator put alpha\n" in ended.out
    assert "all is there" not in ended.out


def test_an_unusable_document_is_found(stage: Stage) -> None:
    """A document without refresh token needs a person."""
    situations.without_refresh_token(stage)

    assert live(stage) == (1, ["credential alpha: the secret cannot be used: it has no refresh_token"])


def test_a_latched_credential_is_found(stage: Stage) -> None:
    """A token that the provider has rejected needs a person."""
    situations.latched(stage)

    assert live(stage) == (1, ["credential alpha: the provider rejected this refresh token (invalid_grant)"])


def test_two_documents_with_one_grant_are_found(stage: Stage) -> None:
    """Two credentials that share a grant are both told."""
    stage.ready("alpha", "beta")
    stage.write("beta", refresh_token=stage.document("alpha")["refresh_token"])

    code, findings = live(stage)

    assert code == 1
    assert [finding.partition(" with ")[0] for finding in findings] == [
        "credential alpha: it shares one grant",
        "credential beta: it shares one grant",
    ]


def test_a_scope_beyond_the_grant_is_found(stage: Stage) -> None:
    """A configured scope that was never granted is named, those that were granted are not."""
    stage.credential(scope="openid admin read:all")
    stage.seed()

    assert live(stage) == (1, ["credential alpha: scope exceeds the grant: admin, read:all"])


def test_a_client_id_that_nobody_knows_is_found(stage: Stage) -> None:
    """Without a client_id in configuration and document the credential cannot be rotated."""
    stage.credential(client_id=None)
    stage.seed()

    assert live(stage) == (1, ["credential alpha: no client_id is known"])


def test_the_documents_client_id_does(stage: Stage) -> None:
    """A client_id in the document is as good as one in the configuration."""
    stage.credential(client_id=None)
    stage.seed(client_id="sandbox-client")

    assert live(stage)[0] == 0


def test_an_endpoint_that_cannot_be_reached_is_temporary(stage: Stage) -> None:
    """A connection that is refused makes the code 75 and names provider, address and reason."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stage.provider("gone", token_endpoint=f"http://127.0.0.1:{port}/token")
    stage.ready(provider="gone")

    code, [finding] = live(stage)

    assert code == 75
    assert finding.startswith(f"provider gone: http://127.0.0.1:{port}/token: 127.0.0.1:{port}: ")
    assert "refused" in finding


def test_the_query_of_an_endpoint_is_not_shown(stage: Stage) -> None:
    """Promise 7: an endpoint that cannot be reached is named without its query, which may hold an API key."""
    stage.provider("gone", token_endpoint="http://127.0.0.1:1/token?code=canary")
    stage.ready(provider="gone")

    [finding] = live(stage)[1]

    assert finding.startswith("provider gone: http://127.0.0.1:1/token?…: ")
    assert "canary" not in finding


def test_a_person_goes_before_a_wait(stage: Stage) -> None:
    """With a temporary and a lasting fault the code is 1."""
    stage.provider("gone", token_endpoint="http://127.0.0.1:1/token")
    stage.ready(provider="gone")
    stage.credential("missing", provider="gone")

    assert live(stage)[0] == 1


def test_a_seal_key_that_does_not_load_is_found(stage: Stage) -> None:
    """A key file that holds no key is named, with its path."""
    stage.ready()
    key = stage.folder / "seal.key"
    key.write_text("not a key")
    key.chmod(0o600)
    stage.config["seal"] = {"key_file": str(key)}

    code, findings = live(stage)

    assert code == 1
    assert any(finding.startswith("seal: ") and str(key) in finding for finding in findings)


def test_a_wrong_seal_key_is_found_where_something_waits(stage: Stage) -> None:
    """When an entry that waits does not open with the key, the credential it belongs to is told."""
    situations.waiting_in_escrow(stage)
    stage.config["seal"] = {"key_env": "ROTATOR_SEAL_KEY"}
    os.environ["ROTATOR_SEAL_KEY"] = base64.b64encode(bytes(32)).decode()
    try:
        code, [finding] = live(stage)
    finally:
        del os.environ["ROTATOR_SEAL_KEY"]

    assert code == 1
    assert finding.startswith("credential alpha: the escrow entry of alpha from 2026-01-01T00:59:30+00:00 cannot be")


def test_an_escrow_that_takes_nothing_is_found(stage: Stage) -> None:
    """An escrow folder that cannot be made is told once for the escrow and once for who needs it."""
    stage.ready()
    (stage.folder / "file").write_text("")
    stage.config["escrow"] = {"type": "file", "path": str(stage.folder / "file" / "escrow")}

    code, findings = live(stage)

    assert code == 75
    assert findings[0].startswith(f"escrow: escrow folder {stage.folder / 'file' / 'escrow'}: ")


def test_an_audit_file_that_takes_nothing_is_found(stage: Stage) -> None:
    """An audit file in a folder that is not there is told with its path, and may be there by the next run."""
    stage.ready()
    stage.config["audit"] = [{"type": "jsonl", "path": str(stage.folder / "nowhere" / "audit.jsonl")}]

    code, [finding] = live(stage)

    assert code == 75
    assert finding.startswith("audit: ")
    assert str(stage.folder / "nowhere" / "audit.jsonl") in finding


def test_a_state_that_takes_nothing_is_found(stage: Stage) -> None:
    """A state below a file, which can never be made, needs a person."""
    stage.ready()
    (stage.folder / "file").write_text("")
    stage.config["state"]["path"] = str(stage.folder / "file" / "state.db")
    stage.config["seal"] = {"key_file": str(stage.folder / "seal.key")}

    code, findings = live(stage)

    assert code == 1
    assert findings[0].startswith(f"state: {stage.folder / 'file' / 'state.db'}: Not a directory")


@pytest.mark.parametrize(
    ("error", "code"), [(StoreDenied("store main: no", hint="ask"), 1), (StoreUnavailable("store main: away"), 75)]
)
def test_a_secret_that_cannot_be_written_is_found(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    """A store that would refuse the write needs a person; one that does not answer may do so later."""
    stage.ready()

    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr("rotator.stores.local.LocalSecretStore.prove_writable", refuse)

    assert live(stage) == (code, [f"credential alpha: {error.args[0]}"])


def test_a_client_secret_that_cannot_be_read_is_found(stage: Stage) -> None:
    """A client secret in another secret that is not there is told with the key in the configuration."""
    source: dict[str, Any] = {"store": "main", "secret": "client", "field": "secret"}
    stage.credential(client_secret=source)
    stage.seed()

    code, [finding] = live(stage)

    assert code == 1
    assert finding.startswith("credential alpha: ")
    assert "client" in finding


def test_a_private_key_that_is_gone_is_found(stage: Stage) -> None:
    """A key file that went after the start is told with its path."""
    key = stage.folder / "key.pem"
    key.write_text("-----BEGIN PRIVATE KEY-----")
    stage.provider("acme", client_auth="private_key_jwt")
    stage.credential(client_secret=None, private_key={"file": str(key)})
    stage.seed()
    app = stage.app("operator")
    Path(key).unlink()
    from rotator.live_check import live_check

    [finding] = live_check(app)

    assert finding.problem.where.startswith(f"credential alpha: {stage.file}:")
    assert "credentials[0] (alpha).private_key" in finding.problem.where
    assert str(key) in finding.problem.what
    assert not finding.temporary


def test_a_secret_of_aws_that_would_be_written_too_often_is_a_warning(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ten-minute token in AWS Secrets Manager is warned of by its stored lifetime, and the code is 0."""
    stage.ready()
    stage.write(expires_at=stage.document()["issued_at"] + 600)
    app = stage.app("operator")
    from rotator.config.model import AwsSecretsManagerStore
    from rotator.live_check import live_check

    assert app.stores["main"].read("alpha").version == "2"  # a local store, which then passes for one of AWS
    app.settings.stores["main"] = AwsSecretsManagerStore(type="aws-secrets-manager")

    [finding] = live_check(app)

    assert finding.warning
    assert finding.problem.what.startswith("would be written every 540 s; ")
    monkeypatch.setattr("rotator.live_check.live_check", lambda *_: [finding])
    ended = stage.cli("check", "--live")
    assert ended.code == 0
    assert ended.out.startswith("warning: credential alpha: would be written every 540 s")
    assert ended.out.endswith(": 1 credential can be rotated\n")


def test_a_document_without_lifetime_is_sound(stage: Stage) -> None:
    """Without an expiry nothing can be said about how often it would be written."""
    stage.ready()
    stage.write(expires_at=None, expires_in=None)

    assert live(stage)[0] == 0


def test_a_client_without_its_secret_is_found_alive(stage: Stage) -> None:
    """Neither the configuration nor the document has one, and nothing could be sent."""
    stage.credential(client_secret=None)
    stage.seed()

    code, [finding] = live(stage)

    assert code == 1
    assert finding.startswith("credential alpha: provider acme: the client_secret is missing")


def test_what_the_daemon_would_miss_is_a_warning(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An extra that is not installed here is named with its section: the daemon may run elsewhere."""
    stage.credential()
    stage.config |= {
        "http": {"listen": "127.0.0.1:0"},
        "metrics": {"textfile": "rotator.prom"},
        "traces": {"type": "otlp"},
    }
    for package in ("waitress", "opentelemetry"):
        monkeypatch.setitem(sys.modules, package, None)

    ended = stage.cli("check")

    assert ended.code == 0
    assert "warning: http: waitress is not installed here\n    → pip install 'rotator[daemon]'" in ended.out
    assert "warning: traces: opentelemetry is not installed here\n    → pip install 'rotator[otel]'" in ended.out
    assert "prometheus_client" not in ended.out
