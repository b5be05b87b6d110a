"""`rotator completion`: the scripts in real shells, and names from the configuration's text alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.cli.pseudo_terminal import on_terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.app.stage import Stage

NAMES = ["payroll-export", "payroll-import", "reports"]

CONFIGURATION = {
    "version": 1,
    "stores": {"main": {"type": "vault", "address": "https://nowhere.invalid:8200"}},
    "providers": {"acme": {"profile": "generic", "token_endpoint": "${NOT_SET}"}, "auth0-dev": {}},
    "notifiers": {"oncall": {}, "hook": {}},
    "credentials": [{"name": name, "provider": "nobody", "client_secret": {"env": "NOT_SET"}} for name in NAMES],
}
"""Nothing of it can be used: no variable is set and no store is there. Its names are all that counts here."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with the configuration in it and `rotator` on the path."""
    (tmp_path / "rotator.yaml").write_text(yaml.safe_dump(CONFIGURATION))
    program = tmp_path / "bin" / "rotator"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rotator "$@"\n')
    program.chmod(0o755)
    return tmp_path


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("ROTATOR_")}
    root = str(__import__("rotator").__path__[0]).removesuffix("/rotator")
    return {**kept, "PATH": f"{home / 'bin'}:{os.environ['PATH']}", "HOME": str(home), "PYTHONPATH": root, **more}


def completed(home: Path, line: str, **env: str) -> list[str]:
    """Return what the program itself answers for a line, its last word being typed."""
    words = line.split(" ")
    asked = {"_ROTATOR_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        ["rotator"],
        env=environment(home, ROTATOR_CONFIG=str(home / "rotator.yaml"), **asked, **env),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return [answer.partition(",")[2] for answer in done.stdout.splitlines() if answer]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rotator explain pay", ["payroll-export", "payroll-import"]),
        ("rotator put rep", ["reports"]),
        ("rotator once --name ", NAMES),
        ("rotator once --name reports --name ", NAMES[:2]),
        ("rotator status --provider a", ["acme", "auth0-dev"]),
        ("rotator notify on", ["oncall"]),
        ("rotator providers au", ["auth0-dev", "auth0"]),
        ("rotator status --state in", ["in_doubt"]),
        ("rotator audit show --credential r", ["reports"]),
        ("rotator esc", ["escrow"]),
        ("rotator escrow ", ["list", "replay"]),
        ("rotator resolve reports --re", ["--replay"]),
        ("rotator completion ", ["bash", "zsh", "fish"]),
        ("rotator explain nothing-begins-so", []),
    ],
)
def test_commands_options_and_names_complete(home: Path, line: str, expected: list[str]) -> None:
    """From a configuration that nothing could be done with: no store is asked, and no variable is needed."""
    assert completed(home, line) == expected


def test_the_configuration_of_the_line_is_read(home: Path) -> None:
    """`-c` goes before $ROTATOR_CONFIG."""
    other = home / "other.yaml"
    other.write_text("credentials: [{name: elsewhere}]\n")
    assert completed(home, f"rotator -c {other} explain ") == ["elsewhere"]


@pytest.mark.parametrize("text", ["", "- 1\n", "credentials: 7\n", "credentials: [1, {name: 2}, {}]\n", "a: [", "\x00"])
def test_what_is_wrong_with_the_configuration_ends_without_a_word(home: Path, text: str) -> None:
    """A press of a key is no time for an error."""
    (home / "rotator.yaml").write_text(text)
    assert completed(home, "rotator explain ") == []
    (home / "rotator.yaml").unlink()
    assert completed(home, "rotator explain ") == []


def test_the_names_of_a_fleet_are_taken_from_the_text_alone(home: Path) -> None:
    """Of 2,000 credentials all that begin so, although none of them is a whole one."""
    fleet = {**CONFIGURATION, "credentials": [{"name": f"fleet-{number:06}"} for number in range(2000)]}
    (home / "rotator.yaml").write_text(yaml.safe_dump(fleet))
    assert len(completed(home, "rotator explain fleet-0000")) == 100


# ------------------------------------------------------------------------------------------------------- real shells


def shell(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def test_bash_completes(home: Path) -> None:
    """The script loads into bash, and its function answers for a line as bash would ask it."""
    script = (
        "source <(rotator completion bash); COMP_WORDS=(rotator explain payroll-e); COMP_CWORD=2; "
        '_rotator_completion rotator; printf "%s\\n" "${COMPREPLY[@]}"; complete -p rotator'
    )
    env = environment(home, ROTATOR_CONFIG=str(home / "rotator.yaml"))
    done = subprocess.run(
        [shell("bash"), "-c", script], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == ["payroll-export", "complete -o nosort -F _rotator_completion rotator"]
    assert done.stderr == ""


def test_bash_completes_at_the_press_of_a_key(home: Path) -> None:
    """In an interactive bash on a terminal, a tab finishes a credential's name."""
    steps = [
        ("$ ", b"source <(rotator completion bash) && echo rea''dy\n"),
        ("ready\r\n", b"rotator explain payroll-e\t"),
        ("rotator explain payroll-export", b"\x15exit\n"),
    ]

    def type_on(screen: str, _: object, press: Callable[[bytes], object]) -> None:
        if steps and steps[0][0] in screen:
            press(steps.pop(0)[1])

    session = on_terminal(
        [],
        program=f"import os; os.execv({shell('bash')!r}, ['bash', '--norc', '--noprofile', '-i'])",
        env=environment(home, ROTATOR_CONFIG=str(home / "rotator.yaml"), PS1="$ "),
        seen=type_on,
    )
    assert steps == []
    assert "rotator explain payroll-export" in session.screen


def test_zsh_completes(home: Path) -> None:
    """The script loads into zsh after compinit, and completes rotator from then on."""
    script = (
        "autoload -Uz compinit; compinit -u -D; source <(rotator completion zsh); print -r -- $_comps[rotator]; "
        "compadd() { print -r -- ${(P)argv[-1]} }; words=(rotator explain payroll-e); CURRENT=3; _rotator_completion"
    )
    env = environment(home, ROTATOR_CONFIG=str(home / "rotator.yaml"))
    done = subprocess.run(
        [shell("zsh"), "-fc", script], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == ["_rotator_completion", "payroll-export"]


def test_fish_completes(home: Path) -> None:
    """The script loads into fish, which then offers the names for a line."""
    script = "rotator completion fish | source; complete -C 'rotator explain payroll-e'"
    env = environment(home, ROTATOR_CONFIG=str(home / "rotator.yaml"))
    done = subprocess.run(
        [shell("fish"), "-c", script], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == ["payroll-export"]


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_scripts_need_no_shell_to_be_printed(stage: Stage, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container without any shell prints them as well; nothing is started for it."""
    monkeypatch.setenv("PATH", str(stage.folder))
    ended = stage.cli("completion", name)
    assert (ended.code, ended.err) == (0, "")
    assert "_ROTATOR_COMPLETE" in ended.out
