"""Where secrets are sent: endpoints, Vault addresses, logins."""

from __future__ import annotations

from typing import Any

import pytest

from tests.config.right_config import load, problems, put


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8080/t", "http://localhost/t", "http://[::1]:1/t", "http://127.8.8.8/t", "https://h/t?x=1"],
)
def test_http_is_for_loopback_and_a_query_is_kept(url: str) -> None:
    """A sandbox on this machine needs no TLS; a token endpoint may have a query."""
    assert load(put("providers.acme.token_endpoint", url)).providers["acme"].token_endpoint == url


@pytest.mark.parametrize(
    "url",
    ["id.acme.example", "ftp://h/", "https://", "https:///t", "https://h:99999/", "https://h:0/", "https://h /t",
     "https://[::1/t", "https://h\\@evil/", "https://bücher.example/t", ""],
)  # fmt: skip
def test_what_is_no_url_is_refused(url: str) -> None:
    """Anything that two parsers could read differently is no address for a secret."""
    [(where, what, _)] = problems(put("providers.acme.token_endpoint", url))
    assert where == "providers.acme.token_endpoint"
    assert what == "is not a URL"


@pytest.mark.parametrize(
    ("store", "key"),
    [
        ({"type": "vault", "address": "http://vault.internal:8200"}, "address"),
        ({"type": "vault", "address": "https://vault.internal:8200?x"}, "address"),
        ({"type": "aws-secrets-manager", "endpoint_url": "http://aws.example"}, "endpoint_url"),
    ],
)
def test_addresses_of_stores_follow_the_same_rules(store: dict[str, Any], key: str) -> None:
    """A Vault and an AWS endpoint are as sensitive as a token endpoint."""
    assert [where for where, _, _ in problems(put("stores.main", store))] == [f"stores.main.{key}"]


@pytest.mark.parametrize(
    "auth",
    [
        {"method": "token"},
        {"method": "token", "token": {"env": "CLIENT_SECRET"}},
        {"method": "approle", "role_id": "r", "secret_id": {"env": "CLIENT_SECRET"}, "mount": "m"},
        {"method": "kubernetes", "role": "r", "mount": "m", "token_file": "/t"},
        {"method": "aws", "role": "r", "mount": "m", "region": "eu-west-1", "header": "h"},
        {"method": "jwt", "role": "r", "jwt": {"env": "CLIENT_SECRET"}, "mount": "m"},
        None,
    ],
)
def test_each_way_to_log_in_to_vault_is_accepted(auth: dict[str, Any] | None) -> None:
    """All five methods are read, and a Vault without `auth` uses VAULT_TOKEN."""
    store = {"type": "vault", "address": "https://v:8200"} | ({"auth": auth} if auth else {})
    settings = load(put("stores.main", store))
    read = settings.stores["main"].auth.model_dump(exclude_none=True)  # type: ignore[union-attr]
    assert read == (
        auth if auth and auth != {"method": "token"} else {"method": "token", "token": {"env": "VAULT_TOKEN"}}
    )


@pytest.mark.parametrize(
    ("auth", "problem"),
    [
        (
            {"method": "token", "token": {"env": "NOPE"}},
            ("token", "the environment variable NOPE is not set", "set NOPE"),
        ),
        (
            {"method": "jwt", "role": "r", "jwt": {"store": "main", "secret": "s", "field": "f"}},
            ("jwt", "a login to a store cannot come from a store", "use {env: NAME} or {file: PATH}"),
        ),
        ({"method": "aws", "rol": "r"}, ("rol", "unknown key", "did you mean 'role'?")),
        ({"method": "kubernets"}, ("method", "is not a known method", "did you mean 'kubernetes'?")),
    ],
)
def test_a_wrong_login_is_a_problem_below_auth(auth: dict[str, Any], problem: tuple[str, str, str]) -> None:
    """A login's mistakes are found at its own keys."""
    [(where, what, hint)] = problems(put("stores.main", {"type": "vault", "address": "https://v", "auth": auth}))
    assert (where, what, hint) == (f"stores.main.auth.{problem[0]}", problem[1], problem[2])
