"""The shipped profiles, each as a whole; what their variables accept, and what can never be smuggled in with one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.config.provider_settings import ProviderSettings
from rotator.config.providers import merge
from rotator.errors import PluginError
from rotator.profiles import BUILT_IN, FOLDER, load_profile
from rotator.profiles.schema import TEMPLATES, Variable, parse_profile

if TYPE_CHECKING:
    from rotator.model import Provider

KINDS = ("host", "label", "word", "path", "url")


def entry_of(name: str) -> dict[str, Any]:
    """Return the least that a provider's entry with this profile has to say."""
    profile = load_profile(name)
    variables = {
        key: variable.example or next(iter(variable.of))
        for key, variable in profile.variables.items()
        if variable.default is None
    }
    needed = {} if "token_endpoint" in profile.fields else {"token_endpoint": "https://id.example.com/token"}
    return {"profile": name, **variables, **needed}


def provider(name: str) -> Provider:
    """Return the provider that the least entry makes."""
    found, faults = merge("p", ProviderSettings.model_validate(entry_of(name)))
    assert faults == []
    assert found is not None
    return found.provider


def test_every_profile_file_is_known_by_its_name() -> None:
    """No file lies there that cannot be named, and no name leads to nothing."""
    assert sorted(BUILT_IN) == list(BUILT_IN) == sorted(file.stem for file in FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_shipped_profile_is_whole(name: str) -> None:
    """It makes a provider from its examples alone, over https, with every placeholder filled in."""
    made = provider(name)
    for field in TEMPLATES:
        address = getattr(made, field)
        if address is not None:
            assert urlsplit(address).scheme == "https"
            assert not re.search(r"[{}]|(?<!:)//", address), field


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_shipped_profile_says_what_it_is_and_where_that_stands(name: str) -> None:
    """A summary, how refresh tokens behave, what to know, and sources that can be looked up."""
    profile = load_profile(name)
    assert profile.summary
    assert profile.notes
    assert profile.sources
    assert all(re.fullmatch(r"https://[a-z0-9.-]+/\S*|RFC [0-9]+ .+", source) for source in profile.sources)


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_variable_of_a_shipped_profile_has_a_value_that_fits(name: str) -> None:
    """Its example or its choices can be written as they stand, and each one is used."""
    profile = load_profile(name)
    texts = "".join(str(profile.fields.get(field)) for field in TEMPLATES)
    for key, variable in profile.variables.items():
        assert variable.about
        assert variable.text_for(variable.example or next(iter(variable.of))) is not None
        assert f"{{{key}}}" in texts


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_a_shipped_profile_says_of_replays_is_said_in_words_beside_it(name: str) -> None:
    """`replay` stands in every file with a comment at it: it decides what a lost reply costs."""
    lines = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("replay:"))
    assert "#" in lines[at] or lines[at - 1].startswith("#")


def test_a_replay_is_allowed_only_where_it_is_documented() -> None:
    """The list to look at whenever a profile changes: all others never present a refresh token a second time early."""
    found = {name: provider(name).replay for name in BUILT_IN}
    assert {name: (replay.kind, replay.window_s) for name, replay in found.items() if replay.kind != "never"} == {
        "atlassian": ("window", 600.0),
        "dropbox": ("safe", 0.0),
        "entra": ("safe", 0.0),
        "google": ("safe", 0.0),
        "okta": ("window", 30.0),
        "shopify": ("until_successor_used", 0.0),
        "xero": ("window", 1800.0),
    }


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_window_leaves_time_for_one_more_try(name: str) -> None:
    """A replay window that is shorter than the request's own deadline would never be used."""
    made = provider(name)
    if made.replay.kind == "window":
        assert made.replay.window_s > 1.5 * made.timeout_s


def test_a_default_of_a_variable_is_used_where_the_entry_is_silent() -> None:
    """Okta's authorization server and Entra's cloud need not be said."""
    assert provider("okta").token_endpoint == "https://example.okta.com/oauth2/default/v1/token"
    assert provider("entra").token_endpoint.startswith("https://login.microsoftonline.com/")


