"""The composition root: every adapter from settings alone, and no more SDKs than are used."""

from __future__ import annotations

import base64
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rotator import adapters
from rotator.config.load import load_config
from rotator.errors import ConfigError, PluginError
from rotator.escrow.file import FileEscrow
from rotator.escrow.record import RecordEscrow
from rotator.redact import Secret
from rotator.state.dynamodb import DynamoDbStateStore
from rotator.state.local import LocalStateStore
from rotator.state.vault import VaultStateStore
from rotator.stores.aws import AwsSecretStore
from rotator.stores.local import LocalSecretStore
from rotator.stores.vault import VaultSecretStore
from rotator.testing.memory import MemorySecretStore, MemoryStateStore, SeededRandomness, SequentialIds, VirtualClock
from rotator.wiring import App, Surroundings, build
from tests.config.plug_ins import install

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = base64.b64encode(bytes(range(32))).decode()

BASE: dict[str, Any] = {
    "version": 1,
    "stores": {"main": {"type": "local", "path": "secrets.db"}},
    "providers": {"acme": {"profile": "generic", "token_endpoint": "https://id.acme.example/token"}},
    "credentials": [{"name": "alpha", "provider": "acme", "client_id": "client"}],
}
AWS = {"type": "aws-secrets-manager", "region": "us-east-1"}
DYNAMO = {"type": "dynamodb", "table": "state", "region": "us-east-1"}
VAULT = {"type": "vault", "address": "https://vault.invalid:8200"}
SEAL = {"key_env": "ROTATOR_SEAL_KEY"}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Building opens no connection; and finds nothing of this machine's own AWS set-up."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("ROTATOR_SEAL_KEY", KEY)
    monkeypatch.chdir(tmp_path)


def built(env: Mapping[str, str] | None = None, **sections: Any) -> App:
    given = {"ROTATOR_SEAL_KEY": KEY, "VAULT_TOKEN": "canary-vault-token", **(env or {})}
    settings = load_config(json.dumps({**BASE, **sections}), given)
    surroundings = Surroundings(given, VirtualClock(), SequentialIds(), SeededRandomness())
    return build(settings, "once", surroundings)


# ------------------------------------------------------------------------------------------------------ adapters


def test_a_local_store_state_and_escrow() -> None:
    """Without a word about state and escrow both are files of this machine, and building makes none of them."""
    app = built()

    assert isinstance(app.stores["main"], LocalSecretStore)
    assert isinstance(app.state, LocalStateStore)
    assert isinstance(app.escrow, FileEscrow)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(("writes", "kind"), [({}, "StrictWrites"), ({"writes": "fenced"}, "FencedWrites")])
def test_a_store_in_aws(writes: dict[str, str], kind: str) -> None:
    """A store in Secrets Manager is built from its region alone, and writes as the configuration says."""
    app = built(stores={"main": AWS | writes})

    assert isinstance(app.stores["main"], AwsSecretStore)
    assert (app.stores["main"].name, type(app.stores["main"]._writes).__name__) == ("main", kind)


def test_a_state_in_dynamodb() -> None:
    """A DynamoDB state is shared, and so is the escrow that comes with it."""
    app = built(state=DYNAMO, seal=SEAL)

    assert isinstance(app.state, DynamoDbStateStore)
    assert isinstance(app.escrow, RecordEscrow)
    assert (app.state.shared, app.escrow.shared) == (True, True)


def test_a_store_and_a_state_in_vault_share_one_login() -> None:
    """The store and the state in one Vault log in once."""
    app = built(stores={"main": VAULT}, state={"type": "vault", "store": "main", "path": "rotator/state"}, seal=SEAL)

    assert isinstance(app.stores["main"], VaultSecretStore)
    assert isinstance(app.state, VaultStateStore)
    assert app.stores["main"]._session is app.state._kv.session
    assert app.state.shared


def test_two_vaults_have_logins_of_their_own() -> None:
    """Two Vault stores do not share a session."""
    app = built(
        stores={"main": VAULT, "other": VAULT | {"mount": "kv"}},
        credentials=[{"name": "alpha", "provider": "acme", "store": "main"}],
    )

    one, other = app.stores["main"], app.stores["other"]
    assert isinstance(one, VaultSecretStore)
    assert isinstance(other, VaultSecretStore)
    assert one._session is not other._session


def test_a_file_escrow_beside_a_shared_state() -> None:
    """A configured escrow goes before the state's own."""
    app = built(state=DYNAMO, seal=SEAL, escrow={"type": "file", "path": "escrow"})

    assert isinstance(app.escrow, FileEscrow)


AUTHS: list[tuple[dict[str, Any], str]] = [
    ({"method": "token"}, "TokenAuth"),
    ({"method": "token", "token": {"env": "OTHER_TOKEN"}}, "TokenAuth"),
    ({"method": "approle", "role_id": "role", "secret_id": {"env": "OTHER_TOKEN"}}, "AppRoleAuth"),
    ({"method": "kubernetes", "role": "rotator"}, "KubernetesAuth"),
    ({"method": "jwt", "role": "rotator", "jwt": {"env": "OTHER_TOKEN"}}, "JwtAuth"),
    ({"method": "aws", "role": "rotator"}, "AwsAuth"),
    ({"method": "aws", "region": "eu-west-1", "header": "vault.example"}, "AwsAuth"),
]


