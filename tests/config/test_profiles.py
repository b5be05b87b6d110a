"""Provider profiles: what each states, how entries override it, and what a variable accepts."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import pytest

from rotator.config.provider_settings import ProviderFields, ProviderSettings
from rotator.config.providers import merge
from rotator.errors import PluginError
from rotator.limits import RateLimit
from rotator.model import AnswerRule, Provider, Replay
from rotator.profiles import BUILT_IN, load_profile
from rotator.profiles.schema import parse_profile
from tests.config.plug_ins import install
from tests.config.right_config import problems

if TYPE_CHECKING:
    from pathlib import Path

ENDPOINT = "https://id.acme.example/token"


def provider(**entry: Any) -> Provider:
    """Return the provider that an entry makes."""
    merged, findings = merge("p", ProviderSettings.model_validate(entry))
    assert findings == []
    assert merged is not None
    return merged.provider


def faults(**entry: Any) -> list[tuple[str, str, str]]:
    """Return key, what and hint of what is wrong with an entry."""
    merged, findings = merge("p", ProviderSettings.model_validate(entry))
    assert merged is None
    assert all(finding.path[:2] == ("providers", "p") for finding in findings)
    return [(".".join(map(str, finding.path[2:])), finding.what, finding.hint) for finding in findings]


def test_the_generic_profile_states_the_defaults_of_the_model() -> None:
    """What the file says in words is what `Provider` assumes: neither can change alone."""
    assert provider(profile="generic", token_endpoint=ENDPOINT) == Provider("p", "generic", ENDPOINT)
    assert set(load_profile("generic").fields) == set(ProviderFields.model_fields) - {"token_endpoint", "private_key"}


def test_every_field_of_a_provider_can_be_configured() -> None:
    """The configuration's names are the model's, durations without their unit."""
    own = {"name", "profile", "grant", "subject"}  # the last two are each credential's
    of_model = {field.name.removesuffix("_s") for field in fields(Provider)} - own
    assert of_model == set(ProviderFields.model_fields) - {"private_key"}


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_built_in_profile_names_its_sources(name: str) -> None:
    """A fact about a provider says where it stands."""
    profile = load_profile(name)
    assert profile.summary
    assert profile.sources
    assert all(variable.about for variable in profile.variables.values())


def test_auth0_is_json_at_the_tenants_domain() -> None:
    """Endpoint and audience follow from the domain; a 500 about the global limit is pacing; nothing else is assumed."""
    auth0 = provider(profile="auth0", domain="Example.EU.auth0.com")
    assert auth0.token_endpoint == "https://example.eu.auth0.com/oauth/token"
    assert auth0.audience == "https://example.eu.auth0.com/"
    assert (auth0.body, auth0.client_auth, auth0.replay) == ("json", "client_secret_post", Replay("never"))
    assert (auth0.refresh_token_idle_s, auth0.refresh_token_absolute_s, auth0.default_lifetime_s) == (None, None, None)
    [rule] = auth0.rules
    assert (rule.then, rule.status, rule.code) == ("rate_limited", 500, None)
    assert rule.description is not None
    assert rule.description.search("Global limit has been reached")
    assert not rule.description.search("Unknown or invalid refresh token.")


@pytest.mark.parametrize(
    ("environment", "endpoint"),
    [
        ("production", "https://auth.dailypay.com/oauth2/token"),
        ("uat", "https://auth.uat.dailypay.com/oauth2/token"),
    ],
)
def test_dailypay_is_a_form_at_the_environments_host(environment: str, endpoint: str) -> None:
    """A lost storage race is no spent token; a refresh ends the old access token; an hour unless told."""
    dailypay = provider(profile="dailypay", environment=environment)
    assert dailypay.token_endpoint == endpoint
    assert (dailypay.body, dailypay.client_auth, dailypay.basic_encoding) == ("form", "client_secret_post", "form")
    assert (dailypay.replay, dailypay.old_access_token) == (Replay("never"), "revoked")
    assert (dailypay.default_lifetime_s, dailypay.refresh_token_absolute_s) == (3600.0, None)
    [rule] = dailypay.rules
    assert (rule.then, rule.status, rule.code) == ("unavailable", 400, "invalid_request")
    assert rule.description is not None
    assert rule.description.search("... Please retry the request.")


def test_an_entry_overrides_every_field() -> None:
    """Each field of a profile gives way to the entry's."""
    assert provider(
        profile="dailypay",
        token_endpoint=ENDPOINT,
        body="json",
        client_auth="private_key_jwt",
        basic_encoding="raw",
        timeout="10s",
        key_id="k",
        algorithm="ES256",
        audience="https://a/",
        private_key={"env": "KEY"},
        replay={"window": "30s"},
        on_doubt="operator",
        old_access_token="kept",
        default_lifetime="2h",
        earliest_refresh="1m",
        refresh_before_expiry="5m",
        refresh_token_idle="7d",
        refresh_token_absolute="30d",
        error_members=["error", "status"],
        description_members=["reason"],
        bearer_types=["bot"],
        rules=[{"then": "reauthorize", "code": "gone"}],
        form_reply=True,
        secret_optional=True,
        default_token_type="bearer",
        rate_limit={"requests": 25, "per": "1s"},
        issuer="https://issuer/",
        authorization_endpoint="https://a/authorize",
        device_authorization_endpoint="https://a/device",
        revocation_endpoint="https://a/revoke",
        login_scope="all",
        login_parameters={"audience": "https://api/"},
    ) == Provider(
        name="p",
        profile="dailypay",
        token_endpoint=ENDPOINT,
        body="json",
        client_auth="private_key_jwt",
        basic_encoding="raw",
        timeout_s=10.0,
        key_id="k",
        algorithm="ES256",
        audience="https://a/",
        replay=Replay("window", 30.0),
        on_doubt="operator",
        old_access_token="kept",
        default_lifetime_s=7200.0,
        earliest_refresh_s=60.0,
        refresh_before_expiry_s=300.0,
        refresh_token_idle_s=604800.0,
        refresh_token_absolute_s=2592000.0,
        error_members=("error", "status"),
        description_members=("reason",),
        bearer_types=("bot",),
        rules=(AnswerRule("reauthorize", code="gone"),),
        form_reply=True,
        secret_optional=True,
        default_token_type="bearer",
        rate_limit=RateLimit(25, 1.0),
        issuer="https://issuer/",
        authorization_endpoint="https://a/authorize",
        device_authorization_endpoint="https://a/device",
        revocation_endpoint="https://a/revoke",
        login_scope="all",
        login_parameters=(("audience", "https://api/"),),
    )