def text_for(kind: str, value: object) -> str | None:
    """Return what a variable of this kind makes of a value."""
    return Variable.model_validate({"is": kind, "about": "it"}).text_for(value)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("host", "Example.COM", "example.com"),
        ("host", "example.com:443", None),
        ("host", "example.com/", None),
        ("label", "Shop-1", "shop-1"),
        ("label", "shop.evil", None),
        ("label", "-shop", None),
        ("word", "contoso.onmicrosoft.com", "contoso.onmicrosoft.com"),
        ("word", "a/b", None),
        ("word", "..", None),
        ("word", ".", None),
        ("word", "a%2fb", None),
        ("word", "a b", None),
        ("word", "a?b", None),
        ("word", "a#b", None),
        ("word", "a@b", None),
        ("word", "a\n", None),
        ("word", "ä", None),
        ("word", "", None),
        ("path", "oauth2/aus1", "oauth2/aus1"),
        ("path", "oauth2", "oauth2"),
        ("path", "oauth2/../admin", None),
        ("path", "/oauth2", None),
        ("path", "oauth2/", None),
        ("path", "a//b", None),
        ("path", "a\\b", None),
        ("url", "https://sso.example.com", "https://sso.example.com"),
        ("url", "HTTPS://SSO.example.com:8443/Auth/", "https://sso.example.com:8443/Auth"),
        ("url", "http://127.0.0.1:8080/auth", "http://127.0.0.1:8080/auth"),
        ("url", "http://localhost:8080", "http://localhost:8080"),
        ("url", "http://sso.example.com", None),
        ("url", "https://user@sso.example.com", None),
        ("url", "https://user:pw@sso.example.com/", None),
        ("url", "https://sso.example.com/?a=b", None),
        ("url", "https://sso.example.com/#a", None),
        ("url", "https://sso.example.com/../a", None),
        ("url", "https://sso.example.com//a", None),
        ("url", "https://sso.example.com:0/", None),
        ("url", "//sso.example.com", None),
        ("url", "sso.example.com", None),
    ],
)  # fmt: skip
def test_a_variable_takes_what_its_kind_names(kind: str, value: str, text: str | None) -> None:
    """A name is a name, a path a path, and nothing of an address comes along with either."""
    assert text_for(kind, value) == text


@given(st.sampled_from(KINDS), st.text() | st.from_regex(r"[a-z0-9./:@?#%\\{}_~-]+", fullmatch=True))
def test_nothing_is_smuggled_into_an_address(kind: str, value: str) -> None:
    """Whatever a variable accepts changes the part of the address that it stands for, and no other."""
    text = text_for(kind, value)
    if text is None:
        return
    template = {
        "host": f"https://{text}/token",
        "label": f"https://{text}.example.com/token",
        "word": f"https://host.example/at/{text}/token",
        "path": f"https://host.example/{text}/token",
        "url": f"{text}/token",
    }[kind]
    parts = urlsplit(template)
    assert (parts.username, parts.password, parts.query, parts.fragment) == (None, None, "", "")
    assert parts.path.endswith("/token")
    assert not {"", ".", ".."} & set(parts.path.split("/")[1:])
    assert "%" not in template
    if kind in {"word", "path"}:
        assert parts.netloc == "host.example"
    if kind in {"host", "label"}:
        assert parts.path == "/token"
        assert parts.port is None


@pytest.mark.parametrize(
    ("kind", "template", "what"),
    [
        ("word", "https://{x}/token", "before its path"),
        ("word", "https://a.{x}.example/token", "before its path"),
        ("path", "{x}/token", "before its path"),
        ("url", "https://a.example/{x}", "elsewhere than at its beginning"),
        ("word", "https://a.example/{x}", None),
        ("url", "{x}/token", None),
        ("label", "https://{x}.a.example/token", None),
        ("host", "https://{x}/token", None),
    ],
)
def test_a_variable_may_stand_where_its_kind_belongs(kind: str, template: str, what: str | None) -> None:
    """A plain name takes no host's place, and a base URL stands at the beginning only."""
    content = {"variables": {"x": {"is": kind, "about": "it"}}, "token_endpoint": template}
    if what is None:
        parse_profile("mine", content)
        return
    with pytest.raises(PluginError, match=what):
        parse_profile("mine", content)
