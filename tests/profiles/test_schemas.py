"""The JSON Schemas for editors: never stale, never stricter than the loader, and strict enough to find a typo."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from rotator.config import load_config
from rotator.config.model import Settings
from rotator.config.profile_settings import ProfileFile
from rotator.config.providers import merge
from rotator.config.yaml_text import YamlText
from rotator.errors import ConfigError
from rotator.profiles import BUILT_IN, FOLDER, load_profile
from rotator.schemas import FILES, configuration_schema, profile_schema, texts
from tests.config.right_config import ENV, RIGHT
from tests.effort import tried
from tests.fuzz.mutations import paths_of

ROOT = Path(__file__).parents[2]

CONFIGURATION = Draft202012Validator(configuration_schema())
PROFILE = Draft202012Validator(profile_schema())

BLOCK = re.compile(r"^```yaml\n(.*?)^```|<<'END'\n(version: 1\n.*?)^END$", re.DOTALL | re.MULTILINE)

VERY_RIGHT: dict[str, Any] = {
    **RIGHT,
    "stores": {
        "main": {"type": "local", "path": "var/store.db"},
        "aws": {"type": "aws-secrets-manager", "region": "us-east-1", "write_quota": {"share": "0.5"}},
        "vault": {
            "type": "vault",
            "address": "https://vault.example:8200",
            "auth": {"method": "approle", "role_id": "r", "secret_id": {"env": "SECRET_ID"}},
        },
    },
    "state": {"type": "dynamodb", "table": "t"},
    "escrow": {"type": "state"},
    "seal": {"key_env": "SEAL_KEY"},
    "audit": [{"type": "jsonl", "path": "-"}],
    "workers": "${WORKERS}",
    "http": {"listen": "127.0.0.1:9464", "token": {"env": "CLIENT_SECRET"}},
    "providers": {
        "acme": {"profile": "generic", "token_endpoint": "https://id.acme.example/token", "replay": {"window": "30s"},
                 "rules": [{"then": "reauthorize", "code": "gone"}], "rate_limit": {"requests": 5, "per": "1s"},
                 "timeout": 20, "login_parameters": {"audience": "https://api"}},
        "okta": {"profile": "okta", "domain": "example.okta.com"},
        "dailypay": {"profile": "dailypay", "environment": "${ENVIRONMENT}", "replay": "${REPLAY}"},
    },
    "credentials": [
        {"name": "one", "provider": "acme", "store": "main", "scope": "a b", "refresh_before_expiry": "1.5m",
         "client_secret": {"env": "CLIENT_SECRET"}},
        {"name": "two", "provider": "okta", "store": "aws",
         "client_secret": {"store": "main", "secret": "s", "field": "f"}},
    ],
    "discover": [{"store": "vault", "prefix": "oauth/", "labels": {"team": "a"}, "provider": "dailypay"}],
}  # fmt: skip
"""Something of everything."""

IN_ENVIRONMENT = {**ENV, "WORKERS": "4", "ENVIRONMENT": "uat", "REPLAY": "safe", "SECRET_ID": "s"}

SPELLINGS = st.sampled_from(
    [
        None, True, False, 0, 1, -1, 16, 1.5, 16.0, 10**10, "", " ", "1", "16", "0.5", "90s", "5m", "2h", "1d", "1.5m",
        "5x", "m", "never", "safe", "${CLIENT_SECRET}", "a${CLIENT_SECRET}", "$${", "${", "local", "vault", "form",
        "json", "a b", "a  b", "https://id.example/token", "HTTPS://ID.example/token?x=1", "http://127.0.0.1:1",
        "ftp://a", "127.0.0.1:9464", "[::1]:80", "generic", "auth0", "uat", "one", "acme", "state", "jsonl", "strict",
        "RS256", "x" * 200, "a\nb", "$5", "é", {}, [], {"env": "A"}, {"file": "a"}, {"window": "30s"}, {"window": 30},
        {"store": "a", "secret": "b", "field": "c"}, {"requests": "3", "per": 1}, {"type": "local", "path": "a"},
        {"type": "mine", "x": 1}, {"type": "local", "x": 1}, {"path": "a"}, {"method": "token"},
        {"method": "token", "token": {"env": "T"}}, {"a": "b"}, {"a": 1}, ["a"], [{}], [1],
        [{"then": "in_doubt", "status": 400}], [{"then": "in_doubt", "status": "400", "description": "a+"}],
    ]
)  # fmt: skip
"""What people write, and what they do not."""

KEYS = sorted(
    {key for schema in (configuration_schema(), profile_schema()) for key in schema["properties"]}
    | {key for one in configuration_schema()["$defs"].values() for key in one.get("properties", {})}
    | {"domain", "environment", "tenant", "credentails"}
)


def yaml_of(path: Path) -> dict[str, Any]:
    """Return the content of a YAML file as an editor sees it."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def shipped() -> dict[str, dict[str, Any]]:
    """Return every whole configuration that ships or stands on a page, by where it stands."""
    files = [*(ROOT / "config").glob("*.yaml"), *(ROOT / "deploy").glob("*/rotator.yaml")]
    found = {str(file): yaml_of(file) for file in files if file != ROOT / "config" / "rotator.yaml"}
    values = {str(file): yaml_of(file) for file in (ROOT / "deploy" / "helm" / "rotator" / "ci").glob("*.yaml")}
    found |= {file: value["config"] for file, value in values.items() if "config" in value}
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")]:
        for number, groups in enumerate(BLOCK.findall(page.read_text(encoding="utf-8"))):
            content = yaml.safe_load("".join(groups))
            if isinstance(content, dict) and "version" in content:
                found[f"{page} {number}"] = content
    return found


