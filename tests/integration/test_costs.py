"""What a rotation costs in calls, counted on the wire or at the SDK, on AWS, on Vault and on the local store."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from rotator import outcomes
from rotator.looks import Found, Looks, Sight
from rotator.operations import Operations
from rotator.testing.sandbox import Client
from tests.integration.conftest import Deployment, counted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rotator.testing.vault_double import VaultDouble

CREDENTIAL = "{{name: {name}, provider: {provider}, client_id: sandbox-client, client_secret: {{env: CLIENT_SECRET}}}}"


def credentials(*names: str) -> str:
    lines = [f"  - {CREDENTIAL.format(name=name, provider=name.split('-', maxsplit=1)[0])}" for name in names]
    return "credentials:\n" + "\n".join(lines) + "\n"


def rotated_once(deployment: Deployment) -> Counter[str]:
    """Rotate one credential that is due and return the calls it took."""
    deployment.seed()
    deployment.clock.advance(86_400)
    [outcome] = deployment.pass_()
    assert isinstance(outcome, outcomes.Rotated), outcome
    return deployment.calls


def on_aws(
    deploy: Callable[[str], Deployment],
    moto_url: str,
    ministack_url: str,
    table: str,
    more: str,
    writes: str = "strict",
) -> Deployment:
    deployment = deploy(
        f"stores: {{main: {{type: aws-secrets-manager, writes: {writes}, endpoint_url: '{moto_url}'}}}}\n"
        f"state: {{type: dynamodb, table: {table}, endpoint_url: '{ministack_url}'}}\n"
        "seal: {key_env: SEAL_KEY}\n" + more
    )
    counted(deployment, deployment.app.stores["main"]._client)
    counted(deployment, deployment.app.state._client)  # type: ignore[attr-defined]
    return deployment


def test_a_rotation_on_aws_with_escrow_in_the_state(
    deploy: Callable[[str], Deployment], moto_url: str, ministack_url: str, table: str, new_name: Callable[[str], str]
) -> None:
    """One read, one put, one move of the label; two reads and three writes of the state; one token request."""
    deployment = on_aws(deploy, moto_url, ministack_url, table, credentials(new_name("dailypay")))
    assert rotated_once(deployment) == {
        "GetSecretValue": 1,
        "PutSecretValue": 1,
        "UpdateSecretVersionStage": 1,
        "GetItem": 2,
        "PutItem": 3,
    }
    assert deployment.sandbox.face("dailypay").report.requests == 1


def test_a_rotation_on_aws_with_escrow_in_a_file(
    deploy: Callable[[str], Deployment],
    moto_url: str,
    ministack_url: str,
    table: str,
    new_name: Callable[[str], str],
    tmp_path: Path,
) -> None:
    """With the escrow in a file, the state takes two writes."""
    more = f"escrow: {{type: file, path: {tmp_path}/escrow}}\n" + credentials(new_name("auth0"))
    deployment = on_aws(deploy, moto_url, ministack_url, table, more)
    assert rotated_once(deployment) == {
        "GetSecretValue": 1,
        "PutSecretValue": 1,
        "UpdateSecretVersionStage": 1,
        "GetItem": 2,
        "PutItem": 2,
    }


def test_a_rotation_on_aws_with_fenced_writes(
    deploy: Callable[[str], Deployment], moto_url: str, ministack_url: str, table: str, new_name: Callable[[str], str]
) -> None:
    """One write-class call instead of two, and two looks at the labels."""
    deployment = on_aws(deploy, moto_url, ministack_url, table, credentials(new_name("dailypay")), "fenced")
    assert rotated_once(deployment) == {
        "GetSecretValue": 1,
        "DescribeSecret": 2,
        "PutSecretValue": 1,
        "GetItem": 2,
        "PutItem": 3,
    }


def test_a_rotation_on_vault(deploy: Callable[[str], Deployment], vault: VaultDouble, tmp_path: Path) -> None:
    """With document and state in Vault: three reads and, with the escrow in the state, four writes."""
    (tmp_path / "token").write_text(vault.root)
    deployment = deploy(
        f"stores: {{main: {{type: vault, address: '{vault.address}', "
        f"auth: {{method: token, token: {{file: {tmp_path}/token}}}}}}}}\n"
        "state: {type: vault, store: main}\n"
        "seal: {key_env: SEAL_KEY}\n" + credentials("dailypay-1")
    )
    deployment.seed()
    before = len(vault.seen)
    deployment.clock.advance(86_400)
    [outcome] = deployment.pass_()
    assert isinstance(outcome, outcomes.Rotated), outcome
    calls = Counter(seen.method for seen in vault.seen[before:] if "/auth/" not in f"/{seen.path}")
    assert calls == {"GET": 3, "POST": 4}, "\n".join(f"{s.method} {s.path[:60]}" for s in vault.seen[before:])
    assert deployment.sandbox.face("dailypay").report.requests == 1


def test_nothing_due_costs_the_due_check_alone(
    deploy: Callable[[str], Deployment], moto_url: str, ministack_url: str, table: str, new_name: Callable[[str], str]
) -> None:
    """A pass over a fresh credential reads it once and writes nothing."""
    deployment = on_aws(deploy, moto_url, ministack_url, table, credentials(new_name("auth0")))
    deployment.seed()
    [outcome] = deployment.pass_()
    assert isinstance(outcome, outcomes.Fresh)
    assert deployment.calls == {"GetSecretValue": 1, "GetItem": 2}


def test_the_check_for_changes_reads_versions_only(
    deploy: Callable[[str], Deployment], moto_url: str, ministack_url: str, table: str, new_name: Callable[[str], str]
) -> None:
    """What notices a person's edit lists versions and reads no value."""
    deployment = on_aws(deploy, moto_url, ministack_url, table, credentials(new_name("auth0")))
    deployment.seed()
    [credential] = deployment.app.credentials
    before = deployment.app.stores["main"].versions([credential.secret])
    assert deployment.calls == {"ListSecrets": 1}
    deployment.seed()
    after = deployment.app.stores["main"].versions([credential.secret])
    assert set(before) == set(after) == {credential.secret}
    assert before != after


