"""When a case is told: once, again after a day, and when it is over."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from rotator.cases import (
    AGAIN_S,
    FIRST_PAUSE_S,
    FORGOTTEN_S,
    LEASE_S,
    LONGEST_PAUSE_S,
    MOST_CASES,
    QUIET_S,
    pause_s,
    review,
)
from tests.notify.parts import DEAD, FRESH, Desk, after, view_of

DAY = 86_400.0
BETA = replace(DEAD, name="beta")


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_case_is_told_once_again_after_a_day_and_once_when_it_is_over(desk: Desk) -> None:
    """Looked at each half minute for three days: one opening, a reminder a day, one end, and then nothing is kept."""
    told: dict[float, list[str]] = {}
    for step in range(int(3.5 * DAY / 30)):
        at = step * 30.0
        desk.now = after(at)
        found = desk.round(DEAD if at < 2.5 * DAY else FRESH)
        if found:
            told[at] = found
    assert told == {
        0.0: ["opened grant_dead"],
        DAY: ["reminder grant_dead"],
        2 * DAY: ["reminder grant_dead"],
        2.5 * DAY: ["over grant_dead"],
    }
    assert desk.book.cases == ()


def test_each_message_has_an_id_of_its_own(desk: Desk) -> None:
    """The opening, the reminder and the end are three messages."""
    desk.round(DEAD)
    desk.pass_s(AGAIN_S)
    desk.round(DEAD)
    desk.round(FRESH)
    assert len({identifier for _, identifier in desk.told}) == 3


def test_a_second_death_of_another_grant_is_another_case(desk: Desk) -> None:
    """A grant that was put anew and died within the same hour is told at once, and the first one's end as well."""
    desk.round(DEAD)
    desk.pass_s(60)
    second = replace(DEAD, grant="fedcba9876543210")
    assert sorted(desk.round(second)) == ["opened grant_dead", "over grant_dead"]


def test_a_state_that_comes_and_goes_rings_once_an_hour(desk: Desk) -> None:
    """Flapping each minute for five hours: at most five openings, at most as many ends, and no opening is hidden."""
    openings: list[float] = []
    ends = 0
    for minute in range(5 * 60):
        desk.now = after(minute * 60)
        for what in desk.round(DEAD if minute % 2 == 0 else FRESH):
            if what.startswith("opened"):
                openings.append(minute * 60.0)
            else:
                ends += 1
    gaps = [later - earlier for earlier, later in itertools.pairwise(openings)]
    assert 4 <= len(openings) <= 5
    assert min(gaps) >= QUIET_S
    assert ends == len(openings)


def test_what_comes_back_and_stays_is_told_again_within_the_hour(desk: Desk) -> None:
    """A case that is over and comes back is told when an hour since its last opening has passed, not never."""
    desk.round(DEAD)
    desk.pass_s(60)
    desk.round(FRESH)
    desk.pass_s(60)
    assert desk.round(DEAD) == []
    desk.now = after(QUIET_S - 1)
    assert desk.round(DEAD) == []
    desk.now = after(QUIET_S)
    assert desk.round(DEAD) == ["opened grant_dead"]


def test_what_nobody_heard_of_ends_without_a_word(desk: Desk) -> None:
    """A case that no notifier can have been told of is no news when it is over."""
    tellings = desk.begin(DEAD, notifiers=())
    assert tellings == []
    assert desk.round(FRESH) == []
    assert desk.book.cases == ()


def test_an_end_is_told_if_the_opening_may_have_arrived(desk: Desk) -> None:
    """A notifier that failed may have taken the message all the same: its receiver is told of the end."""
    assert desk.round(DEAD, failing=("ops",)) == []
    desk.pass_s(30)
    assert desk.round(FRESH) == ["over grant_dead"]


@pytest.mark.parametrize("state", [None, "due", "cooling_down"])
def test_not_knowing_ends_no_case(desk: Desk, state: str | None) -> None:
    """A process that has not looked, is about to, or is kept from the store does not say that a grant lives."""
    desk.round(DEAD)
    desk.pass_s(60)
    assert desk.round(replace(FRESH, state=state)) == []  # type: ignore[arg-type]
    assert desk.round() == []


