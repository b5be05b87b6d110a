"""Operational logs: where they go, what they look like, and what they never show."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from rotator.errors import StoreDenied
from rotator.logs import configure_logging
from rotator.redact import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT = "s3cr3t-refresh-token"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("rotator")
    before = (root.handlers[:], root.level, own.level)
    yield
    root.handlers[:], level, own_level = before
    root.setLevel(level)
    own.setLevel(own_level)


def lines_of(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail(local: str) -> None:
    deeper = {"refresh_token": local}
    raise ValueError(f"cannot use {deeper}")


def fail_in_a_chain() -> None:
    try:
        fail(TEXT)
    except ValueError as error:
        raise StoreDenied("table t: no", hint="allow it") from error


def test_a_line_is_json_with_its_fields_in_order() -> None:
    """Off a terminal a log line is one JSON object: time, level, logger, event, then what was said."""
    stream = io.StringIO()
    configure_logging("info", stream).bind(credential="payroll").info("rotation deferred", reason="budget")
    (line,) = lines_of(stream)
    assert list(line) == ["ts", "level", "logger", "event", "credential", "reason"]
    assert line["ts"].endswith("Z")
    assert [line[name] for name in ("level", "logger", "event", "reason")] == [
        "info",
        "rotator",
        "rotation deferred",
        "budget",
    ]


def test_a_terminal_gets_lines_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a log line is text with its fields behind it, in colour unless NO_COLOR asks for none."""
    stream = Terminal()
    monkeypatch.delenv("NO_COLOR", raising=False)
    configure_logging("info", stream).info("rotation deferred", reason="budget", nested={"b": 1})
    assert "rotation deferred" in stream.getvalue()
    assert "\x1b[" in stream.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    configure_logging("info", stream).info("rotation deferred", reason="budget", nested={"b": 1})
    assert "reason=budget nested={'b': 1}" in stream.getvalue()
    assert "\x1b[" not in stream.getvalue()


