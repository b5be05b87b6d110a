"""docs/providers.md and docs/profile-files.md are true: each block loads, each profile has its section."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from jsonschema import Draft202012Validator

from rotator.config import load_config, resolve
from rotator.config.profile_files import find_profile
from rotator.profiles import BUILT_IN, load_profile
from rotator.schemas import FILES, configuration_schema, profile_schema
from tests.config.right_config import no_store

if TYPE_CHECKING:
    from rotator.model import Provider

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "providers.md"

OWN = DOCS / "profile-files.md"

SECTION = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
SECTIONS = dict(SECTION.findall(PAGE.read_text(encoding="utf-8")))
OF_ONES_OWN = dict(SECTION.findall(OWN.read_text(encoding="utf-8")))

BEFORE = "version: 1\nstores: {dev: {type: local, path: var/store.db}}\n"

HEADS = {
    "GitHub Apps": "github",
    "Microsoft Entra": "entra",
    "Ory Hydra": "hydra",
}
"""Sections that are not called like their profile."""

OF_PROFILES = {HEADS.get(head, head.lower()): text for head, text in SECTIONS.items()}
OF_PROFILES["generic"] = OF_ONES_OWN["An entry alone: generic"]


def block_of(text: str) -> str:
    """Return the one block of configuration in a section."""
    [block] = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return block


def provider_of(name: str) -> Provider:
    """Load the block of a profile's section and return the provider in it."""
    block = block_of(OF_PROFILES[name])
    env = dict.fromkeys(re.findall(r"\{env: (\w+)\}", block), "secret")
    found = resolve(load_config(BEFORE + block, env), read_secret=no_store, env=env)
    assert found.warnings == []
    [provider] = found.providers.values()
    [credential] = found.credentials
    assert credential.client_id
    return provider


def test_every_profile_has_a_section_and_no_other_is_there() -> None:
    """The page and what ships are the same list."""
    assert sorted(OF_PROFILES) == list(BUILT_IN)


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_configuration_of_a_section_loads(name: str) -> None:
    """As it stands, behind `version` and `stores`; with the section's own profile, and accepted by the schema."""
    assert provider_of(name).profile == name
    content = yaml.safe_load(BEFORE + block_of(OF_PROFILES[name]))
    assert list(Draft202012Validator(configuration_schema()).iter_errors(content)) == []


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_section_names_a_source_of_the_profile(name: str) -> None:
    """Where more stands, and how to log in."""
    text = " ".join(OF_PROFILES[name].split())
    assert "Sources:" in text
    assert any(source in text for source in load_profile(name).sources)
    assert re.search(r"\b(Log in|put|Put)\b", text)


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_a_section_says_of_a_login_is_possible(name: str) -> None:
    """A browser is named only where the profile has an endpoint for it, a device only where it has one."""
    provider, text = provider_of(name), " ".join(OF_PROFILES[name].split())
    if "by browser" in text:
        assert provider.authorization_endpoint or provider.issuer
    if "by device" in text:
        assert provider.device_authorization_endpoint


def test_the_profile_on_the_page_is_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It loads as a file, is accepted by the schema that it names, and the entry below it uses it."""
    text = OF_ONES_OWN["A profile file"]
    block = block_of(text)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "acme.yaml").write_text(block, encoding="utf-8")
    assert find_profile("./acme.yaml", {}).profile.summary
    assert list(Draft202012Validator(profile_schema()).iter_errors(yaml.safe_load(block))) == []
    [entry] = re.findall(r"^    providers:\n      .*\n", text, re.MULTILINE)
    whole = BEFORE + re.sub("^    ", "", entry, flags=re.MULTILINE) + "credentials: [{name: one, provider: acme}]\n"
    found = resolve(load_config(whole, {}), read_secret=no_store, env={})
    assert found.providers["acme"].token_endpoint == "https://id.acme.example/north/token"


def test_the_page_leads_editors_to_the_schemas() -> None:
    """Both lines name files that are there."""
    named = re.findall(r"# yaml-language-server: \$schema=(\S+)", OWN.read_text(encoding="utf-8"))
    assert {(DOCS / path).resolve() for path in named} == set(FILES.values())
