"""Credentials that are found: what of a listing is believed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rotator.discovery import ABSENCES, FEW, Census, Listing, Rule
from rotator.errors import StoreUnavailable
from rotator.model import Found
from tests.rotation.world import credential, provider

RULE = Rule("all", "main", "app/", provider=provider())


def names(count: int, first: int = 0) -> list[str]:
    return [f"app/{number}" for number in range(first, first + count)]


def listing(secrets: list[str], rule: Rule = RULE, labels: dict[str, str] | None = None) -> Listing:
    return Listing(rule, {name: Found(name, f"id:{name}", "1", labels or {}) for name in secrets})


def census(count: int) -> Census:
    made = Census()
    made.take(listing(names(count)), confirmed=True)
    return made


def held(made: Census) -> set[str]:
    return {one.name for one in made.credentials}


def test_what_is_found_becomes_credentials_of_the_rules_provider() -> None:
    """Name and secret are the secret's; client and scope come from the rule, or else from each document."""
    rule = Rule("r", "main", "app/", provider=provider(), client_id="c", scope="s", refresh_before_expiry_s=7.0)
    made = Census()
    assert made.take(listing(["app/0"], rule), confirmed=True) == (True, [])
    [found] = made.credentials
    assert (found.name, found.secret, found.store, found.provider) == ("app/0", "app/0", "main", rule.provider)
    assert (found.client_id, found.scope, found.refresh_before_expiry_s) == ("c", "s", 7.0)


def test_a_label_names_the_provider() -> None:
    """A secret whose label names no provider is told, and left alone."""
    rule = Rule("r", "main", provider_label="idp", providers={"acme": provider()})
    assert rule.asked == {"idp": ""}
    made = Census()
    assert made.take(listing(["a"], rule, {"idp": "acme"}), confirmed=True) == (True, [])
    changed, notes = made.take(listing(["a", "b"], rule, {"idp": "other"}), confirmed=True)
    assert "label idp names no provider" in notes[0]
    assert changed is False
    assert held(made) == {"a"}


def test_what_is_configured_goes_before_what_is_found() -> None:
    """By its name, by its secret, and by the ARN, with or without its end, nothing is rotated twice."""
    configured = [
        credential("app/0"),
        replace(credential("by secret"), secret="app/1"),
        replace(credential("by arn"), secret="id:app/2-AbCdEf"),
        replace(credential("without its end"), secret="id:app/3"),
    ]
    found = [Found(f"app/{n}", f"id:app/{n}-AbCdEf", "1", {}) for n in range(5)]
    made = Census(configured)
    made.take(Listing(RULE, {one.secret: one for one in found}), confirmed=True)
    assert held(made) == {"app/4"}


def test_of_two_rules_that_find_one_secret_the_first_counts() -> None:
    """No name stands twice."""
    other = Rule("other", "main", "app/", provider=provider(name="other"))
    made = census(1)
    made.take(listing(["app/0", "app/x"], other), confirmed=True)
    assert [one.provider.name for one in made.credentials] == [provider().name, "other"]


def test_new_ones_are_taken_in_and_one_that_is_gone_for_good_is_dropped() -> None:
    """A single listing that does not show a secret may lag; the next one decides."""
    made = census(20)
    assert made.take(listing(names(21, first=1)))[0] is True
    assert held(made) == {*names(22)}
    for _ in range(ABSENCES - 1):
        made.take(listing(names(21, first=1)))
    assert held(made) == {*names(21, first=1)}


def test_one_that_comes_back_in_time_stays() -> None:
    """Absences in a row count, and not absences at all."""
    made = census(3)
    for _ in range(4):
        made.take(listing(names(2)))
        made.take(listing(names(3)))
    assert held(made) == {*names(3)}


@pytest.mark.parametrize("confirmed", [False, True])
def test_a_listing_that_shows_nothing_forgets_nobody(confirmed: bool) -> None:
    """Not even a reload believes it: a right that was taken away looks the same."""
    made = census(50)
    for _ in range(5):
        changed, notes = made.take(listing([]), confirmed=confirmed)
        assert changed is False
        assert "all 50 stay" in notes[0]
    assert held(made) == {*names(50)}


def test_a_listing_that_misses_most_waits_for_a_reload() -> None:
    """More than half gone, again and again: they stay until a person says so."""
    made = census(50)
    for _ in range(5):
        changed, notes = made.take(listing(names(20)))
        assert (changed, notes) == (False, ["all misses 30 of 50: they stay until a reload"])
    assert made.take(listing(names(20)), confirmed=True)[0] is True
    assert held(made) == {*names(20)}


def test_ten_times_as_many_wait_for_a_reload() -> None:
    """A label in the wrong place must not have rotator spend other programs' tokens."""
    made = census(50)
    for _ in range(5):
        changed, notes = made.take(listing(names(500)))
        assert (changed, notes) == (False, ["all finds 500 after 50: new ones wait for a reload"])
    assert made.take(listing(names(500)), confirmed=True)[0] is True
    assert held(made) == {*names(500)}


def test_a_few_more_or_less_are_believed() -> None:
    """A small fleet may double, or lose most of its members."""
    made = census(2)
    assert made.take(listing(names(2 + FEW)))[0] is True
    for _ in range(ABSENCES):
        made.take(listing(names(2)))
    assert held(made) == {*names(2)}


def test_a_store_that_cannot_be_listed_changes_nothing() -> None:
    """What was found before stays, and a person is told why."""
    made = census(3)
    changed, notes = made.take(Listing(RULE, None, StoreUnavailable("no answer")), confirmed=True)
    assert changed is False
    assert "no answer" in notes[0]
    assert held(made) == {*names(3)}


@pytest.mark.parametrize("name", ["", "-a", "a b", "a\n", "x" * 129, "ü"])
def test_a_secret_that_cannot_be_a_credentials_name_is_told(name: str) -> None:
    """Names stand in commands and logs."""
    made = Census()
    _, notes = made.take(listing([name]), confirmed=True)
    assert made.credentials == []
    assert "cannot be the name of a credential" in notes[0]
