"""A provider in words: what is said follows from what is configured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rotator.limits import RateLimit
from rotator.model import Provider, Replay
from rotator.profiles.schema import Profile
from rotator.provider_words import (
    Explained,
    access_tokens,
    duration,
    life,
    limits,
    login,
    page,
    refresh_tokens,
    ways_in,
)

BEGUN = Provider("acme", "generic", "https://id.acme.example/token")


def explained(rotates: Any = "always", **changes: Any) -> Explained:
    """Return something to tell of."""
    return Explained("acme", Profile(name="generic", rotates=rotates), replace(BEGUN, **changes))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1.0, "1s"),
        (0.5, "0.5s"),
        (90.0, "90s"),
        (600.0, "10m"),
        (43_200.0, "12h"),
        (86_400.0, "1d"),
        (15_897_600.0, "184d"),
    ],
)
def test_a_duration_is_written_as_the_configuration_takes_it(seconds: float, text: str) -> None:
    """The largest unit that leaves nothing over."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("replay", "on_doubt", "words"),
    [
        (Replay("never"), "wait_then_replay", "not simply presented again: the access token stays in place"),
        (Replay("never"), "operator", "not simply presented again: it is left to an operator"),
        (Replay("safe"), "operator", "presented again: that does no harm here"),
        (Replay("until_successor_used"), "operator", "good until its successor is used"),
        (Replay("window", 600.0), "operator", "within 10m of the first time; later, it is left to an operator"),
    ],
)
def test_each_replay_has_its_words(replay: Replay, on_doubt: Any, words: str) -> None:
    """What a lost reply leads to, `on_doubt` included where it matters."""
    assert words in "\n".join(refresh_tokens(explained(replay=replay, on_doubt=on_doubt)))


def test_a_life_is_told_as_far_as_it_is_known() -> None:
    """Numbers where there are some, else what to do about it."""
    assert life(BEGUN) == "-"
    assert "State refresh_token_idle" in "\n".join(refresh_tokens(explained()))
    known = explained(refresh_token_idle_s=86_400.0 * 90, refresh_token_absolute_s=86_400.0 * 365)
    assert life(known.provider) == "90d idle, 365d in all"
    assert "State refresh_token_idle" not in "\n".join(refresh_tokens(known))


@pytest.mark.parametrize("rotates", ["always", "never", "by setting", "sometimes", "unknown"])
@pytest.mark.parametrize("old", ["kept", "revoked", "unknown"])
def test_every_kind_of_rotation_has_words(rotates: Any, old: Any) -> None:
    """Nothing that a profile can say is left without a sentence."""
    lines = [*refresh_tokens(explained(rotates)), *access_tokens(explained(old_access_token=old).provider)]
    assert all(line.endswith((".", "there is stays.")) for line in lines)


def test_ways_in_follow_from_the_endpoints() -> None:
    """A browser needs an authorization endpoint or an issuer; a device its own; a token response can always be put."""
    assert ways_in(BEGUN) == ("put",)
    assert ways_in(replace(BEGUN, issuer="https://id.acme.example")) == ("browser", "put")
    both = replace(
        BEGUN, authorization_endpoint="https://a.example/a", device_authorization_endpoint="https://a.example/d"
    )
    assert ways_in(both) == ("browser", "device", "put")
    assert not any("scope" in line for line in login(explained(login_scope="all")))
    assert any("scope" in line for line in login(Explained("a", Profile(name="g"), replace(both, login_scope="all"))))


def test_a_budget_is_told() -> None:
    """The configured one, or that there is none."""
    assert list(limits(replace(BEGUN, rate_limit=RateLimit(25, 1.0)))) == [
        "At most 25 requests in 1s, all replicas together."
    ]
    assert "No budget is assumed" in next(iter(limits(BEGUN)))


def test_a_private_key_is_never_shown() -> None:
    """That an entry has one is all that is told, not where it lies."""
    one = Explained("acme", Profile(name="generic"), BEGUN, {"private_key": None}, configured=True)
    assert "  private_key: stated" in list(page(one))
