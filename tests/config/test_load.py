"""Reading the file: every class of mistake, all of them at once, and never a secret in the words."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Annotated, Any

import pytest
import yaml
from pydantic import BaseModel, Field, ValidationError

from rotator.config import Settings, load_config, yaml_text
from rotator.config.faults import findings_of
from rotator.config.findings import Finding
from rotator.config.model import FileEscrow, LocalState, StateEscrow
from rotator.errors import ConfigError
from tests.config.right_config import ENV, changed, drop, load, problems, put

if TYPE_CHECKING:
    from pathlib import Path

SOURCE_HINT = "write {env: NAME}, {file: PATH} or {store: NAME, secret: NAME, field: NAME}"


def test_the_shortest_configuration_has_the_documented_defaults() -> None:
    """What is left out is a local state, a file escrow with a key file beside the state, stderr and 16 workers."""
    settings = load()
    assert settings.state == LocalState(type="local", path="var/rotator.db")
    assert settings.escrow_in_effect == FileEscrow(type="file", path="var/escrow")
    assert settings.seal_in_effect is not None
    assert settings.seal_in_effect.key_file == "var/rotator.db.key"
    assert [sink.path for sink in settings.audit] == ["-"]
    assert settings.workers == 16
    assert settings.warnings == []


def test_the_escrow_lies_in_a_shared_state_unless_told_otherwise() -> None:
    """A state that replicas share holds the escrow too; a stated escrow and seal stay as they are."""
    shared = {"state": {"type": "dynamodb", "table": "t"}, "seal": {"key_env": "SEAL_KEY"}}
    settings = load(lambda content: content.update(shared))
    assert settings.escrow_in_effect == StateEscrow()
    assert settings.seal_in_effect is settings.seal
    stated = load(lambda content: content.update(shared, escrow={"type": "file"}))
    assert stated.escrow_in_effect == FileEscrow(path="var/escrow")


WRONG: list[tuple[str, Any, tuple[str, str, str]]] = [
    # unknown keys
    ("worker", 3, ("worker", "unknown key", "did you mean 'workers'?")),
    ("stores.main.pth", 1, ("stores.main.pth", "unknown key", "did you mean 'path'?")),
    ("providers.acme.timeut", "3s", ("providers.acme.timeut", "unknown key", "did you mean 'timeout'?")),
    ("credentials.0.secrt", "x", ("credentials[0] (one).secrt", "unknown key", "did you mean 'secret'?")),
    ("state", {"type": "local", "zzz": 1}, ("state.zzz", "unknown key", "known: path, type")),
    ("audit", [{"type": "jsonl", "pat": "-"}], ("audit[0].pat", "unknown key", "did you mean 'path'?")),
    (
        "providers.acme.rate_limit",
        {"requests": 1, "per": 1, "pre": 1},
        ("providers.acme.rate_limit.pre", "unknown key", "did you mean 'per'?"),
    ),
    # wrong types and units
    ("version", 2, ("version", "is not supported", "write version: 1")),
    ("version", True, ("version", "is not supported", "write version: 1")),
    ("stores", [], ("stores", "must be a mapping, not a list", "")),
    (
        "stores.main",
        None,
        ("stores.main", "must be a mapping with a `type`", "known: aws-secrets-manager, local, vault"),
    ),
    ("stores.main.type", 3, ("stores.main.type", "must be text", "known: aws-secrets-manager, local, vault")),
    ("stores.main.type", "lokal", ("stores.main.type", "is not a known type", "did you mean 'local'?")),
    ("credentials", {}, ("credentials", "must be a list, not a mapping", "")),
    (
        "credentials.0.client_id",
        83,
        ("credentials[0] (one).client_id", "must be a text, not a number", "put it in quotes"),
    ),
    ("credentials.0.client_id", [], ("credentials[0] (one).client_id", "must be a text, not a list", "")),
    ("credentials.0.client_id", " ", ("credentials[0] (one).client_id", "is empty", "")),
    ("workers", "many", ("workers", "must be a whole number", "")),
    ("workers", True, ("workers", "must be a whole number", "")),
    ("workers", 0, ("workers", "must be at least 1", "")),
    (
        "providers.acme.timeout",
        "30 sec",
        ("providers.acme.timeout", "has an unknown unit", "write 90s, 5m, 2h, 1d or a number of seconds"),
    ),
    (
        "providers.acme.replay",
        {"window": "0s"},
        ("providers.acme.replay.window", "must be longer than zero", "write 90s, 5m, 2h, 1d or a number of seconds"),
    ),
    (
        "providers.acme.replay",
        "sometimes",
        ("providers.acme.replay", "is not known", "one of never, safe, until_successor_used, or {window: 30s}"),
    ),
    (
        "providers.acme.replay",
        [],
        ("providers.acme.replay", "is not known", "one of never, safe, until_successor_used, or {window: 30s}"),
    ),
    (
        "providers.acme.body",
        "jsn",
        ("providers.acme.body", "must be one of form, json", "did you mean 'json'?"),
    ),
    ("providers.acme.body", 1, ("providers.acme.body", "must be one of form, json", "")),
    ("providers.acme.form_reply", "yes", ("providers.acme.form_reply", "must be true or false, not a text", "")),
    (
        "providers.acme.rules",
        [{"then": "in_doubt"}],
        ("providers.acme.rules[0]", "matches every answer", "give a status, a code or a description"),
    ),
    (
        "providers.acme.rules",
        [{"then": "in_doubt", "description": "("}],
        ("providers.acme.rules[0].description", "is not a regular expression", "see the syntax of Python's `re`"),
    ),
    (
        "http",
        {"listen": "9464"},
        ("http.listen", "is not an address to listen on", "write HOST:PORT, such as 127.0.0.1:9464"),
    ),
    (
        "http",
        {"listen": "h:65536"},
        ("http.listen", "is not an address to listen on", "write HOST:PORT, such as 127.0.0.1:9464"),
    ),
    (
        "credentials.0.scope",
        "a  b",
        (
            "credentials[0] (one).scope",
            "is not a scope",
            "separate scopes by single spaces, or leave the key out (RFC 6749 section 3.3)",
        ),
    ),
    (
        "credentials.0.name",
        "-one",
        (
            "credentials[0] (-one).name",
            "is not a name",
            "begin with a letter or digit, then letters, digits and . _ / @ : - (128 at most)",
        ),
    ),
    # addresses
    (
        "providers.acme.token_endpoint",
        "http://id.acme.example/token",
        (
            "providers.acme.token_endpoint",
            "http:// would send secrets in the clear",
            "use https://; http:// is for loopback addresses only",
        ),
    ),
    (
        "providers.acme.token_endpoint",
        "https://id.acme.example/token#part",
        (
            "providers.acme.token_endpoint",
            "must not have a fragment",
            "leave out `#` and what follows (RFC 6749 section 3.2)",
        ),
    ),
    (
        "providers.acme.token_endpoint",
        "https://user:word@id.acme.example/token",
        (
            "providers.acme.token_endpoint",
            "must not carry a user name or password",
            "credentials have settings of their own",
        ),
    ),
    # seal
    ("seal", {}, ("seal", "needs exactly one of key_env, key_file and kms_key_id", "")),
    (
        "seal",
        {"key_env": "SEAL_KEY", "key_file": "k"},
        ("seal", "needs exactly one of key_env, key_file and kms_key_id", ""),
    ),
    ("seal", {"key": "x"}, ("seal.key", "unknown key", "did you mean 'key_env'?")),
    # secrets
    (
        "credentials.0.client_secret",
        {"env": ""},
        ("credentials[0] (one).client_secret", "names no source: each part must be a text", SOURCE_HINT),
    ),
]


@pytest.mark.parametrize(("path", "value", "problem"), WRONG, ids=[f"{path}={value}" for path, value, _ in WRONG])
def test_a_wrong_value_is_one_problem_with_its_place_and_a_hint(
    path: str, value: Any, problem: tuple[str, str, str]
) -> None:
    """One mistake gives one problem: the path to it, what is wrong, and what to do."""
    assert problems(put(path, value)) == [problem]


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("version", "version"),
        ("stores", "stores"),
        ("stores.main.type", "stores.main.type"),
        ("stores.main.path", "stores.main.path"),
        ("providers.acme.profile", "providers.acme.profile"),
        ("credentials.0.name", "credentials[0].name"),
        ("credentials.0.provider", "credentials[0] (one).provider"),
    ],
)
def test_a_missing_key_is_named_by_its_path(path: str, where: str) -> None:
    """What must be there and is not is the one problem."""
    assert [(found, what) for found, what, _ in problems(drop(path))] == [(where, "is missing")]


@pytest.mark.parametrize("section", ["stores", "providers", "credentials", "audit"])
def test_an_empty_section_is_a_problem(section: str) -> None:
    """A configuration that rotates nothing, or records nothing, is a mistake."""
    empty: Any = {} if section in {"stores", "providers"} else []
    assert (section, "is empty") in [(where, what) for where, what, _ in problems(put(section, empty))]


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    """Faults of single keys, references, duplicates and variables all stand in one report, each with its line."""
    text = """\
