"""The progress bar's drawing, step by step."""

from __future__ import annotations

import io

from rotator.cli.bar import Bar
from rotator.testing.memory import VirtualClock
from tests.cli.pseudo_terminal import left_on


class Screen(io.StringIO):
    encoding = "utf-8"


def begun() -> tuple[Bar, Screen]:
    screen = Screen()
    return Bar(screen, VirtualClock(), colours=False), screen


def test_half_a_line_is_not_drawn_over() -> None:
    """What has not ended its line keeps it: the bar comes back when it has."""
    bar, screen = begun()
    bar("reading 2 credentials", 1, 2)
    bar._draw()
    bar.write(screen, "half")
    bar._draw()
    assert left_on(screen.getvalue(), 200) == ["half"]
    bar.write(screen, " a line\n")
    bar._draw()
    [line, drawn] = left_on(screen.getvalue(), 200)
    assert line == "half a line"
    assert drawn.startswith("reading 2 credentials ━")


def test_a_shorter_bar_leaves_nothing_of_a_longer_one() -> None:
    """When the work goes over to its next part, the line shows that alone."""
    bar, screen = begun()
    bar("proving that 2,000 credentials can be written", 1999, 2000)
    bar._draw()
    bar("looking ahead", 0, 0)
    bar._draw()
    assert left_on(screen.getvalue(), 200) == ["looking ahead 0:00"]


def test_more_than_all_is_all() -> None:
    """Where there turns out to be more than was thought, the bar stays full."""
    bar, screen = begun()
    bar("rotating 2 credentials", 5, 2)
    bar._draw()
    assert "100%" in screen.getvalue()
