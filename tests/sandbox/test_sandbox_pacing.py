"""The rate limit, how a wait is told, and who does not keep to it."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest

from rotator.limits import RateLimit
from rotator.testing.sandbox import DEFAULT_CLIENT_ID, Client, auth0_face, dailypay_face

if TYPE_CHECKING:
    from rotator.testing.memory import VirtualClock
    from tests.sandbox.conftest import Refresh, Serve


def test_requests_over_the_rate_are_refused_and_counted(serve: Serve, refresh: Refresh, clock: VirtualClock) -> None:
    """The request over the limit is a 429 that does not spend; it is let in when the window has moved on."""
    face = serve(dailypay_face(rate_limit=RateLimit(2, 10.0)))
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    token = refresh(face, token).json["refresh_token"]
    clock.advance(2.5)
    token = refresh(face, token).json["refresh_token"]
    answer = refresh(face, token)
    assert answer.error == (429, "too_many_requests")
    assert answer.headers["Retry-After"] == "10"
    clock.advance(10)
    assert refresh(face, token).status == 200
    assert face.report.rejected_over_rate == 1
    assert (face.report.presented["1.2"], face.report.processed["1.2"]) == (2, 1)
    assert face.report.sent_too_early == 0


def test_every_client_has_a_rate_of_its_own(serve: Serve, refresh: Refresh) -> None:
    """One client's requests do not count against another's."""
    face = serve(dailypay_face(rate_limit=RateLimit(1, 10.0)))
    face.settings.clients["public"] = Client("public", "none")
    ours, theirs = (face.login(client)["refresh_token"] for client in (DEFAULT_CLIENT_ID, "public"))
    assert refresh(face, ours).status == 200
    assert refresh(face, theirs, credentials={"client_id": "public"}).status == 200
    assert face.report.rejected_over_rate == 0


def test_auth0_tells_the_pace_on_every_reply(serve: Serve, refresh: Refresh, clock: VirtualClock) -> None:
    """Auth0's headers count down and name the epoch second at which there is room again."""
    face = serve(auth0_face(rate_limit=RateLimit(2, 10.0)))
    seen = []
    for _ in range(3):
        headers = refresh(face, "sandbox_rt_invented").headers
        seen.append([headers[f"x-ratelimit-{name}"] for name in ("limit", "remaining", "reset")])
        clock.advance(1.5)
    start = 1_767_225_600
    assert seen == [["2", "1", f"{start}"], ["2", "0", f"{start + 10}"], ["2", "0", f"{start + 12}"]]


def test_clients_that_come_back_too_early_are_counted(serve: Serve, refresh: Refresh, clock: VirtualClock) -> None:
    """A request before the latest time that any refusal named is counted, one at that time is not."""
    face = serve(dailypay_face())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    face.fault("unavailable", wait_s=5)
    face.fault("unavailable", wait_s=1)
    seen = []
    for _ in range(4):
        refresh(face, token)
        seen.append(face.report.sent_too_early)
        clock.advance(2.5)
    assert seen == [0, 1, 1, 1]
    face.fault("unavailable", wait_s=5)
    face.fault("unavailable", wait_s=1)
    refresh(face, token)
    clock.advance(1)
    refresh(face, token)
    clock.advance(3.9)
    refresh(face, token)
    assert face.report.sent_too_early == 3


def test_clients_that_ignore_the_rate_limits_word_are_counted(
    serve: Serve, refresh: Refresh, clock: VirtualClock
) -> None:
    """A request before the time that a refusal over the rate named is too early as well."""
    face = serve(dailypay_face(rate_limit=RateLimit(1, 10.0)))
    for _ in range(2):
        refresh(face, "sandbox_rt_invented")
    clock.advance(9)
    refresh(face, "sandbox_rt_invented")
    assert face.report.sent_too_early == 1


@pytest.mark.parametrize(
    ("paced_by", "header", "value"),
    [
        ("seconds", "Retry-After", "3"),
        ("http_date", "Retry-After", "Thu, 01 Jan 2026 00:00:03 GMT"),
        ("x_ratelimit", "x-ratelimit-reset", "1767225603"),
        ("none", "Retry-After", None),
        (None, "Retry-After", "3"),
    ],
)
def test_a_wait_is_told_in_every_way(
    serve: Serve, refresh: Refresh, paced_by: Any, header: str, value: str | None
) -> None:
    """A wait is rounded up to whole seconds and told in the header asked for, or in the tenant's own."""
    face = serve(dailypay_face())
    face.fault("rate_limited", wait_s=2.2, paced_by=paced_by)
    answer = refresh(face, face.login(DEFAULT_CLIENT_ID)["refresh_token"])
    assert (answer.status, answer.headers[header]) == (429, value)


def test_a_date_is_not_before_the_end_of_the_wait(serve: Serve, refresh: Refresh, clock: VirtualClock) -> None:
    """A wait told as a date is rounded up too, and one that ends on a full second is not."""
    face = serve(dailypay_face())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    face.fault("unavailable", times=2, wait_s=2, paced_by="http_date")
    on_the_second = parsedate_to_datetime(refresh(face, token).headers["Retry-After"])
    assert (on_the_second - clock.now()).total_seconds() == 2
    clock.advance(0.25)
    between = parsedate_to_datetime(refresh(face, token).headers["Retry-After"])
    assert (between - clock.now()).total_seconds() == 2.75