def test_a_credential_that_is_configured_no_more_ends_its_cases_after_a_while(desk: Desk) -> None:
    """Two days after somebody saw it last, and not before, whoever looks at the book tells that it is over."""
    desk.round(DEAD)
    desk.pass_s(FORGOTTEN_S - 3700)
    assert desk.round(DEAD, BETA) != []
    desk.pass_s(FORGOTTEN_S - 3700)
    assert "over grant_dead" not in desk.round(BETA)
    desk.pass_s(3700)
    assert desk.told[-1][0] != "over grant_dead"
    assert "over grant_dead" in desk.round(BETA)


def test_another_process_tells_nothing_of_what_it_does_not_see(desk: Desk) -> None:
    """A shard neither tells nor ends the cases of another one's credentials."""
    desk.begin(DEAD)
    desk.pass_s(LEASE_S + 1)
    assert desk.begin(BETA) != []
    assert [case.credential for case in desk.book.cases if case.phase == "opened"] == ["alpha", "beta"]
    assert {telling.case.credential for telling in desk.begin(BETA)} <= {"beta"}


def test_a_private_escrow_is_judged_by_its_own_process_only(desk: Desk) -> None:
    """What waits in one host's files is not over because another host's folder is empty."""
    mine = replace(FRESH, waiting_since=after(-600), place="host-1:/var/escrow")
    assert desk.round(mine) == ["opened escrow_waiting"]
    desk.pass_s(60)
    assert desk.round(replace(FRESH, place="host-2:/var/escrow")) == []
    assert desk.round(replace(FRESH, place="host-1:/var/escrow")) == ["over escrow_waiting"]


def test_a_case_is_opened_by_who_can_say_what_it_is(desk: Desk) -> None:
    """A process that starts while a message is owed has not looked yet: it leaves the telling to who has."""
    desk.round(DEAD, failing=("ops",))
    desk.pass_s(FIRST_PAUSE_S)
    assert desk.begin(replace(FRESH, state=None)) == []
    assert desk.round(DEAD) == ["opened grant_dead"]


def test_an_end_that_was_never_told_takes_no_later_one_away(desk: Desk) -> None:
    """Over and back while its opening is still being sent: who was told that it is open is told when it is over."""
    sent = desk.send(desk.begin(DEAD))
    assert desk.begin(FRESH) == []
    assert desk.begin(DEAD) == []
    desk.settle(sent)
    assert desk.begin(FRESH) == []  # whoever sent the opening may still be at it
    desk.pass_s(LEASE_S)
    assert desk.round(FRESH) == ["over grant_dead"]


# ------------------------------------------------------------------------------------------------ failing notifiers


def test_a_notifier_that_fails_is_tried_again_with_growing_pauses(desk: Desk) -> None:
    """After a minute, then two, and so on up to an hour, until it takes the message; it is told then, once."""
    tries: list[float] = []
    for step in range(0, 6 * 3600, 30):
        desk.now = after(step)
        tellings = desk.begin(DEAD)
        if tellings:
            tries.append(float(step))
        desk.settle(desk.send(tellings, failing=("ops",)))
    gaps = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert gaps[:6] == [FIRST_PAUSE_S * 2**n for n in range(6)]
    assert max(gaps) == LONGEST_PAUSE_S
    desk.pass_s(LONGEST_PAUSE_S)
    assert desk.round(DEAD) == ["opened grant_dead"]
    assert desk.round(DEAD) == []


def test_the_pause_that_a_receiver_asks_for_is_kept(desk: Desk) -> None:
    """Retry-After of ten minutes goes before the minute of a first failure; one of a second does not shorten it."""
    for wait_s, at in ((600.0, 600.0), (1.0, FIRST_PAUSE_S)):
        fresh = Desk()
        fresh.settle(fresh.send(fresh.begin(DEAD), failing=("ops",), wait_s=wait_s))
        fresh.now = after(at - 1)
        assert fresh.begin(DEAD) == []
        fresh.now = after(at)
        assert len(fresh.begin(DEAD)) == 1


def test_one_that_fails_does_not_ring_the_others_again(desk: Desk) -> None:
    """Of two notifiers only the one that did not take it is told again, under the same id."""
    tellings = desk.begin(DEAD, notifiers=("ops", "hook"))
    assert tellings[0].notifiers == ("ops", "hook")
    desk.settle(desk.send(tellings, failing=("hook",)))
    desk.pass_s(FIRST_PAUSE_S)
    again = desk.begin(DEAD, notifiers=("ops", "hook"))
    assert [(one.notifiers, one.case.message_id) for one in again] == [(("hook",), tellings[0].case.message_id)]


