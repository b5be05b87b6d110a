"""`--json`: every command that reports something has it, prints one object, and has the keys that the page names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from rotator import recovery
from rotator.cli.commands import rotator
from rotator.testing.sandbox import DEFAULT_CLIENT_ID
from tests.app import situations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.app.stage import Stage

PAGE = (Path(__file__).parent.parent.parent / "docs" / "json.md").read_text(encoding="utf-8")

WITHOUT = {
    ("token",): "its output is the token",
    ("run",): "it tells by its log and its audit trail",
    ("completion",): "it prints a script",
}


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command that does something, with the words that lead to it."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name, below in command.commands.items():
        yield from leaves(below, (*path, name))


def has_json(command: click.Command) -> bool:
    return any("--json" in parameter.opts for parameter in command.params)


def documented(path: tuple[str, ...]) -> set[str]:
    """Return the outermost keys that the page names for a command."""
    rows = re.findall(r"^\| (`.*?`) \| (.*) \|$", PAGE, re.MULTILINE)
    [cell] = [cell for commands, cell in rows if f"`{' '.join(path)}`" in commands]
    of_objects = "credentials|rotated|deferred|failed|findings|entries|notifiers"
    lists = rf"(`(?:{of_objects})`): (?:a list of )?(?:`\w+`(?: \([^)]*\))?(?:, )?)+"
    return set(re.findall(r"`(\w+)`", re.sub(lists, r"\1", cell.split(". ")[0].split("; with ")[0])))


LEAVES = dict(leaves(rotator))


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_has_json_or_a_reason_to_have_none(path: tuple[str, ...]) -> None:
    """A new command gets the option, or its reason on the list above."""
    assert has_json(LEAVES[path]) != (path in WITHOUT)


def answer_of(stage: Stage) -> str:
    file = stage.folder / "answer.json"
    file.write_text(json.dumps(stage.face().login(DEFAULT_CLIENT_ID)))
    return str(file)


def nothing(stage: Stage) -> tuple[str, ...]:
    stage.ready("beta")
    return ()


def one(stage: Stage) -> tuple[str, ...]:
    stage.ready("beta")
    return ("beta",)


def seeded(stage: Stage) -> tuple[str, ...]:
    return (*one(stage), answer_of(stage))


def latched(stage: Stage) -> tuple[str, ...]:
    situations.latched(stage)
    return ("alpha", "--clear")


def revocable(stage: Stage) -> tuple[str, ...]:
    stage.config["providers"]["acme"]["revocation_endpoint"] = f"{stage.face().token_endpoint}/revoke"
    return (*one(stage), "--yes")


def by_device(stage: Stage) -> tuple[str, ...]:
    stage.config["providers"]["acme"]["device_authorization_endpoint"] = f"{stage.face().token_endpoint}/device"
    stage.credential("beta")
    return ("beta", "--device")


def waiting(stage: Stage) -> tuple[str, ...]:
    situations.waiting_in_escrow(stage)
    return ()


def notified(stage: Stage) -> tuple[str, ...]:
    stage.config["notifiers"] = {"pager": {"type": "command", "command": ["cat"]}}
    return nothing(stage)


def trail(stage: Stage) -> tuple[str, ...]:
    stage.ready("beta")
    stage.cli("once", "--force")
    return (str(stage.audit_file),)


RECIPES: dict[tuple[str, ...], Callable[[Stage], tuple[str, ...]]] = {
    ("check",): nothing,
    ("demo",): lambda _: ("--seconds", "5", "--credentials", "1"),
    ("explain",): one,
    ("put",): seeded,
    ("resolve",): latched,
    ("revoke",): revocable,
    ("login",): by_device,
    ("escrow", "list"): waiting,
    ("escrow", "replay"): waiting,
    ("notify",): notified,
    ("audit", "verify"): trail,
    ("audit", "show"): trail,
}
"""What a command needs to have something to report, and its arguments; others need nothing."""


@pytest.mark.parametrize("path", [path for path in LEAVES if path not in WITHOUT], ids=" ".join)
def test_it_prints_one_object_with_the_keys_on_the_page(
    stage: Stage, path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stdout parses as one object, and its keys are those that docs/json.md names, no more and no fewer."""
    if path == ("login",):
        approve(stage, monkeypatch)
    arguments = RECIPES.get(path, nothing)(stage)

    ended = stage.cli(*path, *arguments, "--json")

    assert isinstance(ended.json, dict)
    assert "error" not in ended.json, ended.out
    assert set(ended.json) == documented(path)


