"""Every configuration that a page shows is one that rotator takes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml

from rotator.config.load import load_config
from rotator.config.model import Settings
from rotator.config.resolve import resolve
from tests.docs.pages import Page, everything, ids

if TYPE_CHECKING:
    from pathlib import Path

    from rotator.model import Versioned

VARIABLE = re.compile(r"\$\{([A-Z_]+)\}")
HEREDOC = re.compile(r"<<'?END'?\n(version: 1\n.*?)\nEND$", re.DOTALL | re.MULTILINE)
PAGES = everything()


def configurations(page: Page) -> list[str]:
    """Return whole configurations: blocks of YAML, and what shell blocks write to a file."""
    found = [block.body for block in page.blocks if block.language == "yaml"]
    found += [text for block in page.blocks if block.language == "sh" for text in HEREDOC.findall(block.body)]
    return [text for text in found if re.search(r"^version: 1$", text, re.MULTILINE)]


def fragments(page: Page) -> list[str]:
    """Return the parts of a configuration that a page shows."""
    blocks = [block.body for block in page.blocks if block.language == "yaml" and not block.mark]
    return [text for text in blocks if text not in configurations(page)]


def unread(store: str, secret: str) -> Versioned:
    raise AssertionError(f"{secret} in {store} is read before it is needed")


def loaded(text: str, folder: Path) -> Settings:
    file = folder / "rotator.yaml"
    file.write_text(text, encoding="utf-8")
    env = dict.fromkeys(VARIABLE.findall(text), "https://example.com")
    env |= {
        name: "A" * 43 + "=" for name in re.findall(r"env: ([A-Z_]+)|key_env: ([A-Z_]+)", text) for name in name if name
    }
    settings = load_config(str(file), env)
    resolve(settings, read_secret=unread, env=env)
    return settings


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_every_configuration_loads(page: Page, tmp_path: Path) -> None:
    """Each YAML text with `version: 1` loads and resolves; what it takes from the environment is there."""
    for text in configurations(page):
        if "type: shelf" not in text:  # a plug-in: tests/docs/test_extending.py
            loaded(text, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_every_part_of_a_configuration_is_one(page: Page, tmp_path: Path) -> None:
    """Each YAML text without `version` has a configuration's keys, and loads together with what it leaves out."""
    for text in fragments(page):
        part = yaml.safe_load(text)
        foreign = set(part) - set(Settings.model_fields)
        assert not foreign, f"no keys of rotator's: {foreign}; mark another program's YAML, <!-- file: NAME -->"
        acme = {"profile": "generic", "token_endpoint": "https://id.acme.example/oauth2/token"}
        names = {rule.get("provider") for rule in part.get("discover", [])} - {None} or {"acme"}
        rest = {
            "version": 1,
            "stores": {"dev": {"type": "local", "path": "var/credentials.db"}},
            "seal": {"key_env": "SEAL_KEY"},
            "providers": dict.fromkeys(names, acme),
            "credentials": [{"name": "partner-api", "provider": next(iter(names)), "client_id": "abc"}],
        }
        loaded(yaml.safe_dump({**rest, **part}), tmp_path)


def test_pages_have_configurations() -> None:
    """The search finds those that are known to be there."""
    counts = {page.name: len(configurations(page)) for page in PAGES}
    assert counts["README.md"] == 1
    assert counts["docs/start.md"] == 2
    assert counts["docs/aws.md"] == counts["docs/vault.md"] == 1