def test_a_broken_notifier_keeps_no_reminder_from_the_others(desk: Desk) -> None:
    """A notifier that fails for days takes nothing from those that work."""
    both = ("ops", "hook")
    told = []
    for step in range(0, int(2.5 * DAY), 600):
        desk.now = after(step)
        told += desk.round(DEAD, failing=("hook",), notifiers=both)
    assert told == ["opened grant_dead", "reminder grant_dead", "reminder grant_dead"]


def test_a_notifier_that_is_configured_no_more_is_owed_nothing(desk: Desk) -> None:
    """Its messages go to those that are there now, if nobody has heard of the case."""
    desk.round(DEAD, failing=("ops",))
    desk.pass_s(FIRST_PAUSE_S)
    assert desk.round(DEAD, notifiers=("hook",)) == ["opened grant_dead"]
    assert desk.round(DEAD, notifiers=("hook",)) == []


def test_pauses_are_numbers(desk: Desk) -> None:
    """However often something failed, the pause is an hour at most."""
    assert [pause_s(n) for n in (1, 2, 3, 7, 10_000)] == [60.0, 120.0, 240.0, 3600.0, 3600.0]


# ------------------------------------------------------------------------------------------------ very many


def test_the_book_has_an_end(desk: Desk) -> None:
    """Of 5000 dead grants 299 have a place; one case more says that there are others, and all end when they end."""
    dead = [replace(DEAD, name=f"name-{n:04}") for n in range(5000)]
    told = desk.round(*dead)
    assert len(desk.book.cases) == MOST_CASES
    assert sorted(set(told)) == ["opened grant_dead", "opened more"]
    desk.pass_s(30)
    assert desk.round(*dead) == []
    alive = [replace(one, state="fresh") for one in dead]
    desk.pass_s(30)
    ends = desk.round(*alive)
    assert ends.count("over grant_dead") == MOST_CASES - 1
    desk.pass_s(QUIET_S)
    assert desk.round(*alive) == ["over more"]
    desk.pass_s(QUIET_S)
    desk.round(*alive)
    assert desk.book.cases == ()


def test_what_has_a_place_is_told_on_though_it_is_not_among_the_most_urgent(desk: Desk) -> None:
    """A case that is found no more only because others are more urgent goes on: a reminder, and no end before its."""
    desk.round(DEAD)
    desk.pass_s(AGAIN_S)
    view = replace(view_of(DEAD, now=desk.now), found=[])
    _, [telling] = review(desk.book, view, desk.now, lambda: "never")
    assert (telling.case.phase, telling.case.kind) == ("reminder", "grant_dead")


def test_the_most_urgent_have_the_places(desk: Desk) -> None:
    """Where there is no room for all, dead grants go before what only waits."""
    waiting = [replace(FRESH, name=f"w-{n}", waiting_since=after(-600)) for n in range(50)]
    dead = [replace(DEAD, name=f"d-{n}") for n in range(9)]
    desk.round(*waiting, *dead, most=10)
    assert {case.credential[0] for case in desk.book.cases if case.kind != "more"} == {"d"}


def test_a_clock_that_was_ahead_silences_nobody() -> None:
    """A process a week ahead writes that it tells, or that a notifier is to be left alone, and is gone."""
    claimed, paused = Desk(), Desk()
    for desk in (claimed, paused):
        desk.now = after(7 * 86_400)
    claimed.begin(DEAD)
    paused.round(DEAD, failing=("ops",))
    for desk in (claimed, paused):
        desk.now = after(60)
        assert desk.round(DEAD) == ["opened grant_dead"]


def test_a_case_that_was_told_by_a_clock_ahead_is_told_again_after_a_day() -> None:
    """Not after the week that it was ahead by."""
    desk = Desk()
    desk.now = after(7 * 86_400)
    assert desk.round(DEAD) == ["opened grant_dead"]
    desk.now = after(60)
    assert desk.round(DEAD) == []
    desk.pass_s(AGAIN_S)
    assert desk.round(DEAD) == ["reminder grant_dead"]