version: 1
stores:
  main: {type: local, path: a.db}
  other: {type: locl, path: b.db}
providers:
  acme: {profile: generic, token_endpoint: "http://id.acme.example/t"}
  corp: {profile: generic, token_endpoint: "https://id.corp.example/t", timeut: 3s}
  good: {profile: generic, token_endpoint: "https://id.good.example/t"}
credentials:
  - {name: one, provider: acme, store: main}
  - name: two
    provider: godo
    store: main
  - {name: one, provider: good, store: main, secret: two}
  - {name: four, provider: good, store: other, client_secret: {env: NOPE}}
  - {name: five, provider: good, client_idd: x}
  - {name: "${WHO}", provider: good, store: main}
"""
    with pytest.raises(ConfigError) as caught:
        load_config(text, {}, source="rotator.yaml")
    assert [(problem.where, problem.what) for problem in caught.value.problems] == [
        ("rotator.yaml:4: stores.other.type", "is not a known type"),
        ("rotator.yaml:6: providers.acme.token_endpoint", "http:// would send secrets in the clear"),
        ("rotator.yaml:7: providers.corp.timeut", "unknown key"),
        ("rotator.yaml:12: credentials[1] (two).provider", "there is no provider 'godo'"),
        ("rotator.yaml:14: credentials[2] (one).name", "credentials[0] has the same name"),
        ("rotator.yaml:14: credentials[2] (one).secret", "credential two already rotates this secret"),
        ("rotator.yaml:15: credentials[3] (four).client_secret", "the environment variable NOPE is not set"),
        ("rotator.yaml:16: credentials[4] (five).client_idd", "unknown key"),
        ("rotator.yaml:17: credentials[5].name", "the environment variable WHO is not set"),
    ]
    assert caught.value.problems[3].hint == "did you mean 'good'?"
    assert "rotator.yaml:12: credentials[1] (two).provider: there is no provider 'godo'\n    → did you" in str(
        caught.value
    )


CANARY = "hunter2-canary"


@pytest.mark.parametrize(
    "text",
    [
        "credentials: [{name: a, provider: p, client_secret: %s}]",
        "credentials: [{name: a, provider: p, client_secret: {%s}}]",
        "credentials: [{name: a, provider: p, client_secret: {env: %s}}]",
        "credentials: [{name: a, provider: p, client_secret: {%s: x}}]",
        "credentials: [{name: a, provider: p, client_secret: [%s]}]",
        "credentials: [{name: a, provider: p, client_secret: *%s }]",
        "credentials: [{name: a, provider: p, client_secret: !%s x}]",
        "credentials: [{name: a, provider: p, client_secret: '%s}]",
        "credentials: [{name: a, provider: p, client_secret: !!int %s}]",
        "credentials: [{name: a, provider: p, private_key: %s, scope: '%s  x'}]",
        "credentials: [%s]",
        "credentials: %s",
        "%s",
        "stores: {v: {type: vault, address: 'https://x:%s@v/', auth: {method: token, token: %s}}}",
        "stores: {v: {type: vault, address: 'https://v:%s/', auth: {method: approle, secret_id: %s}}}",
        "providers: {p: {profile: generic, token_endpoint: 'https://x:%s@h/'}}",
        "providers: {p: {profile: auth0, domain: 'https://%s/', private_key: %s}}",
        "providers: {p: {profile: dailypay, environment: %s, body: %s, timeout: %s, replay: %s}}",
        "seal: %s",
        "seal: {key_env: SEAL_VALUE, key: %s}",
        "seal: {key_env: SEAL_VALUE}",
        "workers: ${SEAL_VALUE}",
        "workers: ${%s}",
        "http: {listen: %s}",
    ],
)
@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.CSafeLoader])
def test_no_message_quotes_what_may_be_a_secret(text: str, loader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret in any wrong place is refused unshown, in the message and its causes, by either YAML parser."""
    monkeypatch.setattr(yaml_text, "_LOADER", loader)
    with pytest.raises(ConfigError) as caught:
        load_config(f"version: 1\n{text.replace('%s', CANARY)}\n", {"SEAL_VALUE": CANARY})
    error: BaseException | None = caught.value
    while error is not None:
        assert CANARY not in f"{error}{error!r}"
        error = error.__cause__ or error.__context__