def accepted(content: dict[str, Any], model: type[Settings | ProfileFile]) -> bool:
    """Return whether the loader has nothing against a content, reference to other sections apart."""
    read = YamlText(yaml.safe_dump(content), IN_ENVIRONMENT)
    if read.findings:
        return False
    try:
        settings = model.model_validate(read.content)
    except ValidationError:
        return False
    if isinstance(settings, Settings):
        return all(merge(name, entry, IN_ENVIRONMENT)[1] == [] for name, entry in settings.providers.items())
    return True


def refused_by(validator: Draft202012Validator, content: Any) -> list[str]:
    """Return what a schema has against a content."""
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(content)]


@pytest.mark.parametrize("name", FILES)
def test_a_shipped_schema_is_what_the_models_make(name: str) -> None:
    """Neither a field nor its description can change without the file that editors read: make schemas."""
    assert FILES[name].read_text(encoding="utf-8") == texts()[name]


@pytest.mark.parametrize("schema", [configuration_schema(), profile_schema()], ids=[*FILES])
def test_a_schema_is_one(schema: dict[str, Any]) -> None:
    """It obeys its own dialect, and explains every key of a provider."""
    Draft202012Validator.check_schema(schema)
    fields = schema["$defs"].get("ProviderSettings", schema)["properties"]
    assert [key for key, value in fields.items() if "description" not in value] == []


