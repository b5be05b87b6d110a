"""One secret under two names: in two configurations of two processes, or in one file."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from rotator import aws_session
from rotator.cli import commands
from rotator.testing.sandbox import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, SandboxServer, auth0_face
from rotator.testing.vault_double import VaultDouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAMES = ("alpha", "beta")
SEAL_KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What every process finds in its environment; AWS credentials of nobody."""
    monkeypatch.setattr(aws_session, "_SHARED", [])
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "CLIENT_SECRET": DEFAULT_CLIENT_SECRET,
        "SEAL_KEY": SEAL_KEY,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "not-a-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "VAULT_TOKEN": "no-token",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    with SandboxServer([auth0_face(lifetime_s=3600)]) as server:
        yield server
        assert server.failures == ()


def credential(name: str, secret: str, **more: Any) -> dict[str, Any]:
    secrets = {"client_id": DEFAULT_CLIENT_ID, "client_secret": {"env": "CLIENT_SECRET"}}
    return {"name": name, "provider": "acme", "secret": secret, **secrets, **more}


def configuration(server: SandboxServer, stores: dict[str, Any], *credentials: Any, **more: Any) -> dict[str, Any]:
    endpoint = server.face("auth0").token_endpoint
    return {
        "version": 1,
        "stores": stores,
        "audit": [{"type": "jsonl", "path": "audit.jsonl"}],
        "providers": {"acme": {"profile": "generic", "token_endpoint": endpoint, "timeout": "2s"}},
        "credentials": list(credentials),
        **more,
    }


def saved(path: Path, config: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(config))
    return path


def put(server: SandboxServer, config: Path, name: str) -> None:
    answer = config.with_name("answer.json")
    answer.write_text(json.dumps(server.face("auth0").login(DEFAULT_CLIENT_ID)))
    assert commands.run(["-c", str(config), "put", name, str(answer)]) == 0


def passes(*configs: Path) -> list[tuple[int, str]]:
    """Let one process for each configuration make a forced pass, all at once."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "rotator", "-c", str(config), "once", "--force"],
            env=dict(os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for config in configs
    ]
    ended = [(process.communicate(timeout=60)[0], process.returncode) for process in started]
    return [(code, text) for text, code in ended]


def two_configurations(
    server: SandboxServer, folder: Path, places: list[tuple[dict[str, Any], str]], **more: Any
) -> list[Path]:
    """Write two files that name one secret differently, and seed it through the first."""
    paths = [
        saved(folder / f"{name}.yaml", configuration(server, {name: store}, credential(name, secret), **more))
        for name, (store, secret) in zip(NAMES, places, strict=True)
    ]
    put(server, paths[0], "alpha")
    return paths


def test_a_doubt_under_one_name_is_a_doubt_under_the_other(server: SandboxServer, tmp_path: Path) -> None:
    """Promise 1: a reply lost under one name keeps a process that knows the secret by another from sending again."""
    files = local_files(tmp_path)
    config, other = two_configurations(server, tmp_path, files, **local_state(tmp_path))
    server.face("auth0").fault("drop_after_processing")
    [(code, text)] = passes(config)
    assert (code, "in_doubt" in text) == (75, True), text
    [(code, text)] = passes(other)
    assert (code, "in_doubt" in text) == (75, True), text
    assert server.face("auth0").report.requests == 1


def local_files(folder: Path) -> list[tuple[dict[str, Any], str]]:
    """One file by its absolute path and by a relative one through a link."""
    (folder / "var").mkdir()
    (folder / "link").symlink_to(folder / "var")
    relative = os.path.relpath(folder / "link" / "secrets.db")
    return [
        ({"type": "local", "path": str(folder / "var" / "secrets.db")}, "payroll"),
        ({"type": "local", "path": f"./{relative}"}, "payroll"),
    ]


def local_state(folder: Path) -> dict[str, Any]:
    return {
        "state": {"type": "local", "path": str(folder / "state.db")},
        "escrow": {"type": "file", "path": str(folder / "escrow")},
    }


def judged(server: SandboxServer, configs: list[Path], rounds: int = 1) -> None:
    """Let both processes race; every refresh token was presented once, whoever won."""
    for _ in range(rounds):
        ended = passes(*configs)
        assert {code for code, _ in ended} <= {0, 75}, ended
        assert any("rotated" in text for _, text in ended), ended
        assert not any("Traceback" in text for _, text in ended), ended
    report = server.face("auth0").report
    assert (report.spent_twice, report.reuse_detections) == ((), 0)
    assert set(report.presented.values()) == {1}


def test_a_local_file_by_two_paths_has_one_claim(server: SandboxServer, tmp_path: Path) -> None:
    """An absolute path, and a relative one through a symbolic link, lead to one record and one send."""
    files = local_files(tmp_path)
    judged(server, two_configurations(server, tmp_path, files, **local_state(tmp_path)), rounds=2)


def test_a_vault_path_in_two_spellings_has_one_claim(
    server: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slashes around path and mount, and capitals in the address's scheme, lead to one record and one send."""
    with VaultDouble() as vault:
        monkeypatch.setenv("VAULT_TOKEN", vault.root)
        address = vault.address
        places = [
            ({"type": "vault", "address": address, "mount": "secret"}, "team/payroll"),
            ({"type": "vault", "address": f"{address}/", "mount": "/secret/"}, "/team//payroll/"),
        ]
        configs = []
        for name, (store, secret) in zip(NAMES, places, strict=True):
            state = {
                "state": {"type": "vault", "store": name, "path": "rotator/state"},
                "seal": {"key_env": "SEAL_KEY"},
            }
            config = configuration(server, {name: store}, credential(name, secret), **state)
            configs.append(saved(tmp_path / f"{name}.yaml", config))
        put(server, configs[0], "alpha")
        judged(server, configs)