def test_a_literal_client_secret_is_refused_with_the_three_shapes() -> None:
    """A secret in the file is a mistake of its own, whatever its text."""
    assert problems(put("credentials.0.client_secret", "s3cret")) == [
        ("credentials[0] (one).client_secret", "a secret must not stand in the configuration", SOURCE_HINT)
    ]


def test_a_file_is_named_with_its_lines(tmp_path: Path) -> None:
    """Problems of a file carry its path; a byte order mark does no harm, and settings remember the source."""
    path = tmp_path / "rotator.yaml"
    path.write_text("﻿" + changed(put("worker", 3)), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path, ENV)
    line = path.read_text(encoding="utf-8").splitlines().index("worker: 3") + 1
    assert [problem.where for problem in caught.value.problems] == [f"{path}:{line}: worker"]
    path.write_text(changed(), encoding="utf-8")
    assert load_config(str(path), ENV).source == str(path)


def test_a_missing_file_says_where_a_configuration_comes_from(tmp_path: Path) -> None:
    """The hint names the option, the variable and the example."""
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "none.yaml", ENV)
    [problem] = caught.value.problems
    assert problem.where == str(tmp_path / "none.yaml")
    assert problem.what == "there is no such file"
    assert problem.hint == (
        "name a file with `rotator -c PATH` or $ROTATOR_CONFIG, or begin with a copy of config/local.yaml"
    )


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    """A folder and bytes that are not UTF-8 are told apart."""
    (tmp_path / "latin.yaml").write_bytes(b"version: \xff\n")
    for path, what in ((tmp_path, "cannot be read: Is a directory"), (tmp_path / "latin.yaml", "is not UTF-8 text")):
        with pytest.raises(ConfigError) as caught:
            load_config(path, ENV)
        assert [problem.what for problem in caught.value.problems] == [what]


