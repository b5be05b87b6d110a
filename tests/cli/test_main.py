"""The entry point: where the configuration is found, what help says, and how errors become exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import click
import pytest

import rotator
from rotator import outcomes
from rotator.cli import commands, main
from rotator.cli.context import Context, Exit, Interruption, explain_error
from rotator.errors import ConfigError, Problem, Refused, StoreDenied, StoreUnavailable, VersionConflict
from rotator.model import Document
from tests.app import situations
from tests.app.stage import CANARIES, Stage

if TYPE_CHECKING:
    from collections.abc import Callable


def run(*arguments: str) -> int:
    return commands.run(arguments)


# ---------------------------------------------------------------------------------------------------- invocation


def test_the_module_and_the_script_are_one_program() -> None:
    """`python -m rotator --version` prints name and version and ends with 0."""
    done = subprocess.run(
        [sys.executable, "-m", "rotator", "--version"], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == f"rotator, version {rotator.__version__}\n"


@pytest.mark.parametrize("arguments", [("-h",), ("--help",), ("once", "-h"), ("escrow", "replay", "--help")])
def test_help_ends_with_0(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    """Help is printed for the program and for each command."""
    assert run(*arguments) == 0
    assert "Usage: rotator" in capsys.readouterr().out


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """All commands stand in the help with a line about each."""
    run("--help")

    out = capsys.readouterr().out
    for command in ("demo", "check", "run", "once", "status", "explain", "token", "put", "resolve", "escrow"):
        assert f"\n  {command} " in out


@pytest.mark.parametrize(
    "arguments", [(), ("nonsense",), ("once", "--nonsense"), ("explain",), ("--log-level", "loud", "once")]
)
def test_bad_usage_ends_with_2(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    """A command line that cannot be understood ends with 2, and stdout stays empty."""
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Usage: rotator" in err


def test_main_exits_with_the_code_of_the_command(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends with what the command says."""
    situations.latched(stage)
    monkeypatch.setattr(sys, "argv", ["rotator", "-c", str(stage.file), "status"])

    with pytest.raises(SystemExit) as leaving:
        main()

    assert leaving.value.code == 1


def test_another_missing_module_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the command line's own extra gets the pip hint; any other missing module keeps its traceback."""
    monkeypatch.setitem(sys.modules, "rotator.cli.commands", None)

    with pytest.raises(ModuleNotFoundError):
        main()


def test_a_missing_module_that_is_no_extra_is_a_defect() -> None:
    """A module of ours that cannot be found is raised as it is."""
    error = ModuleNotFoundError("No module named 'nonsense'", name="nonsense.deep")

    with pytest.raises(ModuleNotFoundError) as raised:
        commands._missing(error)

    assert raised.value is error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.exceptions.Abort()])
