"""Configurations that somebody damaged: settings, or all that is wrong in words that quote no secret."""

from __future__ import annotations

import contextlib
import copy
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rotator.clocks import SystemIds, SystemRandom
from rotator.config import load_config, resolve
from rotator.config.durations import LONGEST_S, parse_duration
from rotator.config.profile_files import Found
from rotator.config.provider_settings import ProviderSettings
from rotator.config.providers import merge
from rotator.errors import ConfigError, PluginError
from rotator.profiles.schema import Profile, parse_profile
from rotator.testing.memory import VirtualClock
from rotator.wiring import Surroundings, build
from tests.config.right_config import ENV, no_store
from tests.effort import tried
from tests.fuzz.leaks import INSIDE, PROCESS, assert_secret
from tests.fuzz.mutations import HOSTILE, foreign_json, found, mutated_bytes, mutated_json, paths_of, replaced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.fuzz.mutations import Path as Place

SECRET_ENV = {
    **ENV,
    "CLIENT_SECRET": PROCESS,
    "VAULT_TOKEN": PROCESS,
    "ROTATOR_SEAL_KEY": ENV["SEAL_KEY"],
    "GREETING": "hello",
}
EXAMPLES = sorted(Path("config").glob("*.yaml"))

WHOLE: dict[str, Any] = {
    "version": 1,
    "stores": {
        "main": {"type": "aws-secrets-manager", "region": "us-east-1"},
        "vault": {
            "type": "vault", "address": "https://vault.internal.example:8200", "mount": "secret",
            "auth": {"method": "approle", "role_id": "r", "secret_id": {"env": "VAULT_TOKEN"}},
        },
        "dev": {"type": "local", "path": "var/rotator.db"},
    },
    "state": {"type": "dynamodb", "table": "rotator-state", "region": "us-east-1"},
    "escrow": {"type": "state"},
    "seal": {"key_env": "SEAL_KEY"},
    "audit": [{"type": "jsonl", "path": "-"}],
    "workers": 16,
    "http": {"listen": "127.0.0.1:9464"},
    "providers": {
        "auth0-prod": {"profile": "auth0", "domain": "a.auth0.com", "rate_limit": {"requests": 25, "per": "1s"}},
        "dailypay": {"profile": "dailypay", "environment": "production"},
        "acme": {
            "profile": "generic", "token_endpoint": "https://id.acme.example/oauth2/token", "body": "form",
            "client_auth": "client_secret_basic", "replay": {"window": "30s"}, "on_doubt": "wait_then_replay",
            "timeout": "30s", "error_members": ["error", "status"], "default_lifetime": "1h",
            "rules": [{"then": "unavailable", "code": "x", "status": 400, "description": "a+b"}],
        },
        "signed": {
            "profile": "generic", "token_endpoint": "https://id.acme.example/oauth2/token",
            "client_auth": "private_key_jwt", "private_key": {"env": "CLIENT_SECRET"}, "key_id": "k",
            "algorithm": "ES256",
        },
    },
    "credentials": [
        {
            "name": "payroll-export", "provider": "dailypay", "store": "main", "secret": "oauth/payroll-export",
            "client_id": "abc", "client_secret": {"env": "CLIENT_SECRET"}, "scope": "user:read",
            "refresh_before_expiry": "5m",
        },
        {
            "name": "two", "provider": "acme", "store": "vault",
            "client_secret": {"store": "vault", "secret": "c", "field": "f"},
        },
        {"name": "three", "provider": "signed", "store": "dev"},
    ],
}  # fmt: skip

SMALL: dict[str, Any] = {
    "version": 1,
    "stores": {"dev": {"type": "local", "path": "var/rotator.db"}},
    "providers": {"acme": {"profile": "generic", "token_endpoint": "https://id.acme.example/token"}},
    "credentials": [{"name": "one", "provider": "acme", "client_secret": {"env": "CLIENT_SECRET"}}],
}

NAMES = frozenset(
    {
        "name",
        "provider",
        "store",
        "secret",
        "env",
        "file",
        "field",
        "path",
        "key_env",
        "key_file",
        "profile",
        "table",
        "status",
    }
)
"""Keys whose values name things. Messages quote names, and a secret has no business there."""

