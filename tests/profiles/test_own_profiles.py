"""A user's own profile file: used like a shipped one, and read as strictly as the configuration."""

from __future__ import annotations

import json
import tempfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from rotator.config import load_config, resolve
from rotator.config.profile_files import find_profile, is_file
from rotator.errors import ConfigError, PluginError
from rotator.model import Provider, Replay
from rotator.profiles import BUILT_IN, FOLDER, load_profile
from tests.config.right_config import no_store
from tests.effort import tried
from tests.fuzz.mutations import mutated_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rotator.errors import Problem

ACME = """\
summary: Acme's own server
rotates: always
notes: [single use]
sources: [https://docs.acme.example/oauth]
variables:
  tenant: {is: word, about: the tenant, example: north}
token_endpoint: https://id.acme.example/{tenant}/token
client_auth: client_secret_basic
replay: {window: 5m}
rules:
  - {then: reauthorize, code: gone}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with Acme's profile in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "acme.yaml").write_text(ACME, encoding="utf-8")
    return tmp_path


def configuration(**entry: Any) -> str:
    """Return a configuration with one provider."""
    return json.dumps(
        {
            "version": 1,
            "stores": {"dev": {"type": "local", "path": "var/store.db"}},
            "providers": {"acme": {"profile": "./acme.yaml", "tenant": "north", **entry}},
            "credentials": [{"name": "one", "provider": "acme"}],
        }
    )


def provider(env: Mapping[str, str] | None = None, **entry: Any) -> Provider:
    """Return the provider that an entry with the profile makes."""
    settings = load_config(configuration(**entry), env or {})
    return resolve(settings, read_secret=no_store, env=env or {}).providers["acme"]


def problems(env: Mapping[str, str] | None = None, **entry: Any) -> list[tuple[str, str, str]]:
    """Return all that is wrong."""
    with pytest.raises(ConfigError) as caught:
        provider(env, **entry)
    return [(problem.where, problem.what, problem.hint) for problem in caught.value.problems]


def test_a_file_is_used_like_a_shipped_profile() -> None:
    """Its templates are filled in, its fields hold, and the entry overrides them."""
    acme = provider()
    assert acme.token_endpoint == "https://id.acme.example/north/token"
    assert (acme.client_auth, acme.replay) == ("client_secret_basic", Replay("window", 300.0))
    assert [rule.code for rule in acme.rules] == ["gone"]
    assert provider(replay="never").replay == Replay("never")


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_shipped_profile_would_be_accepted_as_a_file(name: str, folder: Path) -> None:
    """What ships obeys the rules for everybody, and means the same as a file."""
    (folder / "mine.yaml").write_text((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    found = find_profile("mine.yaml", {}).profile
    assert found.model_copy(update={"name": name}) == load_profile(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("./acme", True), ("acme.yaml", True), ("acme.yml", True), ("/etc/acme", True), ("acme", False), ("yaml", False)],
)
def test_a_name_is_a_file_by_its_form(name: str, expected: bool) -> None:
    """A slash or the ending tells; whether a file is there does not, for a shipped name must not change its meaning."""
    assert is_file(name) is expected


def test_a_relative_path_counts_from_the_working_directory(folder: Path) -> None:
    """As everywhere else in the configuration, wherever that itself lies."""
    (folder / "config").mkdir()
    (folder / "config" / "rotator.yaml").write_text(configuration(profile="acme.yaml"), encoding="utf-8")
    settings = load_config(folder / "config" / "rotator.yaml", {})
    assert resolve(settings, read_secret=no_store, env={}).providers["acme"].profile == "acme.yaml"


def test_a_missing_file_is_told_at_the_key_that_names_it() -> None:
    """With the file's name, and what its path counts from."""
    assert problems(profile="./acne.yaml") == [
        (
            "ROTATOR_CONFIG_YAML:1: providers.acme.profile",
            "./acne.yaml: there is no such file",
            "a relative path counts from the working directory",
        )
    ]


