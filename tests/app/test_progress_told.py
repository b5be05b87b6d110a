"""Long work tells how far it is: each part from its beginning on, and never backwards."""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import pytest

from rotator.live_check import live_check
from rotator.recovery import replay_all
from rotator.wiring import with_discovered
from tests.app import situations

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.progress import Progress
    from rotator.wiring import App
    from tests.app.stage import Stage

NAMES = [f"c{number:02}" for number in range(20)]


def look(app: App, progress: Progress) -> None:
    app.passes.look(app.credentials, progress=progress)


def rotate(app: App, progress: Progress) -> None:
    app.passes.run(app.credentials, horizon_s=900.0, force=True, progress=progress)


def discover(app: App, progress: Progress) -> None:
    with_discovered(app, progress)


WORK: list[tuple[Callable[[App, Progress], object], list[str]]] = [
    (look, ["reading 20 credentials"]),
    (rotate, ["reading 20 credentials", "rotating 20 credentials"]),
    (live_check, ["reaching 1 endpoint", "reading 20 credentials", "proving that 20 credentials can be written"]),
    (discover, ["finding credentials by 1 rule"]),
]


@pytest.mark.parametrize(("work", "parts"), WORK, ids=[work.__name__ for work, _ in WORK])
def test_each_part_is_told_from_its_beginning(
    stage: Stage, work: Callable[[App, Progress], object], parts: list[str]
) -> None:
    """The parts come one after the other; what is done grows and does not exceed what there is."""
    stage.ready(*NAMES)
    stage.config["discover"] = [{"prefix": "elsewhere/", "provider": "acme", "client_id": "x"}]
    told: list[tuple[str, int, int]] = []

    work(stage.app(), lambda *what: told.append(what))

    assert [doing for doing, _ in groupby(told, lambda one: one[0])] == parts
    for _, group in groupby(told, lambda one: one[0]):
        steps = list(group)
        assert steps[0][1] == 0
        assert all(before[1] <= after[1] <= after[2] for before, after in pairwise(steps))


def test_a_look_ends_with_all_of_them(stage: Stage) -> None:
    """A bar that is full says that it is done."""
    stage.ready(*NAMES)
    told: list[tuple[str, int, int]] = []
    look(stage.app(), lambda *what: told.append(what))
    assert told[-1][1:] == (20, 20)


def test_what_is_written_back_is_told(stage: Stage) -> None:
    """`escrow replay` looks at all, then tells of the token sets."""
    situations.waiting_in_escrow(stage)
    told: list[tuple[str, int, int]] = []
    replay_all(stage.app(), lambda *what: told.append(what))
    assert [doing for doing, _ in groupby(told, lambda one: one[0])] == [
        "reading 1 credential",
        "writing 1 token set back",
    ]