def test_an_interrupt_outside_a_pass_ends_with_130(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Ctrl-C in a command that holds nothing in flight ends with 130 and no traceback."""

    def interrupted(**_: object) -> int:
        raise error

    monkeypatch.setattr(commands.status, "callback", interrupted)

    assert run("status") == 130


# ------------------------------------------------------------------------------------------------- configuration


def test_the_configuration_of_the_environment_is_used(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `-c` the file is the one in ROTATOR_CONFIG."""
    stage.credential()
    monkeypatch.setenv("ROTATOR_CONFIG", str(stage.save()))

    assert run("check") == 0


def test_the_default_configuration_is_in_the_working_directory(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without `-c` and ROTATOR_CONFIG the file is config/rotator.yaml below the working directory."""
    monkeypatch.delenv("ROTATOR_CONFIG", raising=False)
    stage.credential()
    assert run("check") == 2
    assert "config/rotator.yaml: there is no such file" in capsys.readouterr().err
    (stage.folder / "config").mkdir()
    stage.save().rename(stage.folder / "config" / "rotator.yaml")

    assert run("check") == 0


def test_a_reload_reads_the_file_anew(stage: Stage) -> None:
    """The parts of a reload come from what the file says now, those before from one reading."""
    stage.credential()
    context = Context(str(stage.save()), "info")
    before = context.settings
    stage.credential("beta")
    stage.save()

    again = context.settings
    reloaded = context.fresh_app("daemon")

    assert again is before
    assert [credential.name for credential in reloaded.credentials] == ["alpha", "beta"]


# --------------------------------------------------------------------------------------------------- exit codes


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError([Problem("file:1: key", "is wrong", "mend it")]), Exit.USAGE),
        (Refused("not so"), Exit.USAGE),
        (StoreDenied("store main: no", hint="ask"), Exit.PERSON),
        (StoreUnavailable("store main: away"), Exit.TEMPORARY),
        (VersionConflict("store main", expected="1"), Exit.TEMPORARY),
    ],
)
def test_an_error_that_ends_a_command_has_its_code(error: Any, code: Exit) -> None:
    """Bad configuration and refusals are 2, what a person mends is 1, what passes by itself is 75."""
    text, found = explain_error(error)

    assert found == code
    assert error.message.partition(":")[0] in text
    assert bool(error.hint) == (error.hint in text and bool(error.hint))


def test_the_handlers_of_signals_come_back(capsys: pytest.CaptureFixture[str]) -> None:
    """After a pass the process reacts to signals as before."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interruption() as interruption:
        signal.raise_signal(signal.SIGTERM)
        assert interruption.stop.wanted

    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_each_kind_of_outcome_has_its_log_line(stage: Stage) -> None:
    """The daemon's log tells a fresh credential at debug, with nothing but its name."""
    lines: list[tuple[str, str, dict[str, Any]]] = []

    class Log:
        def __getattr__(self, level: str) -> Callable[..., None]:
            return lambda event, **facts: lines.append((level, event, facts))

    now = stage.clock.now()
    for outcome in (
        outcomes.Fresh("a", now),
        outcomes.Rotated("b", now, "2"),
        outcomes.Deferred("c", "held", now),
        outcomes.Failed("d", "latched", "dead", "put"),
    ):
        commands._log(Log(), outcome)

    assert [(level, event) for level, event, _ in lines] == [
        ("debug", "fresh"),
        ("info", "rotated"),
        ("warning", "deferred"),
        ("error", "needs a person"),
    ]
    assert lines[0][2] == {"name": "a"}
    assert lines[3][2] == {"name": "d", "reason": "latched", "error": "dead", "action": "put"}


# ------------------------------------------------------------------------------------------------------- secrets


def test_no_output_shows_a_secret(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through seeding, rotation, doubt, rejection, crash and repair no command shows a token or client secret.

    Only `token` does, and it is left out here; neither does the audit file or the state's records.
    """
    texts: list[str] = []

    def cli(*arguments: str) -> None:
        ended = stage.cli(*arguments)
        texts.extend((ended.out, ended.err))

    stage.provider("acme", on_doubt="operator")
    stage.ready("alpha", "beta", "gamma", "delta")
    stage.write("delta", client_secret="canary-in-the-document", note="canary-note")
    stage.until_due()
    stage.face().fault("truncated", times=1)
    cli("once", "--name", "beta", "--json")
    stage.face().revoke(stage.face().family_of(stage.document("gamma")["refresh_token"]))
    cli("once", "--name", "gamma")
    situations.crash_before_the_write(stage, "alpha")
    stage.advance(60)
    answer = stage.folder / "canary.json"
    answer.write_text(json.dumps({**stage.document("gamma"), "refresh_token": ["canary-token"]}))
    cli("put", "gamma", str(answer))
    answer.write_text(json.dumps(stage.document("gamma")))
    cli("put", "gamma", str(answer))
    for name in ("alpha", "beta", "gamma", "delta"):
        cli("explain", name)
    for arguments in (
        ("check", "--live"),
        ("status",),
        ("status", "--json"),
        ("escrow", "list"),
        ("escrow", "list", "--json"),
        ("escrow", "replay"),
        ("resolve", "beta", "--discard"),
        ("resolve", "gamma", "--clear"),
        ("once", "--dry-run"),
        ("once",),
        ("once", "--force", "--json"),
    ):
        cli(*arguments)
    kept = stage.audit_file.read_text() + json.dumps(stage.records(), default=str)

    shown = "\n".join(texts).replace(str(answer), "").replace(str(stage.folder), "")
    for canary in CANARIES:
        assert canary not in shown, canary
        assert canary not in kept, canary
    assert "alpha: rotated" in shown
    document = stage.app().stores["main"].read("alpha").content
    assert isinstance(document, Document)
    for file in stage.folder.rglob("*"):
        if file.is_file() and file != answer:
            content = file.read_bytes()
            assert not any(token.encode() in content for token in CANARIES if token != "canary"), file


def test_a_defect_is_told_without_a_secret(real_stage: Stage) -> None:
    """A defect in the middle of a request is told by type and place, and holds no token; the code is 1."""
    stage = real_stage
    stage.ready("alpha")
    code = (
        "import sys\n"
        "from rotator import rotation\n"
        "def broken(self, *everything):\n"
        "    raise ZeroDivisionError(repr(everything))\n"
        "rotation.Rotation._exchange = broken\n"
        "from rotator.cli import main\n"
        f"sys.argv = ['rotator', '-c', {str(stage.save())!r}, 'once', '--force']\n"
        "main()\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 1
    assert "alpha: needs a person (defect): ZeroDivisionError in broken, line 4" in done.stdout
    assert not any(canary in done.stdout + done.stderr for canary in CANARIES)
