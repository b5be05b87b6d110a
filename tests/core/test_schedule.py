"""When a refresh is due: the numbers of the design, and what holds for all of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from rotator.documents import stored_tokens
from rotator.model import Credential, StoredTokens
from rotator.schedule import Timing, jitter_s, margin_s, timing
from tests.core.parts import EPOCH_S, at, fields, stored
from tests.effort import tried
from tests.rotation.world import credential, provider

much = tried(300)
HOUR = 3600.0
DAY = 24 * HOUR


def of(lifetime_s: float | None, *, horizon_s: float = 0.0, issued: bool = True, **changes: Any) -> Timing:
    """Return the timing of a token issued at `NOW`; `changes` are the provider's."""
    expires_at = None if lifetime_s is None else EPOCH_S + lifetime_s
    content = fields(expires_at=expires_at, issued_at=EPOCH_S if issued else None)
    one = credential(provider=provider(**changes))
    tokens = stored_tokens(stored(content), one.provider)
    assert isinstance(tokens, StoredTokens)
    return timing(one, tokens, horizon_s=horizon_s)


def jitter(margin: float) -> float:
    return jitter_s(credential(), margin)


@pytest.mark.parametrize(
    ("lifetime_s", "margin"),
    [
        (HOUR, 360.0),  # a tenth
        (2 * HOUR, 720.0),
        (DAY, 900.0),  # at most a quarter of an hour
        (300.0, 60.0),  # at least a minute
        (100.0, 50.0),  # never more than half
        (1.0, 0.5),
        (0.0, 0.0),
        (None, 60.0),  # unknown lifetime: the least
    ],
)
def test_the_margin_is_a_tenth_within_its_bounds(lifetime_s: float | None, margin: float) -> None:
    """A tenth of the lifetime, at least a minute, at most a quarter of an hour, never more than half the lifetime."""
    assert margin_s(lifetime_s, credential()) == margin


@pytest.mark.parametrize(
    ("timeout_s", "margin"), [(29.0, 240.0), (119.0, 240.0), (121.0, 242.0), (300.0, 600.0), (500.0, 900.0)]
)
def test_the_margin_leaves_room_for_two_requests(timeout_s: float, margin: float) -> None:
    """The margin is at least two request timeouts, below its upper bound."""
    assert margin_s(2400.0, credential(provider=provider(timeout_s=timeout_s))) == margin


def test_a_stated_margin_counts_the_credentials_before_the_providers() -> None:
    """`refresh_before_expiry` replaces the rule, but for the half of the lifetime."""
    both = credential(provider=provider(refresh_before_expiry_s=1800.0), refresh_before_expiry_s=1200.0)
    assert margin_s(DAY, both) == 1200.0
    assert margin_s(DAY, credential(provider=provider(refresh_before_expiry_s=1800.0))) == 1800.0
    assert margin_s(1000.0, both) == 500.0
    assert margin_s(None, both) == 1200.0
    assert margin_s(DAY, credential(refresh_before_expiry_s=5.0)) == 5.0


def test_due_is_the_margin_and_the_jitter_before_the_end() -> None:
    """An hour's token is due six minutes and its own jitter early; the last try is a quarter of the margin early."""
    when = of(HOUR)
    assert when.due_at == at(3600 - 360 - jitter(360.0))
    assert when.eligible_at == when.due_at
    assert when.last_try_at == at(3600 - 90)
    assert when.expires_at == at(3600)
    assert when.why == "its access token expires in less than 360 s"


def test_the_jitter_is_one_credentials_own() -> None:
    """The share of the jitter follows from the name alone: pinned, so that no release moves every refresh."""
    assert jitter_s(credential("payroll"), 1000.0) == pytest.approx(37.88, abs=0.01)
    assert jitter_s(credential("payroll"), 1000.0) == jitter_s(
        credential("payroll", provider=provider(name="x")), 1000.0
    )
    assert len({jitter_s(credential(f"c{number}"), 1000.0) for number in range(100)}) == 100


def test_an_unknown_expiry_is_due_now() -> None:
    """Unknown never means "never": there is no instant to wait for."""
    assert of(None) == Timing(None, None, None, None, "its expiry is unknown")


def test_a_horizon_makes_eligible_early_but_not_before_half_the_life() -> None:
    """A one-shot run may refresh what falls due before the next pass, but not a token in the first half of its life."""
    due_s = 3600 - 360 - jitter(360.0)
    assert of(HOUR, horizon_s=600).eligible_at == at(due_s - 600)
    assert of(HOUR, horizon_s=1700).eligible_at == at(1800)
    assert of(HOUR, horizon_s=600).due_at == of(HOUR).due_at


@pytest.mark.parametrize("horizon_s", [1740.0, 1800.0, 3000.0, 3540.0])
def test_what_ends_before_the_next_pass_is_done_is_eligible_whatever_its_age(horizon_s: float) -> None:
    """Passes half a lifetime apart or rarer leave nothing to the next one that ends, or nearly ends, before it."""
    assert of(HOUR, horizon_s=horizon_s).eligible_at == at(3600 - 60 - horizon_s)


def test_a_horizon_does_not_put_eligible_after_due() -> None:
    """Where the token is due before half its life is over, the half is no floor."""
    when = of(100.0, horizon_s=30.0)
    assert when.due_at == at(50 - jitter(50.0))
    assert when.eligible_at == when.due_at