def test_the_generator_prints_what_ships() -> None:
    """`python -m rotator.schemas` works as a command."""
    done = subprocess.run(
        [sys.executable, "-m", "rotator.schemas", "profile"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == FILES["profile"].read_text(encoding="utf-8")
    wrong = subprocess.run(
        [sys.executable, "-m", "rotator.schemas", "nothing"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (wrong.returncode, wrong.stdout) == (2, "")


def test_every_configuration_that_ships_is_accepted() -> None:
    """Examples, deployments and pages show nothing that an editor would underline."""
    found = shipped()
    assert len(found) > 8
    assert {name: refused_by(CONFIGURATION, content) for name, content in found.items()} == {name: [] for name in found}


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_shipped_profile_is_accepted(name: str) -> None:
    """What ships is an example for whoever writes one."""
    assert refused_by(PROFILE, yaml_of(FOLDER / f"{name}.yaml")) == []


@pytest.mark.parametrize("name", ["local", "aws", "vault"])
def test_the_examples_lead_an_editor_to_the_schema(name: str) -> None:
    """The first line names it, relative to the example."""
    line = (ROOT / "config" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert line.startswith("# yaml-language-server: $schema=")
    assert (ROOT / "config" / line.partition("=")[2]).resolve() == FILES["configuration"]


@pytest.mark.parametrize("name", BUILT_IN)
def test_an_editor_knows_the_variables_of_a_shipped_profile(name: str) -> None:
    """Each one is accepted, and a misspelt one refused, in an entry with that profile."""
    variables = load_profile(name).variables
    entry = {"profile": name, **{key: one.example or next(iter(one.of)) for key, one in variables.items()}}
    content = {**RIGHT, "providers": {"acme": entry}}
    assert refused_by(CONFIGURATION, content) == []
    for key in variables:
        misspelt = {f"{other}x" if other == key else other: value for other, value in entry.items()}
        assert refused_by(CONFIGURATION, {**RIGHT, "providers": {"acme": misspelt}})


WRONG: list[tuple[tuple[str | int, ...], Any]] = [
    (("verison",), 1),
    (("version",), 2),
    (("workers",), "many"),
    (("workers",), 0),
    (("stores", "main", "pth"), "a"),
    (("stores", "main", "path"), 3),
    (("stores", "main"), {"path": "a"}),
    (("stores", "vault", "address"), "vault.example"),
    (("stores", "vault", "auth", "method"), "approl"),
    (("stores", "vault", "auth", "role"), "r"),
    (("state", "tabel"), "t"),
    (("escrow", "type"), "fiel"),
    (("audit",), {"type": "jsonl"}),
    (("http", "listen"), "9464"),
    (("providers", "acme", "timeout"), "30x"),
    (("providers", "acme", "replay"), "nver"),
    (("providers", "acme", "replay"), {"windw": "30s"}),
    (("providers", "acme", "client_auth"), "basic"),
    (("providers", "acme", "body"), "xml"),
    (("providers", "acme", "tokne_endpoint"), "https://a.example"),
    (("providers", "acme", "rules", 0, "thn"), "reauthorize"),
    (("providers", "acme", "rules", 0, "then"), "retry"),
    (("providers", "acme", "rate_limit", "requets"), 3),
    (("providers", "okta", "domian"), "a.example"),
    (("providers", "okta", "tenant"), "a"),
    (("providers", "dailypay", "environment"), "prod"),
    (("providers", "okta"), {"domain": "a.example"}),
    (("credentials", 0, "client_secret"), "hunter2"),
    (("credentials", 0, "client_secret"), {"evn": "A"}),
    (("credentials", 0, "refresh_before_expiry"), "soon"),
    (("credentials", 0, "scpoe"), "a"),
    (("credentials", 0), {"name": "one"}),
    (("credentials",), {"one": {}}),
    (("discover", 0, "prefixes"), "a"),
]


def with_value(content: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """Return a copy with a value at a path."""
    changed = copy.deepcopy(content)
    target = changed
    for part in path[:-1]:
        target = target[part]
    target[path[-1]] = value
    return changed


def test_what_the_typos_are_made_in_is_right() -> None:
    """Neither loader nor schema has anything against it."""
    load_config(yaml.safe_dump(VERY_RIGHT), IN_ENVIRONMENT)
    assert refused_by(CONFIGURATION, VERY_RIGHT) == []


@pytest.mark.parametrize(("path", "value"), WRONG, ids=[".".join(map(str, path)) for path, _ in WRONG])
def test_a_typo_is_found_by_loader_and_editor(path: tuple[str | int, ...], value: Any) -> None:
    """Both refuse it, and the loader names its section."""
    wrong = with_value(VERY_RIGHT, path, value)
    assert refused_by(CONFIGURATION, wrong)
    with pytest.raises(ConfigError) as caught:
        load_config(yaml.safe_dump(wrong), IN_ENVIRONMENT)
    assert any(str(path[0]) in problem.where for problem in caught.value.problems)


PROFILE_WRONG = [
    {"token_endpiont": "https://a.example"},
    {"replay": "nver"},
    {"rotates": "alwys"},
    {"variables": {"a": {"is": "hsot", "about": "x"}}},
    {"variables": {"a": {"is": "host"}}},
    {"variables": {"a": {"is": "host", "about": "x", "exmple": "a"}}},
    {"sources": "https://a.example"},
    {"timeout": "soon"},
    {"profile": "auth0"},
]


@pytest.mark.parametrize("wrong", PROFILE_WRONG, ids=str)
def test_a_typo_in_a_profile_is_found_by_loader_and_editor(wrong: dict[str, Any]) -> None:
    """Both refuse it."""
    assert not accepted(wrong, ProfileFile)
    assert refused_by(PROFILE, wrong)


@tried(1500)
@given(st.data())
def test_whatever_the_loader_accepts_the_schema_accepts(data: st.DataObject) -> None:
    """An editor never underlines what works, in whatever spelling, `${VAR}` included."""
    content: Any = copy.deepcopy(VERY_RIGHT)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([path for path in paths_of(content) if path]))
        if isinstance(path[-1], str) and data.draw(st.booleans()):
            path = (*path[:-1], data.draw(st.sampled_from(KEYS)))
        content = with_value(content, path, copy.deepcopy(data.draw(SPELLINGS)))
    if accepted(content, Settings):
        assert refused_by(CONFIGURATION, content) == []


@tried(800)
@given(st.data())
def test_whatever_a_profile_may_say_its_schema_accepts(data: st.DataObject) -> None:
    """The same for profile files."""
    content: Any = yaml_of(FOLDER / f"{data.draw(st.sampled_from(BUILT_IN))}.yaml")
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([path for path in paths_of(content) if path]))
        content = with_value(content, path, copy.deepcopy(data.draw(SPELLINGS)))
    if accepted(content, ProfileFile):
        assert refused_by(PROFILE, content) == []