ODD_YAML = (
    b"version: 1\nx: &x {a: 1, b: [1, 2]}\ny: {<<: *x, c: *x}\nz: !!timestamp '2026-01-01'\nw: !!bool yes\n"
    b"v: ${GREETING} $${x}\nu: |\n  text\n  more\nt: 'it''s'\ns: \"\\x41\\u00e9\"\nr: 0x1F\nq: 1:30:00\n"
    b"p: 1_000.5e+3\n? k\n: v\n"
)

TEXTS = [
    yaml.safe_dump(WHOLE, sort_keys=False).encode(),
    yaml.safe_dump(SMALL).encode(),
    *(path.read_bytes() for path in EXAMPLES),
    ODD_YAML,
]


def load(text: str, env: Mapping[str, str] = SECRET_ENV) -> None:
    """Load, resolve and put together; what is wrong has to be a ConfigError without a secret."""
    try:
        settings = load_config(f"{text}\n", env)
        resolve(settings, read_secret=no_store, env=env)
        local = all(store.type == "local" for store in settings.stores.values()) and settings.state.type == "local"
        if local:
            build(settings, "once", Surroundings(env, VirtualClock(), SystemIds(), SystemRandom()))
    except ConfigError as error:
        assert_told(error, PROCESS, SECRET_ENV["SEAL_KEY"])
    else:
        assert_secret(settings, PROCESS, SECRET_ENV["SEAL_KEY"])


def assert_told(error: ConfigError, *secrets: str) -> None:
    """Check that an error names at least one problem, at no endless length, and no secret."""
    assert error.problems
    assert len(str(error)) < 200_000
    assert_secret(error, *secrets)


@tried(300)
@given(mutated_bytes(TEXTS))
def test_a_damaged_text_is_a_configuration_or_all_that_is_wrong_with_it(damaged: bytes) -> None:
    """Whatever the bytes of the file are, they are settings or a ConfigError."""
    load(damaged.decode("utf-8", "replace"))


@tried(60, cost=2)
@given(mutated_bytes(TEXTS))
def test_a_damaged_file_is_a_configuration_or_all_that_is_wrong_with_it(tmp_path: Path, damaged: bytes) -> None:
    """The same from a file, whatever its encoding."""
    file = tmp_path / "rotator.yaml"
    file.write_bytes(damaged)
    with contextlib.suppress(ConfigError):
        load_config(file, SECRET_ENV)


@tried(200)
@given(mutated_json([WHOLE, SMALL, SMALL]))
def test_a_configuration_with_other_values_is_one_or_all_that_is_wrong_with_it(content: Any) -> None:
    """Values of other types and other keys deep inside are settings or a ConfigError."""
    load(yaml.safe_dump(content, allow_unicode=True).encode("utf-8", "replace").decode())


@tried(60)
@given(foreign_json([SMALL]))
def test_a_configuration_in_json_is_one_or_all_that_is_wrong_with_it(damaged: bytes) -> None:
    """JSON is YAML, with the numbers and depths that JSON parsers fear."""
    load(damaged.decode("utf-8", "replace"))


@st.composite
def misplaced(draw: st.DrawFn) -> Any:
    """Return a configuration in which a secret stands where none belongs, perhaps by way of a variable."""
    content = (
        draw(mutated_json([WHOLE, SMALL], most=1)) if draw(st.booleans()) else draw(st.sampled_from([WHOLE, SMALL]))
    )
    content = copy.deepcopy(content)
    places = [place for place in paths_of(content) if _takes_no_name(place)]
    secret = draw(st.sampled_from([INSIDE, "${CLIENT_SECRET}", f"prefix {INSIDE}", [INSIDE], {"window": INSIDE}]))
    return replaced(content, draw(st.sampled_from(places)), secret) if places else content


def _takes_no_name(place: Place) -> bool:
    return bool(place) and not NAMES & set(map(str, place)) and place != ("credentials",)