def test_a_secret_in_aws_by_name_and_by_arn_has_one_claim(
    server: SandboxServer, tmp_path: Path, moto_url: str, fake_session: Any, new_name: Callable[[str], str]
) -> None:
    """A secret's name, its ARN, and its ARN without the random end lead to one record and one send."""
    name = new_name("oauth/payroll")
    store = {"type": "aws-secrets-manager", "region": "us-east-1", "endpoint_url": moto_url}
    first = saved(
        tmp_path / "alpha.yaml",
        configuration(server, {"aws": store}, credential("alpha", name), **local_state(tmp_path)),
    )
    put(server, first, "alpha")
    client = fake_session.client("secretsmanager", endpoint_url=moto_url)
    arn = client.describe_secret(SecretId=name)["ARN"]
    client.close()
    config = configuration(server, {"aws": store}, credential("beta", arn), **local_state(tmp_path))
    judged(server, [first, saved(tmp_path / "beta.yaml", config)])


# ------------------------------------------------------------------------------------------------ in one file


AWS = {"type": "aws-secrets-manager", "region": "us-east-1"}
VAULT = {"type": "vault", "address": "https://vault.example:8200"}
ARN = "arn:aws:secretsmanager:us-east-1:111122223333:secret:team/payroll"


@pytest.mark.parametrize(
    ("stores", "secrets"),
    [
        ([{"type": "local", "path": "var/secrets.db"}, {"type": "local", "path": "./link/../var/secrets.db"}], "pp"),
        ([{"type": "local", "path": "var/secrets.db"}, {"type": "local", "path": "link/secrets.db"}], "pp"),
        ([{"type": "local", "path": "loop/secrets.db"}, {"type": "local", "path": "./loop/secrets.db"}], "pp"),
        ([VAULT, {**VAULT, "address": "HTTPS://Vault.example:8200/", "mount": "/secret/"}], ["a/b", "/a//b/"]),
        ([{**VAULT, "address": "https://vault.example"}, {**VAULT, "address": "https://vault.example:443"}], "pp"),
        ([AWS, {**AWS, "region": None}], [f"{ARN}-AbC123", f"{ARN}-AbC123"]),
    ],
)
def test_one_file_with_two_names_for_a_secret_is_refused(
    server: SandboxServer, tmp_path: Path, stores: list[Any], secrets: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check` ends with 2 and names both credentials, however the store or the secret is spelled."""
    (tmp_path / "var").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "var")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    credentials = [credential(name, secret, store=name) for name, secret in zip(NAMES, secrets, strict=True)]
    config = configuration(server, dict(zip(NAMES, stores, strict=True)), *credentials)
    assert commands.run(["-c", str(saved(tmp_path / "both.yaml", config)), "check"]) == 2
    out, err = capsys.readouterr()
    assert "credentials[1] (beta).secret: credential alpha already rotates this secret" in out + err


@pytest.mark.parametrize(
    ("secrets", "warns"),
    [
        (["team/payroll", f"{ARN}-AbC123"], True),
        ([f"{ARN}-AbC123", "team/payroll"], True),
        ([ARN, f"{ARN}-AbC123"], True),
        (["team/payroll-export", f"{ARN}-export-AbC123"], True),
        (["team/payroll", f"{ARN}-export-AbC123"], False),
        (["team/payroll", "team/payroll-export"], False),
    ],
)
def test_a_name_beside_an_arn_of_that_name_is_a_warning(
    server: SandboxServer, tmp_path: Path, secrets: list[str], *, warns: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ARN may be another account's secret of the same name, so `check` warns; only the store can tell."""
    credentials = [credential(name, secret) for name, secret in zip(NAMES, secrets, strict=True)]
    config = configuration(server, {"aws": AWS}, *credentials)
    assert commands.run(["-c", str(saved(tmp_path / "both.yaml", config)), "check"]) == 0
    out, err = capsys.readouterr()
    assert (f"credentials[1] (beta).secret: may be the secret of credential alpha, {secrets[0]}" in out + err) is warns


@pytest.mark.parametrize("secrets", [["team/payroll", f"{ARN}-AbC123"], [f"{ARN}-AbC123", "team/payroll"]])
def test_two_grants_on_what_may_be_one_secret_are_refused(
    server: SandboxServer, tmp_path: Path, secrets: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two refresh tokens the store shows that they are one; two grants have nothing to be found by."""
    alpha, beta = (credential(name, secret) for name, secret in zip(NAMES, secrets, strict=True))
    config = configuration(server, {"aws": AWS}, alpha, {**beta, "grant": "client_credentials"})
    assert commands.run(["-c", str(saved(tmp_path / "both.yaml", config)), "check"]) == 2
    out, err = capsys.readouterr()
    assert f"is, or may be, the secret of credential alpha, {secrets[0]}, which has another grant" in out + err


def test_a_name_and_an_arn_of_one_secret_are_both_left_alone(
    server: SandboxServer, tmp_path: Path, moto_url: str, fake_session: Any, new_name: Callable[[str], str]
) -> None:
    """With both in one file nothing is sent and the code is 1, for the store says that they are one secret."""
    name = new_name("oauth/payroll")
    store = {"type": "aws-secrets-manager", "region": "us-east-1", "endpoint_url": moto_url}
    path = tmp_path / "both.yaml"
    saved(path, configuration(server, {"aws": store}, credential("alpha", name), **local_state(tmp_path)))
    put(server, path, "alpha")
    client = fake_session.client("secretsmanager", endpoint_url=moto_url)
    arn = client.describe_secret(SecretId=name)["ARN"]
    client.close()
    credentials = [credential("alpha", name), credential("beta", arn)]
    saved(path, configuration(server, {"aws": store}, *credentials, **local_state(tmp_path)))
    assert commands.run(["-c", str(path), "once", "--force"]) == 1
    assert commands.run(["-c", str(path), "once", "--force", "--name", "beta"]) == 1
    assert commands.run(["-c", str(path), "check", "--live"]) == 1
    assert server.face("auth0").report.requests == 0
