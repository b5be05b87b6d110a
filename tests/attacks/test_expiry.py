"""Access tokens that expire although provider and stores answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rotator import outcomes
from rotator.model import Misconfigured, RateLimited, Refreshed, Unavailable
from rotator.token_endpoint import HttpTokenEndpoint
from tests.app.stage import Stage, real_stage, stage
from tests.rotation.world import World

if TYPE_CHECKING:
    from rotator.model import TokenAnswer

__all__ = ["real_stage", "stage"]


@pytest.mark.parametrize(
    ("answer", "times"),
    [
        (Unavailable(60.0, "503"), 3),
        (RateLimited(5.0, "429"), 3),
        (Misconfigured("invalid_client", "check it", 900.0), 1),
    ],
    ids=["503", "429", "invalid_client"],
)
def test_the_pause_after_failures_leaves_room_for_a_try_before_the_end(answer: TokenAnswer, times: int) -> None:
    """Promise 9: the provider fails in the first minutes of the margin, and answers for the last three and more."""
    world = World()
    ends = world.document["expires_at"]
    world.provider.script.extend([answer] * times)
    replica = world.replica()
    for _ in range(20):
        outcome = replica.run()
        if isinstance(outcome, outcomes.Rotated):
            break
        at = outcome.until if isinstance(outcome, outcomes.Fresh) else outcome.retry_at
        assert at is not None
        world.clock.advance(max(0.0, (at - world.clock.now()).total_seconds()))

    left_s = ends - world.clock.now().timestamp()
    assert left_s > 0, f"refreshed {-left_s:.0f} s after the old token's end"


def test_a_refresh_token_that_ends_before_the_access_token_is_used_in_time() -> None:
    """Promise 9: the reply says that the new refresh token lives for half an hour, the access token for an hour."""
    world = World()
    world.until_due()

    def answer(request: Any) -> Any:
        return Refreshed(replace(world.provider._process(request).tokens, refresh_expires_in_s=1800.0))

    world.provider.script.append(answer)
    outcome = world.replica().run()

    assert isinstance(outcome, outcomes.Rotated)
    assert outcome.next_at is not None
    assert world.record.grant is not None
    assert world.record.grant.expires_at is not None
    assert outcome.next_at < world.record.grant.expires_at


def test_what_has_no_known_deadline_does_not_go_before_what_has_one(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 9: one request a minute, three documents of unknown expiry, and one that ends in two minutes."""
    stage.provider("acme", rate_limit={"requests": 1, "per": "60s"})
    stage.ready("alpha", "beta", "gamma", "zeta")
    for name in ("alpha", "beta", "gamma"):
        stage.write(name, expires_at=None, expires_in=None)
    now = int(stage.clock.now().timestamp())
    stage.write("zeta", issued_at=now - 3480, expires_at=now + 120)
    sent_s: list[float] = []
    real = HttpTokenEndpoint.refresh
    tokens = {name: stage.document(name)["refresh_token"] for name in ("alpha", "beta", "gamma", "zeta")}

    def noted(self: Any, request: Any, **more: Any) -> Any:
        if request.refresh_token.reveal() == tokens["zeta"]:
            sent_s.append(stage.clock.now().timestamp() - now)
        return real(self, request, **more)

    monkeypatch.setattr(HttpTokenEndpoint, "refresh", noted)
    app = stage.app()
    app.passes.run(app.credentials, horizon_s=900.0)

    assert len(sent_s) == 1
    assert sent_s[0] < 120
