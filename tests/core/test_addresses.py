"""One place has one address, however it is spelled, and a query is not shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.addresses import normal, shown
from rotator.ledger import provider_key

ENDPOINT = "https://id.example/token"

SPELLED = [
    "https://ID.Example/token",
    "HTTPS://id.example/token",
    "https://id.example:443/token",
    "https://id.example:/token",
    "https://id.example./token",
    "https://id.example/%74oken",
]

APART = [
    "http://id.example/token",
    "https://id.example:8443/token",
    "https://id.example:80/token",
    "https://id.example/Token",
    "https://id.example/token/",
    "https://id.example/token?tenant=1",
    "https://id.example/token?tenant=2",
    "https://other.example/token",
    "https://id.example/to%2Fken",
    "https://id.example/to/ken",
]


@pytest.mark.parametrize("url", SPELLED)
def test_one_endpoint_spelled_in_many_ways_has_one_record(url: str) -> None:
    """Promise 5: host names have no case, https means port 443; the cooldown and the budget are the endpoint's."""
    assert normal(url) == ENDPOINT
    assert provider_key(url, "c") == provider_key(ENDPOINT, "c")


def test_other_endpoints_stay_apart() -> None:
    """What may be another server, or another resource, has a record of its own."""
    assert len({provider_key(url, "c") for url in [ENDPOINT, *APART]}) == len(APART) + 1


@pytest.mark.parametrize(
    ("url", "one"),
    [
        ("http://LOCALHOST:80", "http://localhost/"),
        ("http://[0:0:0:0:0:0:0:1]:8080/t", "http://[::1]:8080/t"),
        ("https://id.example/a%2fb", "https://id.example/a%2Fb"),
        ("https://id.example:port/t", "https://id.example:port/t"),
        ("https://[fe80::1%25eth0]/t", "https://[fe80::1%25eth0]/t"),
        ("id.example/token", "id.example/token"),
        ("", ""),
    ],
)
def test_the_form_of_odd_addresses(url: str, one: str) -> None:
    """Default ports of http, long forms of IPv6 and small escapes have one form too; what is no URL stays."""
    assert normal(url) == one


@given(st.text() | st.from_regex(r"https?://[A-Za-z0-9.%:\[\]-]{1,20}(/[ -~]*)?", fullmatch=True))
def test_the_form_is_final_whatever_the_text(url: str) -> None:
    """Never raises, and the form of the form is the form."""
    assert normal(normal(url)) == normal(url)


def test_a_query_is_not_shown() -> None:
    """Promise 7: an API key in a token endpoint's query is in no text, only that there is a query."""
    assert shown(f"{ENDPOINT}?code=canary") == f"{ENDPOINT}?…"
    assert shown(ENDPOINT) == ENDPOINT
