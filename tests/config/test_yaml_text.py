"""The YAML that rotator takes: duplicate keys, odd structures, `${VAR}`."""

from __future__ import annotations

from typing import Any

import pytest

from rotator.config import load_config
from rotator.config.yaml_text import YamlText
from rotator.errors import ConfigError
from tests.config.right_config import ENV, changed, drop, load, problems, put


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("\n", "ROTATOR_CONFIG_YAML", "is empty"),
        ("- 1\n", "ROTATOR_CONFIG_YAML", "is not a mapping"),
        ("a: [1\nb: 2\n", "ROTATOR_CONFIG_YAML:2", "line 2, column 2"),
        ("a: 1\n---\nb: 2\n", "ROTATOR_CONFIG_YAML:2", "line 2, column 1"),
        ("{a: \x07}", "ROTATOR_CONFIG_YAML", "characters that YAML does not allow"),
        ("{a: \ud800}", "ROTATOR_CONFIG_YAML", "characters that YAML does not allow"),
    ],
)
def test_a_text_that_is_no_configuration_is_one_problem(text: str, where: str, what: str) -> None:
    """Empty, not a mapping, or not YAML: told with line and column where there is one."""
    with pytest.raises(ConfigError) as caught:
        load_config(text, ENV)
    [problem] = caught.value.problems
    assert problem.where == where
    assert what in problem.what


def test_a_key_that_appears_twice_is_a_problem() -> None:
    """YAML would silently take the last one; the place is that of the second."""
    with pytest.raises(ConfigError) as caught:
        load_config(changed() + "version: 1\n", ENV, source="f")
    line = len(changed().splitlines()) + 1
    assert [(problem.where, problem.what) for problem in caught.value.problems] == [
        (f"f:{line}: version", "appears twice")
    ]


@pytest.mark.parametrize(
    ("line", "where", "what"),
    [
        ("3: x", "?", "a key must be text"),
        ("[a]: x", "?", "a key must be text"),
        ("http: !thing x", "http", "has a tag that is not known"),
        ("http: 2026-13-45", "http", "cannot be read as what YAML takes it for"),
        ("http: &a [*a]", "http[0]", "refers to itself"),
        ("http: {<<: 3}", "http.<<", "must refer to a mapping"),
    ],
)
def test_yaml_that_rotator_does_not_take_is_a_problem(line: str, where: str, what: str) -> None:
    """Odd keys, tags, impossible dates and endless structures are refused where they stand."""
    with pytest.raises(ConfigError) as caught:
        load_config(changed() + line + "\n", ENV)
    found = [(problem.where.partition(": ")[2], problem.what) for problem in caught.value.problems]
    assert (where, what) in found


def test_anchors_and_merge_keys_work_as_in_yaml() -> None:
    """What a merge brings in gives way to what stands beside it; of several mappings the first wins."""
    text = changed(drop("credentials")) + (
        "credentials:\n"
        "- &first {name: one, provider: acme, scope: a}\n"
        "- {<<: [{scope: b}, *first], name: two}\n"
        "- {<<: *first, name: three}\n"
    )
    settings = load_config(text, ENV)
    assert [(c.name, c.provider, c.scope) for c in settings.credentials] == [
        ("one", "acme", "a"),
        ("two", "acme", "b"),
        ("three", "acme", "a"),
    ]


def test_variables_are_filled_in_and_can_be_escaped() -> None:
    """A reference takes the variable's value, also inside a text; `$${` is a plain `${`, a lone `$` stays."""
    env = {**ENV, "HOST": "id.acme.example", "N": "4", "EMPTY": "", "WAIT": "5m"}

    def change(content: dict[str, Any]) -> None:
        content["workers"] = "${N}"
        content["providers"]["acme"] |= {"token_endpoint": "https://${HOST}/${HOST}", "timeout": "${WAIT}"}
        content["credentials"][0] |= {"client_id": "$${HOST} $5 $$ a${EMPTY}b"}

    settings = load(change, env)
    assert settings.workers == 4
    assert settings.providers["acme"].token_endpoint == "https://id.acme.example/id.acme.example"
    assert settings.providers["acme"].timeout == 300.0
    assert settings.credentials[0].client_id == "${HOST} $5 $$ ab"


@pytest.mark.parametrize("text", ["${", "${}", "${A-b}", "x ${A", "${1A}"])
def test_a_reference_that_is_none_is_a_problem(text: str) -> None:
    """What begins like a reference must be one."""
    [(where, what, hint)] = problems(put("credentials.0.client_id", text))
    assert where == "credentials[0] (one).client_id"
    assert what == "`${` begins a reference like ${NAME}"
    assert hint == "write `$${` for a plain `${`"


def test_a_missing_variable_is_told_once() -> None:
    """The empty text that it leaves is not held against it a second time."""
    assert problems(put("providers.acme.token_endpoint", "https://${HOST}/t")) == [
        ("providers.acme.token_endpoint", "the environment variable HOST is not set", "set HOST")
    ]


def test_the_outermost_mapping_reads_like_any_other() -> None:
    """Its lists are read item by item; what is not read, because its key is wrong, is passed over whole."""
    text = "a: &a [1, {b: 2}]\n? [no, key]\n: {x: [1]}\na: [3]\n<<: {d: 4, a: 5}\nc: *a\nempty: []\nlast: [[6], 7]\n"
    found = YamlText(text, {})
    assert found.content == {"a": [1, {"b": 2}], "c": [1, {"b": 2}], "empty": [], "last": [[6], 7], "d": 4}
    assert [(one.path, one.what) for one in found.findings] == [
        (("?",), "a key must be text"),
        (("a",), "appears twice"),
    ]
    assert (found.lines["last", 1], found.lines["a", 1, "b"]) == (8, 1)


def test_a_fleet_of_credentials_shares_its_texts() -> None:
    """100,000 credentials name few providers and clients, by the same keys: each text is kept once."""
    found = YamlText("credentials:\n" + "".join(f"- {{name: n{number}, provider: acme}}\n" for number in range(3)), {})
    entries = found.content["credentials"]
    assert {id(entry["provider"]) for entry in entries} == {id(entries[0]["provider"])}
    assert [list(entry)[1] is list(entries[0])[1] for entry in entries] == [True] * 3
    assert [entry["name"] for entry in entries] == ["n0", "n1", "n2"]