@tried(200)
@given(misplaced())
def test_a_misplaced_secret_is_not_quoted(content: Any) -> None:
    """A secret that stands in the place of a type, a duration, a URL or a whole section is in no message."""
    try:
        settings = load_config(yaml.safe_dump(content) + "\n", SECRET_ENV)
        resolve(settings, read_secret=no_store, env=SECRET_ENV)
    except ConfigError as error:
        assert_secret(error, INSIDE, PROCESS)


@pytest.mark.parametrize("secret", [f'{INSIDE} "{INSIDE}', "${CLIENT_SECRET}"], ids=["text", "variable"])
def test_no_place_of_a_configuration_quotes_a_secret(secret: str) -> None:
    """The same for each place of a whole configuration in turn."""
    for place in filter(_takes_no_name, paths_of(WHOLE)):
        try:
            load_config(yaml.safe_dump(replaced(copy.deepcopy(WHOLE), place, secret)) + "\n", SECRET_ENV)
        except ConfigError as error:
            assert_secret(error, INSIDE, PROCESS)


# --------------------------------------------------------------------------------------------------- the values


@tried(200)
@given(
    st.one_of(
        st.sampled_from(HOSTILE),
        st.integers(),
        st.floats(),
        st.text(),
        mutated_bytes([b"90s", b"1.5h", b"1d", b"30"]).map(lambda raw: raw.decode("latin-1")),
    ),
    st.booleans(),
)
def test_a_duration_is_seconds_or_a_word_on_it(value: Any, zero: bool) -> None:
    """Whatever stands for a duration is between zero and a century, or a ValueError that does not quote it."""
    try:
        seconds = parse_duration(value, zero=zero)
    except ValueError as error:
        assert_secret(error, *([value] if isinstance(value, str) and len(value) > 12 else []))
    else:
        assert math.isfinite(seconds)
        assert 0 <= seconds <= LONGEST_S


PROFILES = [
    {
        "summary": "one line",
        "sources": ["https://docs.example"],
        "variables": {
            "domain": {"is": "host", "about": "the tenant", "example": "a.example"},
            "environment": {"is": "choice", "of": {"production": "a.example", "uat": "b.example"}, "about": "which"},
        },
        "token_endpoint": "https://{domain}/{environment}/token",
        "audience": "https://{domain}/",
        "client_auth": "private_key_jwt",
        "private_key": {"env": "CLIENT_SECRET"},
        "replay": {"window": "30s"},
        "timeout": "10s",
        "rules": [{"then": "unavailable", "description": "a{2,3}"}],
    },
    {"token_endpoint": "https://id.example/token"},
]
ENTRY = {"profile": "acme", "domain": "a.example", "environment": "uat", "timeout": "20s"}


@tried(300)
@given(mutated_json(PROFILES, whole=True), mutated_json([ENTRY]))
def test_a_damaged_profile_is_one_or_a_word_on_it(profile: Any, entry: Any) -> None:
    """A profile that a plug-in offers is one, or a PluginError; laid under an entry it is a provider or findings."""
    try:
        parsed = parse_profile("acme", profile)
    except PluginError as error:
        assert_told(error, PROCESS)
        return
    assert isinstance(parsed, Profile)
    with contextlib.suppress(ValueError), pytest.MonkeyPatch.context() as patch:  # pydantic's error, of the entry
        patch.setattr("rotator.config.providers.find_profile", lambda *_: Found(parsed))
        settings = ProviderSettings.model_validate({**entry, "profile": "acme"})
        merged, findings = merge("acme", settings)
        assert (merged is None) == bool(findings)


@tried(60)
@given(mutated_json([{**PROFILES[0], "private_key": INSIDE, "variables": {"domain": INSIDE}}], most=1))
def test_a_secret_in_a_profile_is_not_quoted(profile: Any) -> None:
    """What is wrong with a profile is told without the value, in the chain of errors as well."""
    if any(INSIDE in map(str, place) for place in paths_of(profile)) or found(profile, ()) == INSIDE:
        return
    try:
        parse_profile("acme", profile)
    except PluginError as error:
        assert_secret(error, INSIDE)


