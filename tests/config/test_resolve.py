"""Settings become credentials; rules across keys; secrets read from their sources at each use."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rotator.config import load_config, resolve
from rotator.config.checks import written_too_often
from rotator.config.model import AwsSecretsManagerStore, CredentialSettings, EnvSource, LocalStore, Settings
from rotator.errors import ConfigError
from rotator.model import Provider
from rotator.redact import Secret
from tests.config.right_config import (
    ENV,
    RIGHT,
    both,
    changed,
    load,
    no_store,
    problems,
    resolved,
    with_credential,
    with_provider,
)

if TYPE_CHECKING:
    from pathlib import Path


SHARED = {"state": {"type": "dynamodb", "table": "t"}, "seal": {"key_env": "SEAL_KEY"}}
VAULT = {"type": "vault", "address": "https://v:8200"}


def test_a_credential_has_its_provider_store_and_secret() -> None:
    """The one store and the credential's own name fill in what is left out; without sources there are no secrets."""
    found = resolved()
    [credential] = found.credentials
    assert found.providers == {"acme": Provider("acme", "generic", "https://id.acme.example/token")}
    assert credential.provider is not None
    assert (credential.name, credential.store, credential.secret) == ("one", "main", "one")
    assert credential.provider == found.providers["acme"]
    assert (credential.client_secret(), credential.private_key()) == (None, None)
    assert found.warnings == []


def test_what_a_credential_states_is_kept() -> None:
    """Each key of an entry arrives in the core's terms."""
    keys = {"secret": "a/b", "client_id": "id", "scope": "x y", "refresh_before_expiry": "5m", "store": "main"}
    [credential] = resolved(with_credential(**keys)).credentials
    assert (credential.secret, credential.client_id, credential.scope) == ("a/b", "id", "x y")
    assert credential.refresh_before_expiry_s == 300.0


def test_a_credentials_signing_keys_go_before_the_providers() -> None:
    """Key, key id, algorithm and audience may be the credential's own; the provider's serve the rest."""
    change = both(
        with_provider(client_auth="private_key_jwt", private_key={"env": "CLIENT_SECRET"}, key_id="p"),
        lambda content: content["credentials"].append(
            {"name": "two", "provider": "acme", "private_key": {"env": "SEAL_KEY"}, "key_id": "c",
             "algorithm": "ES256", "audience": "https://aud/"}
        ),
    )  # fmt: skip
    found = resolved(change)
    first, second = found.credentials
    assert first.private_key() == Secret(ENV["CLIENT_SECRET"])
    assert first.provider == found.providers["acme"]
    assert second.private_key() == Secret(ENV["SEAL_KEY"])
    assert second.provider == replace(first.provider, key_id="c", algorithm="ES256", audience="https://aud/")


# ------------------------------------------------------------------------------------------------- references


def test_two_stores_must_be_told_apart() -> None:
    """With more than one store, a credential names its own."""
    change: Any = lambda content: content["stores"].update(other={"type": "local", "path": "o"})  # noqa: E731 - a change
    assert problems(change) == [("credentials[0] (one).store", "is missing", "name one of the stores: main, other")]


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"provider": "acm"}, ("provider", "there is no provider 'acm'", "did you mean 'acme'?")),
        ({"store": "mian"}, ("store", "there is no store 'mian'", "did you mean 'main'?")),
        (
            {"client_secret": {"store": "mian", "secret": "s", "field": "f"}},
            ("client_secret", "there is no store 'mian'", "did you mean 'main'?"),
        ),
        (
            {"client_secret": {"env": "NOPE"}},
            ("client_secret", "the environment variable NOPE is not set", "set NOPE"),
        ),
        (
            {"client_secret": {"env": "not a name"}},
            ("client_secret", "is not the name of an environment variable", "letters, digits and _ only"),
        ),
        (
            {"client_secret": {"file": "/no/such/file"}},
            ("client_secret", "the file /no/such/file is not there", "create it, or correct the path"),
        ),
    ],
)
def test_a_name_that_leads_nowhere_is_a_problem(keys: dict[str, Any], problem: tuple[str, str, str]) -> None:
    """Providers, stores and sources must exist when the configuration is checked."""
    where, what, hint = problem
    assert problems(with_credential(**keys)) == [(f"credentials[0] (one).{where}", what, hint)]


