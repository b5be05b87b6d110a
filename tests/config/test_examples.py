"""The examples that ship are whole, valid, and say what they need."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rotator.config import load_config, resolve
from rotator.errors import ConfigError
from tests.config.right_config import ENV as RIGHT_ENV

EXAMPLES = Path(__file__).parents[2] / "config"

if TYPE_CHECKING:
    from rotator.model import Versioned

NEEDED = {
    "local": {"AUTH0_CLIENT_SECRET": "a", "DAILYPAY_CLIENT_SECRET": "d"},
    "aws": {
        "AWS_REGION": "eu-central-1",
        "ROTATOR_SEAL_KEY": RIGHT_ENV["SEAL_KEY"],
        "DAILYPAY_CLIENT_SECRET": "d",
    },
    "vault": {
        "VAULT_ADDR": "https://vault.internal:8200",
        "ROTATOR_SEAL_KEY": RIGHT_ENV["SEAL_KEY"],
        "DAILYPAY_CLIENT_SECRET": "d",
    },
}


def no_store(store: str, secret: str) -> Versioned:
    """Fail: nothing is read before it is used."""
    raise AssertionError(f"{store} {secret} was read")


def test_every_example_is_tested() -> None:
    """No example file is left out below."""
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} - {"rotator"} == set(NEEDED)


@pytest.mark.parametrize("name", NEEDED)
def test_an_example_is_valid_with_the_environment_it_names(name: str) -> None:
    """It loads and resolves without a warning, with one provider of each profile."""
    settings = load_config(EXAMPLES / f"{name}.yaml", NEEDED[name])
    found = resolve(settings, read_secret=no_store, env=NEEDED[name])
    assert [credential.name for credential in found.credentials] == ["reports", "payroll-export"]
    assert {provider.profile for provider in found.providers.values()} == {"auth0", "dailypay"}
    assert found.warnings == []


@pytest.mark.parametrize(
    ("name", "variable"), [(name, variable) for name, needed in NEEDED.items() for variable in needed]
)
def test_an_example_says_which_variable_it_lacks(name: str, variable: str) -> None:
    """Each variable is really used: without it the example is refused, and the message names it."""
    env = {key: value for key, value in NEEDED[name].items() if key != variable}
    with pytest.raises(ConfigError, match=rf"the environment variable {variable} is not set"):
        load_config(EXAMPLES / f"{name}.yaml", env)


@pytest.mark.parametrize("name", ["aws", "vault"])
def test_the_examples_of_shared_states_hold_on_lambda(name: str) -> None:
    """Nothing in them depends on a disk."""
    assert load_config(EXAMPLES / f"{name}.yaml", NEEDED[name], mode="lambda").warnings == []


@pytest.mark.parametrize("name", NEEDED)
def test_every_key_of_an_example_is_explained(name: str) -> None:
    """Each top-level section follows a comment, or is `version` under the head of the file."""
    text = (EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8")
    for section in re.findall(r"^(\w+):", text, re.MULTILINE):
        before = text[: re.search(rf"^{section}:", text, re.MULTILINE).start()].rstrip("\n").splitlines()  # type: ignore[union-attr]
        explained = bool(before) and before[-1].startswith("#")
        assert explained or section in {"credentials", "providers", "stores"}, section