# ------------------------------------------------------------------------------------------ what was found, by name


FOUND = {
    "deeper than the parser goes": "a: " + "[" * 900 + "]" * 900,
    "far deeper": "a: " + "[" * 50_000 + "]" * 50_000,
    "mappings in mappings": "".join(" " * level + "a:\n" for level in range(900)),
    "a tag for a bool that is none": f"a: !!bool {INSIDE}",
    "a tag for a number without digits": "a: !!int ''",
    "a tag for a fraction without digits": "a: !!float ''",
    "a tag for an instant that is none": f"a: !!timestamp {INSIDE}",
    "a key that is a date of no month": "2026-13-45: a",
    "a key that is no number": f"!!int {INSIDE}: a",
    "aliases of aliases": "".join(
        f"{name}: &{name} [{', '.join(['*' + before if before else 'x'] * 10)}]\n"
        for before, name in zip(["", *"abcdefghi"], "abcdefghij", strict=True)
    ),
    "a text without its end": f'a: "{INSIDE}',
    "a list without its end": f"a: [{INSIDE}",
    "a colon too many": f"a: {INSIDE}: {INSIDE}: b",
    "an alias of nothing": f"a: *{INSIDE}",
    "an escape that is none": f'a: "{INSIDE}\\q{INSIDE}"',
    "more digits than Python reads": f"a: {'9' * 5000}",
}


@pytest.mark.parametrize("text", FOUND.values(), ids=FOUND.keys())
def test_yaml_that_a_parser_stumbles_over_is_told(text: str) -> None:
    """Depths, tags that do not fit, keys that are no text and exponential aliases are problems, not crashes."""
    with pytest.raises(ConfigError) as raised:
        load_config(f"{text}\n", {})
    assert_secret(raised.value, INSIDE)


VALUES = {
    "a duration of 400 digits": {"timeout": 10**400},
    "a budget of 400 digits": {"rate_limit": {"requests": 10**400, "per": "1s"}},
    "a budget of 400 digits, in a text": {"rate_limit": {"requests": "9" * 400, "per": "1s"}},
    "a budget of 5000 digits, in a text": {"rate_limit": {"requests": "9" * 5000, "per": "1s"}},
    "a status of 4000 hex digits": {"rules": [{"then": "unavailable", "status": 16**4000}]},
}


@pytest.mark.parametrize("change", VALUES.values(), ids=VALUES.keys())
def test_a_number_that_nothing_can_count_with_is_told(change: dict[str, Any]) -> None:
    """Numbers beyond floats and beyond what Python prints are problems where they stand."""
    entry = {"profile": "generic", "token_endpoint": "https://id.example/t", **change}
    text = {**SMALL, "providers": {"acme": entry}}
    lines = yaml.safe_dump({**text, "providers": {"acme": {**entry, **dict.fromkeys(change, "X")}}})
    with pytest.raises(ConfigError) as raised:
        load_config(lines.replace("X", in_yaml(*change.values())) + "\n", SECRET_ENV)
    assert "providers.acme" in str(raised.value)
    assert "Value error" not in str(raised.value)


def in_yaml(value: Any) -> str:
    """Return flow YAML; large numbers in hex, which has no bound."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {in_yaml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(in_yaml, value)) + "]"
    return hex(value) if isinstance(value, int) else f"'{value}'"


@pytest.mark.parametrize("section", ["stores", "seal", "escrow", "state", "audit"])
def test_a_path_that_no_file_system_takes_is_told(section: str) -> None:
    """A NUL in a path is a problem of the configuration, and no crash at the first write."""
    sections = {
        "stores": {"dev": {"type": "local", "path": "a\x00b"}},
        "seal": {"key_file": "a\x00b"},
        "escrow": {"type": "file", "path": "a\x00b"},
        "state": {"type": "local", "path": "a\x00b"},
        "audit": [{"type": "jsonl", "path": "a\x00b"}],
    }
    with pytest.raises(ConfigError) as raised:
        load_config(yaml.safe_dump({**SMALL, section: sections[section]}) + "\n", SECRET_ENV)
    assert section in str(raised.value)
