"""When the daemon looks again at what it could not do."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from rotator import outcomes
from rotator.fleet import Fleet
from rotator.looks import Looks, Swept
from tests.app.stage import poll

if TYPE_CHECKING:
    from datetime import datetime

    from tests.app.stage import Stage


def looked_at_again(stage: Stage, retry_at: datetime | None, *, expires_in_s: int) -> float:
    """Put a credential off whose access token ends so soon, and return after how many seconds it is looked at."""
    stage.ready()
    now = stage.clock.now()
    stage.write(issued_at=int(now.timestamp()) - 3600, expires_at=int(now.timestamp()) + expires_in_s)
    app = stage.app("daemon")
    fleet = Fleet(stage.clock, app.budget, 60.0)
    looks = Looks(app.observer, lambda: None)
    looks.look(fleet.change(app.credentials))
    [seen] = poll(looks.found, "the credential was looked at")
    assert not isinstance(seen, Swept)
    fleet.place(seen)
    [job] = fleet.jobs()
    fleet.done(job, outcomes.Deferred("alpha", "store_unavailable", retry_at))
    looks.stop()
    planned = fleet.next_at()
    assert planned
    return (planned - now).total_seconds()


def test_a_pause_does_not_outlast_the_access_token(stage: Stage) -> None:
    """What is put off is looked at again while its access token lasts, though the usual pause would end later."""
    assert 15 < looked_at_again(stage, None, expires_in_s=40) < 25


def test_a_pause_that_was_named_does_not_outlast_it_either(stage: Stage) -> None:
    """A look costs reads only: it is made before the token ends, also where the next try was put off for longer."""
    assert 15 < looked_at_again(stage, stage.clock.now() + timedelta(minutes=1), expires_in_s=40) < 25


def test_a_token_that_ends_later_waits_for_the_usual_pause(stage: Stage) -> None:
    """With time left nobody hurries."""
    assert 59 < looked_at_again(stage, None, expires_in_s=300) < 61


def test_a_token_that_ends_at_once_is_not_looked_at_without_a_pause(stage: Stage) -> None:
    """However little time is left, some seconds lie between two looks."""
    assert 4 < looked_at_again(stage, None, expires_in_s=3) < 6