@pytest.mark.parametrize(("auth", "kind"), AUTHS, ids=[json.dumps(auth) for auth, _ in AUTHS])
def test_every_login_to_vault(auth: dict[str, Any], kind: str) -> None:
    """Each method becomes its login, without a call and without a secret in its text."""
    app = built({"OTHER_TOKEN": "canary-other"}, stores={"main": VAULT | {"auth": auth}})
    store = app.stores["main"]
    assert isinstance(store, VaultSecretStore)

    login = store._session._auth

    assert type(login).__name__ == kind
    assert "canary" not in repr(login)


def test_a_login_reads_its_secret_when_it_logs_in() -> None:
    """The token of a login is read from its source at the time of use."""
    env = {"VAULT_TOKEN": "canary-first"}
    entry = load_config(json.dumps({**BASE, "stores": {"main": VAULT}}), env).stores["main"]
    auth = adapters._vault_auth("main", entry, env)  # type: ignore[arg-type]  # it is one of Vault's
    env["VAULT_TOKEN"] = "canary-second"

    assert auth.token() == Secret("canary-second")


def test_a_login_from_a_store_is_refused() -> None:
    """A login to a store cannot come from a store, even past the check of the configuration."""
    with pytest.raises(ConfigError, match="cannot be read from secret in store main") as refused:
        adapters._no_store("main", "secret")

    assert refused.value.problems[0].hint == "use {env: NAME} or {file: PATH}"


def test_every_kind_of_seal_key(tmp_path: Path) -> None:
    """A key from the environment and one from a file seal alike; one of KMS is not asked for before it is used."""
    file = tmp_path / "seal.key"
    file.write_text(KEY)
    file.chmod(0o600)
    from_env = built(seal=SEAL).seal
    from_file = built(seal={"key_file": str(file)}).seal
    built(state=DYNAMO, seal={"kms_key_id": "alias/rotator"})
    built(seal={"kms_key_id": "alias/rotator"})

    assert from_env.audit_digest("x") == from_file.audit_digest("x")


def test_a_kms_key_is_asked_for_where_the_state_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The KMS client gets the region of the DynamoDB state, for both belong to one deployment."""
    asked: list[tuple[str, str | None]] = []

    def client(service: str, *, region: str | None, **_: Any) -> object:
        asked.append((service, region))
        return object()

    monkeypatch.setattr("rotator.aws_session.client", client)
    monkeypatch.setattr("rotator.adapters.key_from_kms", lambda *_: bytes(32))
    app = built(state=DYNAMO, seal={"kms_key_id": "alias/rotator"})
    assert asked == [("dynamodb", "us-east-1")]

    app.seal.audit_digest("x")

    assert asked[1:] == [("kms", "us-east-1")]


def test_the_key_of_a_local_state_lies_beside_it() -> None:
    """Without `seal` a local state's key file is made on first use, beside the state."""
    app = built(state={"type": "local", "path": "somewhere/state.db"})

    app.seal.audit_digest("x")

    assert Path("somewhere/state.db.key").stat().st_mode & 0o777 == 0o600


def test_stores_are_made_once_and_on_use() -> None:
    """A store is one object however often it is asked for, and the mapping knows all names without making any."""
    app = built(
        stores={"main": {"type": "local", "path": "a.db"}, "other": AWS},
        credentials=[{"name": "alpha", "provider": "acme", "store": "main"}],
    )

    assert (list(app.stores), len(app.stores)) == (["main", "other"], 2)
    assert app.stores["main"] is app.stores["main"]


def test_plug_ins_get_their_own_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store and a state of a plug-in are called with their options and the clock."""
    install(
        tmp_path,
        monkeypatch,
        module="wiring_plug_in",
        code=(
            "from rotator.testing.memory import MemorySecretStore, MemoryStateStore\n"
            "def store(name, options, clock):\n"
            "    made = MemorySecretStore(name, clock)\n"
            "    made.options = dict(options)\n"
            "    return made\n"
            "def state(options, clock):\n"
            "    made = MemoryStateStore()\n"
            "    made.options = dict(options)\n"
            "    return made\n"
        ),
        points="[rotator.stores]\nmemory = wiring_plug_in:store\n[rotator.state]\nmemory = wiring_plug_in:state\n",
    )

    app = built(stores={"main": {"type": "memory", "size": 3}}, state={"type": "memory", "shards": 2}, seal=SEAL)

    store, state = app.stores["main"], app.state
    assert isinstance(store, MemorySecretStore)
    assert isinstance(state, MemoryStateStore)
    assert (store.options, state.options) == ({"size": 3}, {"shards": 2})  # type: ignore[attr-defined]  # the plug-in's


def test_a_plug_in_that_cannot_be_loaded_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store's plug-in that fails to load stops the start, not the first rotation."""
    install(
        tmp_path,
        monkeypatch,
        module="broken_plug_in",
        code="raise RuntimeError('half an upgrade')\n",
        points="[rotator.stores]\nbroken = broken_plug_in:store\n",
    )

    with pytest.raises(PluginError, match="half an upgrade"):
        built(stores={"main": {"type": "broken"}})


def test_an_unknown_credential_names_the_one_that_was_meant() -> None:
    """Asking for a name that is not configured says which one was probably meant."""
    with pytest.raises(ConfigError, match="there is no credential 'alhpa'") as unknown:
        built().credential("alhpa")

    assert unknown.value.problems[0].hint == "did you mean 'alpha'?"


def test_a_client_secret_in_a_store_is_read_on_use() -> None:
    """A client secret in another secret is read from the store at each use, not when the parts are put together."""
    source = {"store": "main", "secret": "client", "field": "secret"}
    app = built(credentials=[{**BASE["credentials"][0], "client_secret": source}])

    with pytest.raises(ConfigError, match="no secret client"):
        app.credentials[0].client_secret()
