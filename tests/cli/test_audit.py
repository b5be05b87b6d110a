"""`rotator audit`: a trail is verified and told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.app.stage import Stage


def rotated(stage: Stage) -> list[str]:
    """Rotate a credential; return the trail's lines."""
    stage.ready("alpha", "beta")
    stage.until_due()
    assert stage.cli("once", "--name", "alpha").code == 0
    return stage.audit_file.read_text().splitlines(keepends=True)


def test_the_trail_of_a_rotation_verifies(stage: Stage) -> None:
    """With the link to note, which is found again."""
    lines = rotated(stage)
    ended = stage.cli("audit", "verify", str(stage.audit_file))
    assert (ended.code, f"{len(lines)} events, unbroken" in ended.out) == (0, True)
    found = stage.cli("audit", "verify", "--json", str(stage.audit_file)).json
    assert found["unbroken"] is True
    again = stage.cli("audit", "verify", str(stage.audit_file), "--link", found["last"])
    assert again.code == 0


def test_a_trail_that_was_cut_off_is_found_by_the_link_that_was_noted(stage: Stage) -> None:
    """Exit code 1, in words and in JSON."""
    lines = rotated(stage)
    last = stage.cli("audit", "verify", "--json", str(stage.audit_file)).json["last"]
    stage.audit_file.write_text("".join(lines[:-1]))
    ended = stage.cli("audit", "verify", str(stage.audit_file), "--link", last)
    assert (ended.code, "the end was cut off" in ended.out) == (1, True)
    assert stage.cli("audit", "verify", str(stage.audit_file)).code == 0
    assert stage.cli("audit", "verify", "--json", str(stage.audit_file), "--link", last).json["unbroken"] is False


def test_a_changed_trail_is_told_by_its_line(stage: Stage) -> None:
    """As an editor has it: FILE:LINE."""
    lines = rotated(stage)
    lines[1] = lines[1].replace("beta", "gamma") if "beta" in lines[1] else lines[1].replace("alpha", "gamma")
    stage.audit_file.write_text("".join(lines))
    ended = stage.cli("audit", "verify", str(stage.audit_file))
    assert ended.code == 1
    assert f"{stage.audit_file}:2: was changed" in ended.out


@pytest.mark.parametrize("command", ["verify", "show"])
def test_a_file_that_is_not_there_is_told(stage: Stage, command: str) -> None:
    """Exit code 2."""
    stage.save()
    ended = stage.cli("audit", command, str(stage.folder / "none.jsonl"))
    assert ended.code == 2
    assert "none.jsonl: cannot be read" in ended.err


def test_a_credentials_story_is_told_in_plain_words(stage: Stage) -> None:
    """From the configured trail, of the one that is asked for."""
    rotated(stage)
    ended = stage.cli("audit", "show", "--credential", "alpha")
    assert ended.code == 0
    assert "alpha was given a token set by a person" in ended.out
    assert "alpha is refreshed because: " in ended.out
    assert "alpha has new tokens" in ended.out
    assert "beta" not in ended.out


def test_of_nobody_nothing_is_told(stage: Stage) -> None:
    """And that is said."""
    rotated(stage)
    ended = stage.cli("audit", "show", "--credential", "nobody")
    assert (ended.code, ended.out) == (0, "")
    assert "no event of nobody" in ended.err


def test_a_trail_that_goes_to_stderr_cannot_be_shown(stage: Stage) -> None:
    """It says who has it."""
    stage.ready()
    stage.config["audit"] = [{"type": "jsonl", "path": "-"}]
    ended = stage.cli("audit", "show")
    assert ended.code == 2
    assert "stderr" in ended.err


def test_two_sinks_write_two_formats_and_both_are_verified_and_told(stage: Stage) -> None:
    """The same events, in the same words."""
    other = {form: stage.folder / f"{form}.jsonl" for form in ("cloudevents", "ocsf")}
    stage.config["audit"] += [{"type": "jsonl", "path": str(path), "format": form} for form, path in other.items()]
    lines = rotated(stage)
    own = stage.cli("audit", "show", str(stage.audit_file), "--credential", "alpha").out
    for path in other.values():
        assert len(path.read_text().splitlines()) == len(lines)
        assert stage.cli("audit", "verify", str(path)).code == 0
        assert stage.cli("audit", "show", str(path), "--credential", "alpha").out == own
    assert "has new tokens" in own


def test_an_unknown_format_is_refused(stage: Stage) -> None:
    """With those that there are."""
    stage.ready()
    stage.config["audit"][0]["format"] = "cef"
    ended = stage.cli("check")
    assert ended.code == 2
    assert "audit[0].format" in ended.err
    assert "cloudevents" in ended.err