def test_a_name_of_a_section_is_checked() -> None:
    """Names of stores and providers follow the rule for names of credentials."""
    found = problems(put("providers.bad name", {"profile": "generic", "token_endpoint": "https://h/t"}))
    assert [(where, what) for where, what, _ in found] == [("providers.bad name", "is not a name")]


@pytest.mark.parametrize(("section", "key"), [("stores", "store"), ("providers", "provider")])
def test_a_section_that_cannot_be_read_is_not_held_against_its_references(section: str, key: str) -> None:
    """A section of the wrong type is one problem; the names that refer into it are not."""

    def change(content: dict[str, Any]) -> None:
        content["credentials"][0]["store"] = "main"
        content[section] = []

    assert problems(change) == [(section, "must be a mapping, not a list", "")]


def test_loading_imports_no_sdk() -> None:
    """A Lambda pays for pydantic and YAML only, and built-in names need no scan of the installed packages."""
    code = (
        "import sys, rotator.config as c\n"
        f"c.load_config({changed()!r}, {{}})\n"
        "heavy = {'boto3', 'hvac', 'apscheduler', 'click', 'rich', 'structlog', 'tenacity', 'requests'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_the_settings_yield_a_json_schema() -> None:
    """Editors can be given a schema; it names every section."""
    schema = Settings.model_json_schema()
    assert set(schema["properties"]) == {
        "version", "stores", "state", "escrow", "seal", "audit", "workers", "http", "providers", "credentials",
        "discover", "metrics", "traces", "notifiers", "notify", "on_rotated",
    }  # fmt: skip
    assert yaml.safe_dump(schema)


def test_a_fault_without_words_of_its_own_keeps_pydantics() -> None:
    """A constraint that nobody translated is still told, at its place."""

    class Narrow(BaseModel):
        width: Annotated[int, Field(lt=3)]

    with pytest.raises(ValidationError) as caught:
        Narrow.model_validate({"width": 5})
    assert findings_of(caught.value, Narrow) == [Finding(("width",), "Input should be less than 3")]