def test_an_empty_variable_is_no_secret() -> None:
    """A variable that is set to nothing is told apart from one that is not set."""
    [(_, what, _)] = problems(with_credential(client_secret={"env": "EMPTY"}), {**ENV, "EMPTY": ""})
    assert what == "the environment variable EMPTY is empty"


def test_the_source_of_a_providers_key_is_checked_too() -> None:
    """A key that all credentials of a provider share is the provider's problem."""
    change = with_provider(client_auth="private_key_jwt", private_key={"env": "NOPE"})
    assert problems(change) == [("providers.acme.private_key", "the environment variable NOPE is not set", "set NOPE")]


# -------------------------------------------------------------------------------------------------- duplicates


@pytest.mark.parametrize(
    ("stores", "first", "second"),
    [
        ({"main": {"type": "local", "path": "a"}}, {"secret": "s"}, {"secret": "s"}),
        ({"main": {"type": "local", "path": "a"}}, {"name": "s"}, {"secret": "s"}),
        (
            {"main": {"type": "aws-secrets-manager"}, "again": {"type": "aws-secrets-manager"}},
            {"secret": "s", "store": "main"},
            {"secret": "s", "store": "again"},
        ),
        (
            {"main": VAULT, "again": {**VAULT, "auth": {"method": "kubernetes", "role": "r"}}},
            {"secret": "/a/s", "store": "main"},
            {"secret": "a/s/", "store": "again"},
        ),
    ],
)
def test_two_credentials_must_not_share_a_secret(
    stores: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    """One secret, whatever it is called and however one logs in, has one credential."""
    entries = [{"name": "one", "provider": "acme", **first}, {"name": "two", "provider": "acme", **second}]
    assert problems(lambda content: content.update(stores=stores, credentials=entries)) == [
        (
            "credentials[1] (two).secret",
            f"credential {entries[0]['name']} already rotates this secret",
            "a refresh token has one owner: keep one of the two credentials",
        )
    ]


def test_one_secret_name_in_two_stores_is_two_secrets() -> None:
    """Different mounts, or different files, hold different secrets of the same name."""
    stores = {"a": {"type": "local", "path": "a"}, "b": {"type": "local", "path": "b"}}
    entries = [{"name": name, "provider": "acme", "secret": "s", "store": name} for name in stores]
    assert len(resolved(lambda content: content.update(stores=stores, credentials=entries)).credentials) == 2


def test_a_name_is_given_once() -> None:
    """The second credential of a name is the problem."""
    entries = [{"name": "one", "provider": "acme", "secret": secret} for secret in "ab"]
    assert problems(lambda content: content.update(credentials=entries)) == [
        (
            "credentials[1] (one).name",
            "credentials[0] has the same name",
            "names identify credentials; give each its own",
        )
    ]


# ------------------------------------------------------------------------------------------------- client auth


@pytest.mark.parametrize("method", ["none", "private_key_jwt"])
def test_a_client_secret_that_is_never_sent_is_a_problem(method: str) -> None:
    """A secret beside a method that has no use for it is a misunderstanding."""
    change = both(
        with_provider(client_auth=method, **({"private_key": {"env": "SEAL_KEY"}} if method != "none" else {})),
        with_credential(client_secret={"env": "CLIENT_SECRET"}),
    )
    assert problems(change) == [
        (
            "credentials[0] (one).client_secret",
            f"is never sent: provider acme has client_auth: {method}",
            "leave it out, or correct client_auth",
        )
    ]


def test_an_assertion_needs_a_key() -> None:
    """private_key_jwt without a private key in either entry cannot work."""
    [(where, what, _)] = problems(with_provider(client_auth="private_key_jwt"))
    assert where == "credentials[0] (one).private_key"
    assert what == "is missing: provider acme has client_auth: private_key_jwt"


def test_a_private_key_that_is_never_used_is_a_problem() -> None:
    """A key beside a method that signs nothing is a misunderstanding too."""
    [(where, what, _)] = problems(with_credential(private_key={"env": "SEAL_KEY"}))
    assert where == "credentials[0] (one).private_key"
    assert what == "is never used: provider acme has client_auth: client_secret_post"


# ------------------------------------------------------------------------------------------ state, escrow, seal


def test_a_shared_state_needs_a_seal() -> None:
    """Without one key for all replicas none could open what another one sealed."""
    hint = "add seal: {key_env: NAME}, {key_file: PATH} or {kms_key_id: ID}"
    what = "is missing: what is sealed must be opened by every replica that shares the state"
    change: Any = lambda content: content.update(state=SHARED["state"])  # noqa: E731 - a change
    assert problems(change) == [("seal", what, hint)]
    with_file = both(change, lambda content: content.update(escrow={"type": "file", "path": "e"}))
    assert problems(with_file) == [("seal", what, hint)]


@pytest.mark.parametrize("text", ["", "c2hvcnQ=", "no base64 at all!", "AAAA" * 11, "ä" * 44])
def test_a_seal_key_is_32_bytes_in_base64(text: str) -> None:
    """A key of another length or alphabet is refused without being shown."""
    [(where, what, hint)] = problems(lambda content: content.update(SHARED), {"SEAL_KEY": text})
    assert where == "seal.key_env"
    assert what in {"SEAL_KEY does not hold 32 bytes in base64", "the environment variable SEAL_KEY is empty"}
    assert hint in {"make one with: openssl rand -base64 32", "set SEAL_KEY"}


def test_a_seal_variable_must_be_set() -> None:
    """A missing key stops the start, not the first rotation."""
    assert problems(lambda content: content.update(SHARED), {}) == [
        ("seal.key_env", "the environment variable SEAL_KEY is not set", "set SEAL_KEY")
    ]


@pytest.mark.parametrize("seal", [{"kms_key_id": "alias/r"}, {"key_env": "SEAL_KEY"}])
def test_a_good_seal_beside_a_shared_state_raises_no_doubt(seal: dict[str, str]) -> None:
    """KMS and a variable are both the same for every replica."""
    assert load(lambda content: content.update({**SHARED, "seal": seal})).warnings == []


def test_a_key_file_beside_a_shared_state_should_exist(tmp_path: Path) -> None:
    """Made on first use by each replica, it would differ: that is a warning until the file is there."""
    path = tmp_path / "seal.key"
    change: Any = lambda content: content.update({**SHARED, "seal": {"key_file": str(path)}})  # noqa: E731 - a change
    assert [warning.what for warning in load(change).warnings] == [
        "does not exist yet, and every replica that shares the state must have the same key"
    ]
    path.write_text(ENV["SEAL_KEY"])
    assert load(change).warnings == []


def test_a_local_state_is_an_error_on_lambda() -> None:
    """The disk of a function does not outlive the run; nor does a file escrow beside a shared state."""
    [(where, what, _)] = problems(lambda content: None, mode="lambda")
    assert where == "state"
    assert what.startswith("a local state does not outlive a run on Lambda")
    change: Any = lambda content: content.update(SHARED, escrow={"type": "file"})  # noqa: E731 - a change
    assert [where for where, _, _ in problems(change, mode="lambda")] == ["escrow"]
    assert load(lambda content: content.update(SHARED), mode="lambda").warnings == []
    with pytest.raises(ConfigError):
        resolved(mode="lambda")


def test_a_faulty_state_is_not_judged_by_its_default() -> None:
    """On Lambda, a state with a wrong key is one problem: it was not meant to be local."""
    change: Any = lambda content: content.update(state={"type": "dynamodb", "table": "t", "x": 1})  # noqa: E731 - a change
    assert [where for where, _, _ in problems(change, mode="lambda")] == ["state.x"]


def test_a_local_state_in_a_pod_is_a_warning() -> None:
    """A volume may be mounted there, so it is not refused."""
    settings = load(env={**ENV, "KUBERNETES_SERVICE_HOST": "10.0.0.1"})
    assert [(problem.where, problem.what) for problem in settings.warnings] == [
        ("ROTATOR_CONFIG_YAML: state", "a local state keeps its promises only on a disk that outlives the pod")
    ]


@pytest.mark.parametrize(
    ("store", "what"),
    [("v", None), ("main", "the store 'main' is not a Vault"), ("vv", "there is no store 'vv'")],
)
def test_a_state_in_vault_names_a_vault(store: str, what: str | None) -> None:
    """The reference must lead to a store of that type."""

    def change(content: dict[str, Any]) -> None:
        content["stores"]["v"] = VAULT
        content["credentials"][0]["store"] = "main"
        content |= {"state": {"type": "vault", "store": store}, "seal": SHARED["seal"]}

    if what:
        assert [(where, found) for where, found, _ in problems(change)] == [("state.store", what)]
    else:
        assert load(change).warnings == []


def test_a_vault_that_cannot_be_read_is_still_a_store() -> None:
    """A state in a store with a mistake of its own gives one problem."""

    def change(content: dict[str, Any]) -> None:
        content["stores"]["v"] = {**VAULT, "adress": "x"}
        content["credentials"][0]["store"] = "main"
        content |= {"state": {"type": "vault", "store": "v"}, "seal": SHARED["seal"]}

    assert [where for where, _, _ in problems(change)] == ["stores.v.adress"]


def test_a_listener_of_this_machine_needs_no_token() -> None:
    """By any of its names."""
    for listen in ("127.0.0.1:9464", "localhost:9464", "[::1]:9464"):
        settings = load(lambda content, listen=listen: content.update(http={"listen": listen}))
        assert settings.http is not None
        assert settings.warnings == []


def test_a_listener_for_others_without_a_token_is_a_warning() -> None:
    """It says what is answered then; with a token there is none."""
    settings = load(lambda content: content.update(http={"listen": "0.0.0.0:9464"}))
    [warning] = settings.warnings
    assert warning.where == settings.origin.where(("http", "token"))
    assert "/healthz and /readyz are answered, and nothing else" in warning.what
    given = {"listen": "0.0.0.0:9464", "token": {"env": "PATH"}}
    assert load(lambda content: content.update(http=given)).warnings == []


# ---------------------------------------------------------------------------------------------- writing often


@pytest.mark.parametrize(
    ("lifetime", "margin", "interval"), [("16m", None, "864"), ("1h", "50m", None), ("20m", "10m", "600")]
)
def test_writing_a_secret_too_often_is_a_warning_on_aws(
    lifetime: str, margin: str | None, interval: str | None
) -> None:
    """Known lifetimes are held against the versions that Secrets Manager keeps; other stores have no such limit."""
    change = both(
        with_provider(default_lifetime=lifetime),
        with_credential(**({"refresh_before_expiry": margin} if margin else {})),
    )
    on_aws = both(change, lambda content: content.update(stores={"main": {"type": "aws-secrets-manager"}}))
    found = [warning.what for warning in load(on_aws).warnings]
    told = f"would be written every {interval} s, and Secrets Manager keeps about 100 versions a day"
    assert found == ([told] if interval else [])
    assert load(change).warnings == []


def test_fifteen_minutes_between_writes_are_enough() -> None:
    """The limit belongs to Secrets Manager alone and is 900 seconds."""
    aws = AwsSecretsManagerStore(type="aws-secrets-manager")
    assert written_too_often(aws, 899.0)
    assert not written_too_often(aws, 900.0)
    assert not written_too_often(LocalStore(type="local", path="x"), 1.0)


# ------------------------------------------------------------------------------------------ settings by hand


def test_settings_made_in_a_program_resolve_too() -> None:
    """Without a file, messages name the place by its path alone, and the same rules hold."""
    settings = Settings.model_validate(RIGHT)
    assert [c.name for c in resolve(settings, read_secret=no_store, env={}).credentials] == ["one"]
    wrong = Settings.model_validate({**RIGHT, "credentials": [{"name": "one", "provider": "nobody"}]})
    with pytest.raises(ConfigError) as caught:
        resolve(wrong, read_secret=no_store, env={})
    assert [problem.where for problem in caught.value.problems] == ["configuration: credentials[0].provider"]


def test_a_whole_text_in_braces_is_a_text() -> None:
    """JSON is YAML: a text that begins with a brace needs no line break to be told from a path."""
    text = json.dumps(RIGHT)
    assert load_config(text, {}).source == "ROTATOR_CONFIG_YAML"
    assert load_config(changed(), {}, source="stdin").source == "stdin"


def test_a_source_can_be_given_as_an_object() -> None:
    """A program need not go through mappings."""
    entry = CredentialSettings(name="one", provider="acme", client_secret=EnvSource(env="CLIENT_SECRET"))
    settings = Settings.model_validate({**RIGHT, "credentials": [entry]})
    [credential] = resolve(settings, read_secret=no_store, env=ENV).credentials
    assert credential.client_secret() == Secret(ENV["CLIENT_SECRET"])