def test_every_typo_is_told_with_file_line_and_what_was_meant(folder: Path) -> None:
    """All of them at once, each at its own line of the profile's file."""
    text = ACME.replace("token_endpoint:", "token_endpiont:").replace("{window: 5m}", "nver")
    text = text.replace("{then: reauthorize,", "{thn: reauthorize,").replace("example: north", "exmple: north")
    text = text.replace("rotates: always", "rotates: alwys")
    (folder / "acme.yaml").write_text(text, encoding="utf-8")
    assert problems() == [
        (
            "./acme.yaml:2: rotates",
            "must be one of always, never, by setting, sometimes, unknown",
            "did you mean 'always'?",
        ),
        ("./acme.yaml:6: variables.tenant.exmple", "unknown key", "did you mean 'example'?"),
        ("./acme.yaml:7: token_endpiont", "unknown key", "did you mean 'token_endpoint'?"),
        ("./acme.yaml:9: replay", "is not known", "one of never, safe, until_successor_used, or {window: 30s}"),
        ("./acme.yaml:11: rules[0].then", "is missing", ""),
        ("./acme.yaml:11: rules[0].thn", "unknown key", "did you mean 'then'?"),
    ]


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", "ROTATOR_CONFIG_YAML:1: providers.acme.profile", "./acme.yaml: is empty"),
        ("- a\n", "ROTATOR_CONFIG_YAML:1: providers.acme.profile", "./acme.yaml: is not a mapping"),
        ("a: [\n", "./acme.yaml:2", "is not YAML"),
        (ACME + "replay: safe\n", "./acme.yaml:12: replay", "appears twice"),
        (ACME + "issuer: https://{tennant}/\n", "./acme.yaml:12: issuer", "uses {tennant}, which is not among"),
        (ACME + "issuer: https://{tenant}/\n", "./acme.yaml:12: issuer", "uses {tenant}, a word, before its path"),
        (ACME.replace("https:", "http:"), "./acme.yaml:7: token_endpoint", "http:// would send secrets in the clear"),
        (ACME.replace("tenant:", "timeout:"), "./acme.yaml:6: variables.timeout", "is the name of a key"),
        (ACME.replace("is: word", "is: wrd"), "./acme.yaml:6: variables.tenant.is", "must be one of host, label, word"),
        (ACME.replace("is: word", "is: choice"), "./acme.yaml:6: variables.tenant", "`of` belongs to `is: choice`"),
        (ACME + "timeout: ${LIMIT}\n", "./acme.yaml:12: timeout", "the environment variable LIMIT is not set"),
        (ACME + "profile: auth0\n", "./acme.yaml:12: profile", "unknown key"),
        (ACME + "login_parameters: {state: x}\n", "./acme.yaml:12: login_parameters.state", "is set by rotator itself"),
        (
            ACME + "private_key: hunter2\n",
            "./acme.yaml:12: private_key",
            "a secret must not stand in the configuration",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_told_where_it_stands(text: str, where: str, what: str, folder: Path) -> None:
    """The strictness of the configuration, duplicates and references included; no value is quoted."""
    (folder / "acme.yaml").write_text(text, encoding="utf-8")
    found = problems()
    assert found[0][0] == where
    assert found[0][1].startswith(what)
    assert "hunter2" not in str(found)


def test_a_file_takes_values_from_the_environment(folder: Path) -> None:
    """`${VAR}` means what it means in the configuration."""
    (folder / "acme.yaml").write_text(ACME + "timeout: ${LIMIT}\n", encoding="utf-8")
    assert provider({"LIMIT": "9s"}).timeout_s == 9.0


def test_a_file_is_read_anew(folder: Path) -> None:
    """A reload of the daemon's configuration takes a changed profile in."""
    assert provider().timeout_s == 30.0
    (folder / "acme.yaml").write_text(ACME + "timeout: 9s\n", encoding="utf-8")
    assert provider().timeout_s == 9.0


@tried(300)
@given(mutated_bytes([ACME.encode(), (FOLDER / "okta.yaml").read_bytes(), (FOLDER / "hydra.yaml").read_bytes()]))
def test_a_damaged_file_is_a_profile_or_a_word_on_it(raw: bytes) -> None:
    """Whatever is in the file: a profile whose templates can be filled in, or problems with the file's name in them."""
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        file.write(raw)
        file.flush()
        told: list[Problem] = []
        try:
            profile = find_profile(file.name, {}).profile
            profile.filled_in(profile.defaults)
        except PluginError as error:
            told = error.problems
        assert all(problem.where.startswith(file.name) for problem in told)


def test_bytes_that_are_no_text_are_told(folder: Path) -> None:
    """And not quoted."""
    (folder / "acme.yaml").write_bytes(b"\xff\xfe")
    assert problems()[0][1] == "./acme.yaml: is not UTF-8 text"


def test_a_folder_is_no_profile(folder: Path) -> None:
    """The system's own words are told."""
    assert problems(profile="./")[0][1] == "./: cannot be read: Is a directory"