def test_a_terminal_is_not_steered_by_what_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control characters in a text reach no terminal."""
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    configure_logging("info", stream).info("a\x1b[2Jb", error="c\r\x07d")
    assert not {"\x1b", "\r", "\x07"} & set(stream.getvalue())


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_a_secret_is_masked_wherever_it_stands(kind: type[io.StringIO]) -> None:
    """A Secret is a mask as a value, nested, in a message's arguments, bound, and in a library's record."""
    stream = kind()
    logger = configure_logging("debug", stream).bind(bound=Secret(TEXT))
    logger.info("one", token=Secret(TEXT), nested={"a": [(Secret(TEXT),)]})
    logger.info("two %s %r", Secret(TEXT), Secret(TEXT))
    logging.getLogger("urllib3").warning("three %s", Secret(TEXT))
    assert TEXT not in stream.getvalue()
    assert stream.getvalue().count("***") >= 6
    assert [word in stream.getvalue() for word in ("one", "two ***", "three ***")] == [True] * 3


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
@pytest.mark.parametrize("name", ["rotator", "apscheduler.executors.default"])
def test_an_exception_is_shown_without_its_values(kind: type[io.StringIO], name: str) -> None:
    """Of an exception its chain of types and places is shown, and the text only if it is ours; no local variable."""
    stream = kind()
    logger = configure_logging("info", stream)
    try:
        fail_in_a_chain()
    except StoreDenied:
        (logger if name == "rotator" else logging.getLogger(name)).exception("the pass failed")
    shown = stream.getvalue()
    assert "StoreDenied: table t: no (allow it) [tests/test_logs.py:" in shown
    assert "fail_in_a_chain" in shown
    assert "ValueError [tests/test_logs.py:" in shown
    assert TEXT not in shown


def test_an_exception_is_found_in_each_form_that_names_one() -> None:
    """`exc_info` may be True, the exception or its triple; without an exception nothing is added."""
    stream = io.StringIO()
    logger = configure_logging("info", stream)
    try:
        fail(TEXT)
    except ValueError as error:
        logger.error("1", exc_info=True)  # noqa: G201 - the form under test
        logger.error("2", exc_info=error)  # noqa: TRY400 - the form under test
        logger.error("3", exc_info=(ValueError, error, error.__traceback__))  # noqa: TRY400 - the form under test
        logger.error("4", exc_info=False)  # noqa: TRY400 - the form under test
    logger.error("5", exc_info=True)  # noqa: LOG014 - the form under test
    assert ["exception" in line for line in lines_of(stream)] == [True, True, True, False, False]


def test_a_chain_that_leads_back_to_itself_ends() -> None:
    """An exception that is its own cause is shown a bounded number of times."""
    one, two = ValueError("x"), KeyError("y")
    one.__cause__, two.__cause__ = two, one
    stream = io.StringIO()
    configure_logging("info", stream).error("odd", exc_info=one)
    (line,) = lines_of(stream)
    assert line["exception"] == ["ValueError []", "KeyError []"] * 4


def test_a_suppressed_context_is_not_shown() -> None:
    """`raise … from None` hides the exception before it here as it does elsewhere."""
    stream = io.StringIO()
    logger = configure_logging("info", stream)
    try:
        try:
            fail(TEXT)
        except ValueError:
            raise StoreDenied("table t: no") from None
    except StoreDenied:
        logger.exception("failed")
    assert len(lines_of(stream)[0]["exception"]) == 1


@pytest.mark.parametrize(
    ("level", "own", "foreign"),
    [
        ("debug", ["debug", "info", "warning", "error"], ["warning", "error"]),
        ("WARNING", ["warning", "error"], ["warning", "error"]),
        ("error", ["error"], ["error"]),
    ],
)
def test_libraries_are_held_at_warning(level: str, own: list[str], foreign: list[str]) -> None:
    """The level applies to rotator's logs; a library's begin at warning, for at debug they show whole requests."""
    stream = io.StringIO()
    logger = configure_logging(level, stream)
    for name in ("debug", "info", "warning", "error"):
        getattr(logger, name)(name)
        for library in ("botocore.endpoint", "urllib3", "apscheduler", "httpcore"):
            getattr(logging.getLogger(library), name)(name)
    lines = lines_of(stream)
    assert [line["event"] for line in lines if line["logger"] == "rotator"] == own
    assert [line["event"] for line in lines if line["logger"] == "httpcore"] == foreign
    assert len(lines) == len(own) + 4 * len(foreign)


def test_an_unknown_level_is_refused() -> None:
    """A level that does not exist is a ValueError that names it."""
    with pytest.raises(ValueError, match="loud"):
        configure_logging("loud", io.StringIO())


def test_configuring_again_leaves_one_line_per_event() -> None:
    """Handlers that were there before, rotator's own included, print nothing any more."""
    former, first, second = io.StringIO(), io.StringIO(), io.StringIO()
    logging.getLogger().addHandler(logging.StreamHandler(former))
    configure_logging("info", first)
    configure_logging("info", second).info("once")
    assert (former.getvalue(), first.getvalue()) == ("", "")
    assert [line["event"] for line in lines_of(second)] == ["once"]


def test_structlogs_global_configuration_is_left_alone() -> None:
    """Configuring rotator's logs does not configure structlog for the program around it."""
    configure_logging("info", io.StringIO())
    assert not structlog.is_configured()


def test_stderr_is_where_logs_go() -> None:
    """Without a stream the lines go to stderr and none to stdout."""
    code = "from rotator.logs import configure_logging; configure_logging('info').info('hello')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert (json.loads(done.stderr)["event"], done.stdout) == ("hello", "")


def test_a_line_that_cannot_be_written_is_told_without_its_values(capsys: pytest.CaptureFixture[str]) -> None:
    """A record that cannot be rendered leaves a line with the error's type, and none of the record's arguments."""
    stream = io.StringIO()
    configure_logging("info", stream).info("odd", value={Secret(TEXT): TEXT})
    logging.getLogger("botocore").warning("%d", TEXT)
    own, foreign = lines_of(stream)
    assert (own["error"], own["logger"]) == ("TypeError", "rotator")
    assert (foreign["error"], foreign["logger"]) == ("TypeError", "botocore")
    assert TEXT not in stream.getvalue() + "".join(capsys.readouterr())


def test_a_closed_stream_stops_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    """Logging to a stream that was closed loses the line, raises nothing and prints nothing elsewhere."""
    stream = io.StringIO()
    logger = configure_logging("info", stream)
    stream.close()
    logger.info("lost", token=Secret(TEXT))
    assert "".join(capsys.readouterr()) == ""