def approve(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a person say yes as soon as the code is shown; the clock is virtual, so that nobody waits for them."""
    from rotator.cli import logins

    def warn(text: str) -> None:
        if " enter " in text:
            stage.face().say(text.rsplit(" ", 1)[1], "approved")

    monkeypatch.setattr(logins, "warn", warn)


# ------------------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("arguments", "kind", "code"),
    [
        (("explain", "beta", "--json"), "config_error", 2),
        (("explain", "alpha", "--json"), "secret_not_found", 1),
        (("resolve", "zeta", "--clear", "--json"), "refused", 2),
        (("status", "--nonsense", "--json"), "no_such_option", 2),
        (("resolve", "zeta", "--json"), "usage_error", 2),
        (("audit", "verify", "nowhere", "--json"), "config_error", 2),
    ],
)
def test_an_error_is_one_object_as_well(stage: Stage, arguments: tuple[str, ...], kind: str, code: int) -> None:
    """Stdout has the error with its kind, message, hint and exit code; stderr has the text, and the code is as ever."""
    stage.credential("alpha")
    stage.ready("zeta")
    plain = stage.cli(*(argument for argument in arguments if argument != "--json"))

    ended = stage.cli(*arguments)

    error = ended.json["error"]
    assert list(ended.json) == ["error"]
    assert (error["kind"], error["exit_code"], ended.code, plain.code) == (kind, code, code, code)
    assert error["message"]
    assert plain.out == ""
    assert ended.err == plain.err
    assert (
        {"kind", "message", "hint", "exit_code"} <= set(error) <= {"kind", "message", "hint", "exit_code", "problems"}
    )


def test_an_error_of_the_configuration_lists_all_problems(stage: Stage) -> None:
    """Each with where it is, what is wrong and what to do."""
    stage.credential("alpha", provider="acmee")
    stage.credential("beta", store="mian")

    error = stage.cli("check", "--json").json["error"]

    assert [set(problem) for problem in error["problems"]] == [{"where", "what", "hint"}] * 2
    assert "did you mean" in error["problems"][0]["hint"]


def test_an_interrupt_is_an_object_as_well(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that reads the result finds out that there is none."""

    def interrupted(*_: object) -> Any:
        raise KeyboardInterrupt

    stage.ready("beta")
    monkeypatch.setattr(recovery, "replay_all", interrupted)
    ended = stage.cli("escrow", "replay", "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (130, "interrupted")


def test_the_question_of_revoke_is_not_in_the_result(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked on stderr, and a no leaves stdout an error object, and the grant alive."""
    import io

    revocable(stage)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    ended = stage.cli("revoke", "beta", "--json")
    assert ended.code == 130
    assert ended.json["error"]["kind"] == "interrupted"
    assert "End this grant" in ended.err
    assert stage.is_live("beta")


def test_the_events_of_several_files_are_one_object(stage: Stage) -> None:
    """`audit show --json` without a FILE goes through those of the configuration; none of them is an empty list."""
    other = stage.folder / "other.jsonl"
    stage.config["audit"].append({"type": "jsonl", "path": str(other)})
    stage.ready("beta")
    shown = stage.cli("audit", "show", "--json").json["events"]
    assert [event["event"] for event in shown] == ["credential.seeded"]  # each sink has it, and it is told once
    assert stage.cli("audit", "show", "--json", "--credential", "zeta").json == {"events": []}