def test_without_an_issue_time_the_horizon_has_no_floor() -> None:
    """Half of an unknown lifetime is unknown: the horizon alone counts."""
    assert of(HOUR, issued=False, horizon_s=600).eligible_at == at(3600 - 60 - jitter(60.0) - 600)


def test_an_issue_time_after_the_end_is_no_issue_time() -> None:
    """A token that ends before it was issued has no lifetime to take a tenth of."""
    assert of(-10.0).due_at == at(-10 - 60 - jitter(60.0))
    assert of(0.0).due_at == at(-60 - jitter(60.0))


def test_an_idle_refresh_token_is_used_after_a_third_of_its_idle_life() -> None:
    """A refresh token that dies unused is refreshed long before, even if the access token lives on."""
    when = of(30 * DAY, refresh_token_idle_s=3 * DAY)
    assert when.due_at == at(DAY)
    assert when.why == "its refresh token must be used before its idle life ends"
    assert when.last_try_at == at(30 * DAY - 225)
    assert of(HOUR, refresh_token_idle_s=3 * DAY) == of(HOUR)


def test_an_access_token_is_never_refreshed_too_young() -> None:
    """`earliest_refresh` holds against margin, idle life and horizon."""
    assert of(HOUR, earliest_refresh_s=3500.0).due_at == at(3500)
    assert of(HOUR, earliest_refresh_s=3500.0).eligible_at == at(3500)
    assert of(30 * DAY, earliest_refresh_s=2 * DAY, refresh_token_idle_s=3 * DAY).due_at == at(2 * DAY)
    assert of(HOUR, earliest_refresh_s=2000.0, horizon_s=1e6).eligible_at == at(2000)


def test_an_earliest_refresh_beyond_the_end_still_holds() -> None:
    """Some providers count a young refresh as abuse: their rule goes before the access token's end."""
    assert of(HOUR, earliest_refresh_s=4000.0).due_at == at(4000)


timings = {
    "lifetime_s": st.integers(-100, 40 * 86_400),
    "horizon_s": st.just(0.0) | st.floats(0, DAY),
    "stated": st.none() | st.floats(1, 10 * DAY),
    "timeout_s": st.floats(0.1, 1000),
    "idle_s": st.none() | st.floats(1, 90 * DAY),
    "earliest_s": st.just(0.0) | st.floats(0, DAY),
    "issued": st.booleans(),
    "name": st.text(max_size=8),
}


@much
@given(**timings)
def test_what_holds_for_every_schedule(
    lifetime_s: int,
    horizon_s: float,
    stated: float | None,
    timeout_s: float,
    idle_s: float | None,
    earliest_s: float,
    issued: bool,
    name: str,
) -> None:
    """Due at the latest at the end, eligible at the latest when due, and never before `earliest_refresh`."""
    when = of(
        lifetime_s, horizon_s=horizon_s, issued=issued, refresh_before_expiry_s=stated, timeout_s=timeout_s,
        refresh_token_idle_s=idle_s, earliest_refresh_s=earliest_s,
    )  # fmt: skip
    assert when.due_at
    assert when.eligible_at
    assert when.expires_at
    assert when.last_try_at
    assert when.eligible_at <= when.due_at
    known = issued and lifetime_s > 0
    if not known or earliest_s <= lifetime_s:
        assert when.due_at <= when.expires_at
    if known:
        assert when.eligible_at >= at(earliest_s)
    assert when.last_try_at <= when.expires_at
    if not earliest_s and not idle_s:
        assert when.due_at <= when.last_try_at
    if horizon_s == 0:
        assert when.eligible_at == when.due_at


@much
@given(lifetime_s=st.floats(0, 40 * DAY), stated=timings["stated"], timeout_s=timings["timeout_s"])
@example(lifetime_s=1.0, stated=None, timeout_s=1000.0)
def test_the_margin_is_never_more_than_half_the_lifetime(
    lifetime_s: float, stated: float | None, timeout_s: float
) -> None:
    """However short the lifetime and however large the wish."""
    one = credential(provider=provider(timeout_s=timeout_s), refresh_before_expiry_s=stated)
    assert 0 <= margin_s(lifetime_s, one) <= lifetime_s / 2


@much
@given(name=st.text(), margin=st.floats(0, 10 * DAY))
def test_the_jitter_is_to_the_earlier_side_and_below_a_tenth(name: str, margin: float) -> None:
    """Never late, never by more than a tenth of the margin, and the same for each process that asks."""
    one = Credential(name=name, provider=provider(), store="main", secret="s")
    assert 0 <= jitter_s(one, margin) <= margin / 10
    assert jitter_s(one, margin) == jitter_s(Credential(name=name, provider=provider(), store="x", secret="y"), margin)


@much
@given(near=st.floats(0, DAY), far=st.floats(0, DAY), lifetime_s=st.floats(1, 40 * DAY))
def test_a_longer_horizon_never_makes_later(near: float, far: float, lifetime_s: float) -> None:
    """Eligible moves only to the earlier side as the horizon grows; due does not move at all."""
    assume(near <= far)
    one, other = of(lifetime_s, horizon_s=near), of(lifetime_s, horizon_s=far)
    assert one.eligible_at
    assert other.eligible_at
    assert other.eligible_at <= one.eligible_at
    assert one.due_at == other.due_at