def test_a_fleet_on_aws_rotates_and_stays_live(
    deploy: Callable[[str], Deployment], moto_url: str, ministack_url: str, table: str, new_name: Callable[[str], str]
) -> None:
    """Ten credentials of both providers, three rounds: every stored token is the live one, none was sent twice."""
    names = [new_name(face) for face in ("auth0", "dailypay") for _ in range(5)]
    deployment = on_aws(deploy, moto_url, ministack_url, table, credentials(*names))
    deployment.seed()
    for _ in range(3):
        deployment.clock.advance(86_400)
        assert all(isinstance(outcome, outcomes.Rotated) for outcome in deployment.pass_())
    for face in deployment.sandbox.faces.values():
        assert face.report.reuse_detections == 0
        assert face.report.spent_twice == ()
    for credential in deployment.app.credentials:
        face = deployment.sandbox.face(credential.provider.name)
        stored = deployment.document(credential.name)["refresh_token"]
        live = face.live_refresh_token(face.family_of(stored))
        assert live is not None
        assert live.reveal() == stored


def test_dailypay_works_without_a_client_secret(
    deploy: Callable[[str], Deployment], moto_url: str, ministack_url: str, table: str, new_name: Callable[[str], str]
) -> None:
    """A DailyPay client that has no secret sends its id alone, and is refreshed."""
    more = f"credentials: [{{name: {new_name('dailypay')}, provider: dailypay, client_id: public-client}}]\n"
    deployment = on_aws(deploy, moto_url, ministack_url, table, more)
    clients = deployment.sandbox.face("dailypay").settings.clients
    clients["public-client"] = Client("public-client", auth="none")
    [credential] = deployment.app.credentials
    answer = deployment.sandbox.face("dailypay").login("public-client")
    Operations(deployment.app).put(credential, json.dumps(answer))
    deployment.clock.advance(86_400)
    [outcome] = deployment.pass_()
    assert isinstance(outcome, outcomes.Rotated), outcome


def test_a_start_on_aws_reads_in_twenties_and_a_restart_reads_no_value(
    deploy: Callable[[str], Deployment], moto_url: str, ministack_url: str, table: str, new_name: Callable[[str], str]
) -> None:
    """One listing and three reads for 45 secrets; after rotator has written them all, the listing and the records."""
    names = [new_name("dailypay") for _ in range(45)]
    deployment = on_aws(deploy, moto_url, ministack_url, table, credentials(*names))
    deployment.seed()
    deployment.calls.clear()
    seen = started(deployment)
    assert len(seen) == len(names)
    assert all(isinstance(one, Sight) for one in seen)
    assert deployment.calls["BatchGetSecretValue"] <= 45 / 20 + 1
    assert deployment.calls["ListSecrets"] <= 1 + 1
    assert deployment.calls["BatchGetItem"] <= 2
    deployment.clock.advance(86_400)
    assert {type(outcome) for outcome in deployment.pass_()} == {outcomes.Rotated}
    deployment.calls.clear()
    assert len(started(deployment)) == len(names)
    assert not deployment.calls.keys() & {"BatchGetSecretValue", "GetSecretValue"}


def started(deployment: Deployment) -> list[Found]:
    """Return what the daemon's first look finds."""
    looks = Looks(deployment.app.observer, lambda: None)
    looks.look(deployment.app.credentials, listed=True)
    found: list[Found] = []
    while looks.waiting:
        found += looks.found()
    looks.stop()
    return found
