"""Secrets are read from their sources at each use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rotator.config import resolve
from rotator.errors import ConfigError, StoreDenied, StoreUnavailable
from rotator.model import Document, Malformed, Versioned
from rotator.redact import Secret
from tests.config.right_config import ENV, load, no_store, resolved, with_credential

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def fails(read: Callable[[], Any]) -> str:
    """Return the message with which a source fails, and check that it carries no chain of foreign texts."""
    with pytest.raises(ConfigError) as caught:
        read()
    return str(caught.value)


def test_a_variable_is_read_at_each_use() -> None:
    """A rotated secret is picked up; a variable that went away is named with its credential."""
    env = dict(ENV)
    settings = load(with_credential(client_secret={"env": "CLIENT_SECRET"}), env)
    [credential] = resolve(settings, read_secret=no_store, env=env).credentials
    env["CLIENT_SECRET"] = "another"
    assert credential.client_secret() == Secret("another")
    del env["CLIENT_SECRET"]
    message = fails(credential.client_secret)
    assert "credentials[0] (one).client_secret: the environment variable CLIENT_SECRET is not set" in message


def test_a_file_is_read_at_each_use(tmp_path: Path) -> None:
    """The line end does not belong to the secret; a file that fails is named and never quoted."""
    path = tmp_path / "secret"
    path.write_text("first\r\n")
    [credential] = resolved(with_credential(client_secret={"file": str(path)})).credentials
    assert credential.client_secret() == Secret("first")
    path.write_text("se cond\n\n")
    assert credential.client_secret() == Secret("se cond")
    path.write_bytes(b"hunter2\xff")
    assert f"the file {path} is not UTF-8 text" in fails(credential.client_secret)
    path.write_text("\n")
    assert f"the file {path} is empty" in fails(credential.client_secret)
    path.unlink()
    assert f"the file {path} cannot be read: No such file or directory" in fails(credential.client_secret)


def test_a_field_of_another_secret_is_read_at_each_use() -> None:
    """The store is asked at each use; what it lacks is named by field, secret and store, never shown."""
    contents: list[Any] = [
        Document({"pem": "first"}),
        Document({"pem": "second"}),
        Document({"other": "hunter2"}),
        Document({"pem": {"hunter2": 1}}),
        Document({"pem": ""}),
        Malformed("not JSON"),
    ]

    def read_secret(store: str, secret: str) -> Versioned:
        assert (store, secret) == ("main", "client")
        if not contents:
            raise StoreDenied("main: client", hint="ask")
        return Versioned("i", "v", None, contents.pop(0))

    source = {"store": "main", "secret": "client", "field": "pem"}
    [credential] = resolved(with_credential(client_secret=source), read_secret=read_secret).credentials
    assert credential.client_secret() == Secret("first")
    assert credential.client_secret() == Secret("second")
    name = "the field pem of client in store main"
    assert f"{name} is not there" in fails(credential.client_secret)
    assert f"{name} is not a text" in fails(credential.client_secret)
    assert f"{name} is empty" in fails(credential.client_secret)
    assert f"{name}: the secret is no document: not JSON" in fails(credential.client_secret)
    assert f"{name} cannot be read: main: client\n    → ask" in fails(credential.client_secret)


def test_a_store_that_is_away_for_a_while_is_no_fault_of_the_configuration() -> None:
    """A source in a store that does not answer is tried again later: no person is called."""

    def read_secret(store: str, secret: str) -> Versioned:
        raise StoreUnavailable(f"{store}: {secret}")

    source = {"store": "main", "secret": "client", "field": "pem"}
    [credential] = resolved(with_credential(client_secret=source), read_secret=read_secret).credentials
    with pytest.raises(StoreUnavailable):
        credential.client_secret()
