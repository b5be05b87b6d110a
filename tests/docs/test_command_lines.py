"""Every command line that a page shows is one that rotator takes."""

from __future__ import annotations

import pytest

from tests.docs.command_lines import CommandLine, command_lines, existing_commands, fault_in, is_mention, name_of
from tests.docs.pages import Page, documentation, everything, ids
from tests.docs.shell import bash_accepts

PAGES = everything()
SHELLS = {"sh", "bash"}


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_every_command_line_is_taken(page: Page) -> None:
    """What stands behind `rotator` in the page's code is parsed by the command line itself."""
    lines = [line for code in page.code for line in command_lines(code)]
    lines += [line for span in page.spans for line in command_lines(span) if not is_mention(line)]
    assert [(line.text, fault) for line in lines if (fault := fault_in(line))] == []


def test_every_command_is_shown() -> None:
    """The documentation has every command, the generated page left out."""
    pages = [page for page in documentation() if page.path.parent.name != "reference"]
    shown = {name_of(line.text) for page in pages for code in (*page.code, *page.spans) for line in command_lines(code)}
    assert existing_commands() - shown == set()


def test_a_line_that_rotator_does_not_take_is_found() -> None:
    """Unknown commands and options, values that do not fit and what is missing are faults; real lines are none."""
    wrong = ["rotatte", "once --hurry", "once --horizon soon", "put", "resolve NAME --reply", "escrow lost"]
    assert [text for text in wrong if not fault_in(CommandLine(text, pattern=False))] == []
    right = ["once --horizon 20m", "revoke NAME", "login NAME --port PORT", "--version", "-c a.yaml run --shard I/N"]
    assert [text for text in right if fault_in(CommandLine(text, pattern=False))] == []
    assert fault_in(CommandLine("once [--hurry]", pattern=True)) == "once has no --hurry"
    assert not fault_in(CommandLine("once [--horizon 15m] [--name N]… [--force]", pattern=True))


def test_command_lines_are_found_where_they_stand() -> None:
    """Behind paths, pipes, programs that run others and continued lines; not where the word is a unit or an image."""
    code = """
        .venv/bin/rotator check --live && rotator status | less   # rotator explain
        kubectl exec deploy/rotator -- rotator -c /etc/rotator/rotator.yaml \\
          put payroll - < answer.json
        systemctl restart rotator && docker build -t rotator .
        X=$(rotator token reports) && rotator resolve NAME --replay|--discard
    """
    found = [line.text for line in command_lines(code)]
    assert found == [
        "check --live",
        "status",
        "-c /etc/rotator/rotator.yaml put payroll -",
        "token reports",
        "resolve NAME --replay|--discard",
    ]


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_every_shell_block_can_be_read(page: Page) -> None:
    """The shell parses each block that is marked as shell, those that cannot run here included."""
    blocks = [block.body for block in page.blocks if block.language in SHELLS]
    assert [complaint for body in blocks if (complaint := bash_accepts(body))] == []
    assert [block.language for block in page.blocks if not block.language] == [], "say what a block is in"