def test_null_takes_a_profiles_default_away() -> None:
    """A stated null is a statement: there is no default lifetime."""
    assert provider(profile="dailypay", environment="uat", default_lifetime=None).default_lifetime_s is None


def test_a_sandbox_needs_no_tenant() -> None:
    """With the endpoint overridden, a variable is asked for only where something sent still needs it."""
    local = "http://127.0.0.1:8080/token"
    assert provider(profile="auth0", token_endpoint=local).token_endpoint == local
    assert provider(profile="auth0", token_endpoint=local).audience is None
    assert faults(profile="auth0", token_endpoint=local, client_auth="private_key_jwt") == [
        ("domain", "is missing", "the tenant's domain, such as example.eu.auth0.com")
    ]


def test_the_audience_of_an_assertion_is_the_endpoint_by_default() -> None:
    """RFC 7523 section 3 allows the token endpoint; other methods have no audience."""
    signed = provider(profile="generic", token_endpoint=ENDPOINT, client_auth="private_key_jwt")
    assert signed.audience == ENDPOINT
    assert provider(profile="generic", token_endpoint=ENDPOINT).audience is None


@pytest.mark.parametrize(
    "domain",
    ["https://example.auth0.com", "example.auth0.com/", "user@example.auth0.com", "example.auth0.com:443", "a..b",
     "-a.b", "a.b.", "bücher.example", "a b", "", "a" * 64, ".".join(["a" * 60] * 5), 3, None, ["a"]],
)  # fmt: skip
def test_a_domain_is_a_host_name_and_nothing_else(domain: Any) -> None:
    """No scheme, port, path or user: those would send tokens elsewhere."""
    found = faults(profile="auth0", domain=domain)
    assert found[0] == ("domain", "is not a host name", "the tenant's domain, such as example.eu.auth0.com")


def test_an_environment_is_one_of_the_enumeration() -> None:
    """Another one is refused with the choices, and a missing one asked for."""
    hint = "the DailyPay environment: one of production, uat"
    assert faults(profile="dailypay", environment="prod")[0] == ("environment", "must be one of production, uat", hint)
    assert faults(profile="dailypay") == [("environment", "is missing", hint)]


def test_a_wrong_variable_is_one_problem_in_the_report() -> None:
    """The endpoint that it leaves open is not told as a second one."""
    assert problems(lambda content: content["providers"].update(acme={"profile": "auth0", "domain": "https://x"})) == [
        ("providers.acme.domain", "is not a host name", "the tenant's domain, such as example.eu.auth0.com")
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("response_type", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method"),
        *("client_id", "client_secret", "client_assertion", "client_assertion_type"),
    ],
)
def test_what_a_login_sets_itself_is_no_parameter_of_an_entry(name: str) -> None:
    """A `state` that is known beforehand, or no PKCE, would let a stranger's login in."""
    parameters = {"audience": "https://api/", name: "plain"}
    assert problems(lambda content: content["providers"]["acme"].update(login_parameters=parameters)) == [
        (
            f"providers.acme.login_parameters.{name}",
            "is set by rotator itself",
            "leave it out; scope and client have keys of their own",
        )
    ]


def test_each_such_parameter_is_told() -> None:
    """In one report."""
    parameters = {"state": "fixed", "prompt": "login", "redirect_uri": "http://127.0.0.1:1/x"}
    found = problems(lambda content: content["providers"]["acme"].update(login_parameters=parameters))
    assert [where for where, _, _ in found] == [
        "providers.acme.login_parameters.state",
        "providers.acme.login_parameters.redirect_uri",
    ]


