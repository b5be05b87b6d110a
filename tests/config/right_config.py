"""A configuration that is right, to be made wrong one key at a time."""

from __future__ import annotations

import base64
import copy
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from rotator.config import load_config, resolve
from rotator.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rotator.config import Resolved, Settings
    from rotator.model import Versioned

ENV = {
    "CLIENT_SECRET": "the-client-secret",
    "SEAL_KEY": base64.b64encode(bytes(range(32))).decode(),
    "VAULT_TOKEN": "the-vault-token",
}

RIGHT: dict[str, Any] = {
    "version": 1,
    "stores": {"main": {"type": "local", "path": "var/store.db"}},
    "providers": {"acme": {"profile": "generic", "token_endpoint": "https://id.acme.example/token"}},
    "credentials": [{"name": "one", "provider": "acme"}],
}


def changed(change: Callable[[dict[str, Any]], Any] | None = None) -> str:
    """Return the right configuration as YAML, after a change to it."""
    content = copy.deepcopy(RIGHT)
    if change:
        change(content)
    return yaml.safe_dump(content, sort_keys=False)


def load(
    change: Callable[[dict[str, Any]], Any] | None = None, env: Mapping[str, str] = ENV, **options: Any
) -> Settings:
    """Load the right configuration after a change to it."""
    return load_config(changed(change), env, **options)


def problems(
    change: Callable[[dict[str, Any]], Any], env: Mapping[str, str] = ENV, **options: Any
) -> list[tuple[str, str, str]]:
    """Return where, what and hint of each problem that a change to the right configuration makes."""
    with pytest.raises(ConfigError) as caught:
        load(change, env, **options)
    return [(_path(problem.where), problem.what, problem.hint) for problem in caught.value.problems]


def _path(where: str) -> str:
    return where.partition(": ")[2]


def put(path: str, value: Any) -> Any:
    """Return a change that sets a dotted path; digits are list indices."""

    def change(content: dict[str, Any]) -> None:
        target: Any = content
        *parents, last = path.split(".")
        for part in parents:
            target = target[int(part)] if isinstance(target, list) else target.setdefault(part, {})
        target[last] = value

    return change


def drop(path: str) -> Any:
    """Return a change that removes a dotted path."""

    def change(content: dict[str, Any]) -> None:
        target: Any = content
        *parents, last = path.split(".")
        for part in parents:
            target = target[int(part)] if isinstance(target, list) else target[part]
        del target[last]

    return change


def no_store(store: str, secret: str) -> Versioned:
    """Fail: nothing should be read."""
    raise AssertionError(f"{store} {secret} was read")


def resolved(change: Callable[[dict[str, Any]], Any] | None = None, **options: Any) -> Resolved:
    """Load a changed configuration and resolve it."""
    return resolve(load(change), **{"read_secret": no_store, "env": ENV, **options})


def with_credential(**keys: Any) -> Callable[[dict[str, Any]], Any]:
    """Return a change to the one credential."""
    return lambda content: content["credentials"][0].update(keys)


def with_provider(**keys: Any) -> Callable[[dict[str, Any]], Any]:
    """Return a change to the one provider."""
    return lambda content: content["providers"]["acme"].update(keys)


def both(*changes: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    """Return all the changes as one."""

    def change(content: dict[str, Any]) -> None:
        for one in changes:
            one(content)

    return change
