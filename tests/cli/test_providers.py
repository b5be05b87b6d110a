"""`rotator providers`: the list, a profile, a provider of the configuration, and a file of one's own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from rotator.cli.commands import run
from rotator.config import load_config, resolve
from rotator.profiles import BUILT_IN
from tests.config.right_config import no_store

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURATION = {
    "version": 1,
    "stores": {"dev": {"type": "local", "path": "var/store.db"}},
    "providers": {
        "staff": {
            "profile": "okta",
            "domain": "staff.okta.com",
            "timeout": "5s",
            "replay": "never",
            "rate_limit": {"requests": 4, "per": "1s"},
            "issuer": "https://staff.okta.com/oauth2/default",
        },
        "acme": {"profile": "generic", "token_endpoint": "https://id.acme.example/token?api_key=hunter2"},
    },
    "credentials": [{"name": "one", "provider": "staff"}],
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, without a configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ROTATOR_CONFIG", raising=False)
    return tmp_path


@pytest.fixture
def configured(folder: Path) -> Path:
    """A configuration where rotator looks for one."""
    (folder / "config").mkdir()
    file = folder / "config" / "rotator.yaml"
    file.write_text(yaml.safe_dump(CONFIGURATION), encoding="utf-8")
    return file


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Run the command and return what it says on stdout, or of an error on stderr."""
    assert run(["providers", *arguments]) == code
    out, err = capsys.readouterr()
    return out if code == 0 else err


def facts(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """Run the command with --json."""
    found: dict[str, Any] = json.loads(said(capsys, *arguments, "--json"))
    return found


def test_the_list_has_every_shipped_profile(capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each, in order, without any configuration."""
    lines = said(capsys).splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(BUILT_IN)]] == list(BUILT_IN)
    xero = next(line for line in lines if line.startswith("xero"))
    assert xero.split() == ["xero", "replaced", "30m", "60d", "idle", "Xero"]
    assert [one["name"] for one in facts(capsys)["providers"]] == list(BUILT_IN)


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_is_to_be_written_can_be_written(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The snippet of each profile is a configuration as it stands, but for what comes before it."""
    env = {f"{name.upper()}_CLIENT_SECRET": "secret"}
    text = "version: 1\nstores: {dev: {type: local, path: var/store.db}}\n" + facts(capsys, name)["configuration"]
    settings = load_config(text, env)
    assert settings.providers[name].profile == name
    assert resolve(settings, read_secret=no_store, env=env).credentials[0].client_secret() is not None


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_profile_is_explained(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """How refresh tokens behave there, how to log in, what to know, where it stands."""
    page = said(capsys, name)
    for title in ("What to write", "Refresh tokens", "Access tokens", "To log in", "To know", "Sources"):
        assert f"\n{title}\n" in page
    assert "rotator put NAME" in page
    found = facts(capsys, name)
    assert all(source in page for source in found["sources"])
    assert ("--device" in page) == ("device" in found["login"])


def test_a_provider_of_the_configuration_is_explained_as_it_is(
    configured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the values in effect, and each that the entry overrides beside the profile's."""
    page = said(capsys, "staff")
    assert "profile okta; token endpoint https://staff.okta.com/oauth2/default/v1/token" in page
    assert "timeout: 5s (the profile: 10s)" in page
    assert "replay: never (the profile: {window: 30s})" in page
    assert "rate_limit: {requests: 4, per: 1s}\n" in page
    assert "issuer: https://staff.okta.com/oauth2/default\n" in page
    assert "At most 4 requests in 1s" in page
    assert "not simply presented again" in page
    assert "What to write" not in page
    assert facts(capsys, "staff")["replay"] == {"kind": "never", "window_s": None}


def test_a_query_of_an_address_is_not_shown(configured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It may hold an API key."""
    assert "hunter2" not in said(capsys, "acme")
    assert "hunter2" not in said(capsys, "acme", "--json")


def test_a_profile_is_explained_whatever_the_configuration_is(
    configured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken one is left out with a word; a name that is no profile tells what is wrong with it."""
    configured.write_text("version: 3\n", encoding="utf-8")
    assert run(["providers", "okta"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("okta: ")
    assert "the configuration is left out" in err
    assert "config/rotator.yaml:1: version" in said(capsys, "staff", code=2)


def test_a_file_of_ones_own_is_explained_and_checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same page as for a shipped one, or file, line and key of what is wrong."""
    file = folder / "acme.yaml"
    file.write_text("summary: Acme\ntoken_endpoint: https://id.acme.example/t\nreplay: safe\n", encoding="utf-8")
    page = said(capsys, "./acme.yaml")
    assert page.startswith("./acme.yaml: Acme\n")
    assert "  acme:\n      profile: ./acme.yaml\n" in page
    assert "that does no harm here" in page
    file.write_text("token_endpoint: https://id.acme.example/t\nreplay: sfe\n", encoding="utf-8")
    assert "./acme.yaml:2: replay: is not known" in said(capsys, "./acme.yaml", code=2)


def test_an_unknown_name_tells_what_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    """As everywhere."""
    assert "did you mean 'okta'?" in said(capsys, "oktaa", code=2)


def test_a_configuration_that_is_named_has_to_be_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody who names one wants it."""
    assert run(["-c", "nothing.yaml", "providers", "staff"]) == 2
    assert "there is no such file" in capsys.readouterr().err