def test_a_provider_needs_an_endpoint() -> None:
    """A profile without one leaves it to the entry."""
    [(key, what, _)] = faults(profile="generic")
    assert (key, what) == ("token_endpoint", "is missing")
    [(key, what, _)] = faults(profile="auth0", domain="a.example", token_endpoint=None)
    assert (key, what) == ("token_endpoint", "is missing")


def test_a_variable_of_another_profile_is_an_unknown_key() -> None:
    """Each profile has its own variables."""
    [(key, what, hint)] = faults(profile="generic", token_endpoint=ENDPOINT, domain="a.example")
    assert (key, what) == ("domain", "unknown key")
    assert hint.startswith("known: ")
    assert "profile" in hint


def test_an_unknown_profile_names_the_known_ones() -> None:
    """The mistake stands at the provider's profile, with every profile that exists."""
    with pytest.raises(PluginError):
        load_profile("auth1")
    assert faults(profile="auth1") == [
        (
            "profile",
            "profile 'auth1': there is no profile of this name",
            f"did you mean 'auth0'? known: {', '.join(BUILT_IN)}",
        )
    ]


def test_a_plug_in_offers_a_profile_as_a_mapping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the keys of a profile file and is used like a built-in one; a wrong one stops the start."""
    code = """
SHOP = {"shop": {"is": "host", "about": "the shop"}}
GOOD = {"variables": SHOP, "token_endpoint": "https://{shop}/t", "timeout": "9s"}
PLAIN = {"variables": SHOP, "token_endpoint": "http://{shop}/t", "timeuot": 1}
TEXT = "token_endpoint: x"
"""
    points = "[rotator.profiles]\nshop = shop_plug_in:GOOD\nplain = shop_plug_in:PLAIN\ntext = shop_plug_in:TEXT\n"
    install(tmp_path, monkeypatch, module="shop_plug_in", code=code, points=points)
    shop = provider(profile="shop", shop="a.example")
    assert shop == replace(Provider("p", "shop", "https://a.example/t"), timeout_s=9.0)
    assert faults(profile="shop") == [("shop", "is missing", "the shop")]
    assert faults(profile="plain", shop="a.example") == [
        (
            "profile",
            "profile 'plain' is not valid: token_endpoint http:// would send secrets in the clear; timeuot unknown key",
            "mend the profile",
        )
    ]
    assert faults(profile="text") == [("profile", "profile 'text': is not a mapping", "mend the profile")]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ({"token_endpoint": "https://{host}/t"}, "token_endpoint uses {host}, which is not among its variables"),
        ({"variables": {"a": {"is": "choice", "about": "x"}}}, "`of` belongs to `is: choice`, and a choice needs it"),
        ({"variables": {"a": {"is": "host"}}}, "about Field required"),
        (
            {"variables": {"a": {"is": "port", "about": "x"}}},
            "Input should be 'host', 'label', 'word', 'path', 'url' or",
        ),
        ({"variables": {"a": {"is": "host", "about": "x", "default": "a b"}}}, "`default` is no value that fits"),
        ({"variables": {"a": {"is": "word", "about": "x", "example": "a/b"}}}, "`example` is no value that fits"),
        ({"sources": 3}, "sources Input should be a valid tuple"),
    ],
)
def test_a_profile_that_contradicts_itself_is_refused(content: dict[str, Any], what: str) -> None:
    """A profile's own keys are checked when it is loaded, and the message names the profile."""
    with pytest.raises(PluginError) as caught:
        parse_profile("mine", content)
    assert caught.value.problems[0].where == "profile 'mine'"
    assert what in caught.value.problems[0].what


def test_braces_outside_the_templates_are_plain_text() -> None:
    """A pattern such as `a{2}` in a rule is no placeholder."""
    profile = parse_profile("mine", {"default_token_type": "{x}", "token_endpoint": ENDPOINT})
    assert profile.filled_in({}) == ({"default_token_type": "{x}", "token_endpoint": ENDPOINT}, {})


def test_another_token_endpoint_leaves_the_profiles_server_altogether() -> None:
    """No login and no revocation goes to the server that the entry left; what the entry names itself counts."""
    moved = provider(profile="auth0", domain="example.eu.auth0.com", token_endpoint=ENDPOINT)
    assert (moved.issuer, moved.authorization_endpoint, moved.device_authorization_endpoint) == (None, None, None)
    assert moved.revocation_endpoint is None
    named = provider(
        profile="auth0", domain="example.eu.auth0.com", token_endpoint=ENDPOINT, revocation_endpoint="https://a/revoke"
    )
    assert named.revocation_endpoint == "https://a/revoke"
    own = provider(profile="auth0", domain="example.eu.auth0.com")
    assert own.revocation_endpoint == "https://example.eu.auth0.com/oauth/revoke"
