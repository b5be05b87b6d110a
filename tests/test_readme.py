"""The front page holds: together with docs/ it names what there is, and what it names is there."""

from __future__ import annotations

import re

import click

from rotator.audit.events import EventName
from rotator.cli.commands import rotator
from rotator.cli.context import Exit
from tests.docs.command_lines import command_lines, existing_commands, name_of
from tests.docs.pages import README, ROOT, Page, documentation

PAGE = Page(README)
TEXT = PAGE.text
DOCUMENTATION = "\n".join(page.text for page in documentation())
LONGEST = 230
"""Lines: a front page is read before anything is installed."""


def commands_on(page: Page) -> set[str]:
    return {name_of(line.text) for code in (*page.code, *page.spans) for line in command_lines(code)}


def test_it_is_a_front_page() -> None:
    """It is short, and leads on to docs/."""
    assert len(TEXT.splitlines()) <= LONGEST
    assert len([link for link in PAGE.links if link.startswith("docs/")]) > 20


def test_every_command_on_the_page_exists() -> None:
    """No `rotator <command>` in the page's code is unknown to the command line."""
    assert commands_on(PAGE) - existing_commands() - {""} == set()


def test_every_command_is_on_the_page() -> None:
    """The command line has no command that the page does not show."""
    assert existing_commands() - commands_on(PAGE) == set()


def test_every_option_in_the_table_exists() -> None:
    """Each `--option` beside a command in the table of commands is one of that command's."""
    rows = re.findall(r"^\| (`rotator .*?`) \|", TEXT, re.MULTILINE)
    shown = {name for row in rows for name in re.findall(r"`rotator ([a-z]+)", row)}
    assert shown == set(rotator.commands)
    for row in rows:
        for span in re.findall(r"`rotator (.*?)`", row):
            known = {option for parameter in _command(name_of(span)).params for option in parameter.opts}
            assert set(re.findall(r"--[a-z-]+", span)) <= known, span


def test_every_option_is_documented() -> None:
    """README and docs/ name each option of each command."""
    options = {
        option
        for name in existing_commands()
        for parameter in _command(name).params
        for option in parameter.opts
        if option.startswith("--")
    }
    assert {option for option in options if not re.search(rf"(?<![\w-]){option}(?![\w-])", DOCUMENTATION)} == set()


def test_every_exit_code_is_on_the_page() -> None:
    """The table of exit codes lists those that exist, and no other."""
    table = TEXT.split("| exit code |", 1)[1].split("\n\n", 1)[0]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == sorted(Exit)


def test_every_audit_event_is_documented() -> None:
    """README and docs/ name each event that can be recorded, and no other."""
    named = set(re.findall(r"`((?:rotation|escrow|credential|refresh_token)\.[a-z_]+)`", DOCUMENTATION))
    assert named - {"rotation.py"} == set(EventName.__args__)


def test_every_file_that_is_named_exists() -> None:
    """Each path into the repository that README or docs/ names is there, `make` targets included."""
    paths = set(re.findall(r"`((?:config|rotator|tests|deploy|docs)/[\w./-]+)`", DOCUMENTATION))
    assert len(paths) >= 5
    assert [path for path in sorted(paths - {"config/rotator.yaml"}) if not (ROOT / path).exists()] == []
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"\bmake ([a-z]+)\b(?=`|  )", DOCUMENTATION):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def _command(name: str) -> click.Command:
    command: click.Command = rotator
    for part in name.split():
        assert isinstance(command, click.Group)
        command = command.commands[part]
    return command
