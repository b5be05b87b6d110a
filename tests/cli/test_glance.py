"""`rotator status` at a glance: what comes first, what is left out, how it is summed up, and how it fits a terminal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.cli.glance import STATES, WORST_FIRST, Choice, summary, worst_first
from rotator.cli.tables import status_lines
from rotator.status import Row
from tests.app import situations

if TYPE_CHECKING:
    from tests.app.stage import Stage

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LONG = "payroll-export-for-the-northern-branch-2026"
TRIED = "log in again (rotator login NAME), or rotator resolve NAME --replay for one more try"


def row(name: str, state: Any = "fresh", *, ends_s: float | None = 3600, person: bool = False, **more: Any) -> Row:
    ends = None if ends_s is None else NOW + timedelta(seconds=ends_s)
    fields: dict[str, Any] = {"provider": "acme", "store": "main", "reason": "why", "action": "", **more}
    again = None if person else ends
    return Row(name, state=state, expires_at=ends, next_refresh_at=again, last_rotated_at=None, **fields)


def test_worst_comes_first() -> None:
    """Who needs a person, then by state, then whose token ends first, an unknown end before all, then by name."""
    rows = [
        row("fresh-late"),
        row("fresh-soon", ends_s=60),
        row("due", "due"),
        row("waits", "cooling_down"),
        row("doubt", "in_doubt"),
        row("doubt-of-a-person", "in_doubt", person=True),
        row("b-unknown", "due", ends_s=None),
        row("a-unknown", "due", ends_s=None),
        row("unusable", "unusable"),
        row("latched", "latched"),
    ]
    assert [one.name for one in worst_first(rows)] == [
        "latched",
        "unusable",
        "doubt-of-a-person",
        "doubt",
        "waits",
        "a-unknown",
        "b-unknown",
        "due",
        "fresh-soon",
        "fresh-late",
    ]


def test_every_state_has_its_place() -> None:
    """A state that is added to those of a credential is ordered and can be asked for."""
    assert sorted(WORST_FIRST) == sorted(STATES)


def test_the_sum_of_2000_is_one_line_and_names_who_needs_a_person() -> None:
    """How many are in each state, fresh ones first; then the first who need a person, and where all of them are."""
    rows = [row(f"c{number}") for number in range(1994)]
    rows += [row(f"d{number}", "due") for number in range(3)]
    rows += [row("doubt", "in_doubt"), row("worse", "latched"), row("bad", "latched", ends_s=5)]
    assert summary(rows, 2000) == [
        "2,000 credentials: 1,994 fresh, 3 due, 1 in doubt, 2 latched",
        "2 need a person: bad, worse; see: rotator status --problems",
    ]
    assert summary(rows, 3)[0].endswith(" (3 shown)")
    assert summary([row("one")], 1) == ["1 credential: 1 fresh"]
    assert summary([], 0) == ["no credentials"]
    many = summary([row(f"x{number}", "latched") for number in range(5)], 5)[1]
    assert many == "5 need a person: x0, x1, x2 and 2 more; see: rotator status --problems"


def test_what_is_wrong_is_more_than_what_needs_a_person() -> None:
    """`--problems` shows whatever is neither fresh nor due, and what has ended already."""
    rows = [row("fresh"), row("due", "due"), row("ended", "due", ends_s=-1), row("waits", "cooling_down")]
    assert [one.name for one in Choice(problems=True).of(rows, NOW)] == ["ended", "waits"]


def test_choices_narrow_each_other_down() -> None:
    """Several states or providers are any of them; states and providers are both."""
    rows = [row("a", "due"), row("b", "latched"), row("c", "due", provider="other"), row("d")]
    assert [one.name for one in Choice(states=("due", "latched")).of(rows, NOW)] == ["a", "b", "c"]
    assert [one.name for one in Choice(("due",), ("other",)).of(rows, NOW)] == ["c"]


# ------------------------------------------------------------------------------------------------------- the command


def test_the_exit_code_is_that_of_all(stage: Stage) -> None:
    """What is not shown counts as well: a pipeline that looks at one provider does not hide another's latch."""
    situations.latched(stage)
    stage.provider("other", face="dailypay")
    stage.credential("beta", provider="other")
    stage.seed("beta", face="dailypay")

    ended = stage.cli("status", "--provider", "other", "--json")

    assert [one["name"] for one in ended.json["credentials"]] == ["beta"]
    assert ended.code == 1


def test_the_command_shows_problems_and_sums_all_up(stage: Stage) -> None:
    """`--problems` leaves the fresh ones out, and the sum below tells of them."""
    situations.latched(stage)
    stage.ready("beta", "gamma")

    out = stage.cli("status", "--problems").out

    assert [line.split()[0] for line in out.splitlines() if " acme " in line] == ["alpha"]
    assert out.endswith("3 credentials: 2 fresh, 1 latched (1 shown)\n1 needs a person: alpha\n")


def test_an_unknown_state_or_provider_is_bad_usage(stage: Stage) -> None:
    """Both are 2, with what was probably meant."""
    stage.ready()
    assert stage.cli("status", "--state", "frsh").code == 2
    ended = stage.cli("status", "--provider", "amce")
    assert (ended.code, ended.out) == (2, "")
    assert "there is no provider 'amce'" in ended.err
    assert "did you mean 'acme'?" in ended.err


# --------------------------------------------------------------------------------------------------------- the width

FLEET = [
    row(LONG, "latched", person=True, reason="the provider rejected it", action=f"log in again: rotator login {LONG}"),
    row("reports", "in_doubt", person=True, action=TRIED),
    row("beta", "due"),
    row("alpha"),
]


def shown(width: int | None) -> list[str]:
    return [line.text for line in status_lines(FLEET, NOW, width)]


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160, 250])
def test_lines_fit_the_terminal(width: int) -> None:
    """No line is longer than the terminal is wide."""
    assert max(map(len, shown(width))) <= width


@given(width=st.integers(1, 300))
def test_no_name_and_no_word_of_a_command_is_cut(width: int) -> None:
    """Whatever the width: each name stands whole, and so does each word of the advice, in its order."""
    lines = shown(width)
    assert sum(line == LONG or line.startswith(f"{LONG} ") for line in lines) == 1
    assert TRIED in " ".join(" ".join(lines).split())
    assert f"log in again: rotator login {LONG}" in " ".join(" ".join(lines).split())


def test_a_pipe_has_one_line_for_each_credential() -> None:
    """All columns and the whole advice, for grep."""
    lines = shown(None)
    assert len(lines) == 1 + len(FLEET)
    assert lines[1].startswith(f"{LONG}  acme")
    assert lines[1].endswith(f"rotator login {LONG}")


def test_the_first_columns_to_go_are_the_least_needed() -> None:
    """Beside a name of 43 characters the last rotation goes first, then the provider, then the next refresh."""
    assert shown(80)[0].split() == ["NAME", "PROVIDER", "STATE", "EXPIRES", "NEXT"]
    assert shown(70)[0].split() == ["NAME", "STATE", "EXPIRES", "NEXT"]
    assert shown(60)[0].split() == ["NAME", "STATE", "EXPIRES"]


def test_what_anybody_said_stays_on_its_line() -> None:
    """A line break or control character in a reason, which may quote anybody, breaks no table and moves no cursor."""
    rows = [row("alpha", "unusable", reason="one\r\ntwo\x1b[31m", action="three\tfour")]
    [_, line] = [line.text for line in status_lines(rows, NOW, None)]
    assert line.endswith("one two\ufffd[31m → three four")
