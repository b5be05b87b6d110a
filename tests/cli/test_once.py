"""`rotator once`: one pass, its results and its exit codes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from rotator.reports import instant
from rotator.testing.sandbox import DEFAULT_CLIENT_SECRET

if TYPE_CHECKING:
    from tests.app.stage import Stage


def rfc3339(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat().replace("+00:00", "Z")


def test_what_is_not_due_is_left_alone(stage: Stage) -> None:
    """A pass with nothing due ends with 0, says so, and asks the provider nothing."""
    stage.ready("alpha", "beta")

    ended = stage.cli("once")

    assert (ended.code, stage.face().report.requests) == (0, 0)
    assert ended.out.count(": fresh until 2026-01-01T00:") == 2
    assert ended.err == ""


def test_what_is_due_is_rotated(stage: Stage) -> None:
    """A due credential gets new tokens from the provider, and the document holds the ones that are live."""
    stage.ready()
    before = stage.document()
    stage.until_due()

    ended = stage.cli("once")

    after = stage.document()
    assert ended.code == 0
    assert ended.out == f"alpha: rotated, expires {rfc3339(after['expires_at'])} (version 2)\n"
    assert after["access_token"] != before["access_token"]
    assert stage.is_live()
    assert stage.event_names() == ["credential.seeded", "rotation.started", "rotation.succeeded"]


def test_json_has_the_promised_shape(stage: Stage) -> None:
    """`--json` prints one object with rotated, fresh, deferred and failed, and nothing else on stdout."""
    stage.ready("beta", "alpha")
    stage.until_due("alpha")
    stage.ready("gamma")
    stage.credential("delta")
    stage.provider("slow", face="dailypay")
    stage.credential("epsilon", provider="slow")
    stage.seed("epsilon", face="dailypay")
    now = int(stage.clock.now().timestamp())
    stage.write("epsilon", issued_at=now - 3600, expires_at=now + 10)
    stage.face("dailypay").fault("rate_limited", wait_s=90)

    ended = stage.cli("once", "--json")

    expires_at = rfc3339(stage.clock.now().timestamp() + 3600)
    assert ended.json == {
        "rotated": [
            {"name": "alpha", "expires_at": expires_at, "version": "2"},
            {"name": "beta", "expires_at": expires_at, "version": "2"},
        ],
        "fresh": 1,
        "deferred": [
            {
                "name": "epsilon",
                "reason": "rate_limited",
                "retry_at": rfc3339(stage.clock.now().timestamp() + 90),
            }
        ],
        "failed": [
            {
                "name": "delta",
                "reason": "secret_not_found",
                "error": f"store main: no secret delta in {stage.folder / 'secrets.db'}",
                "action": "seed it with rotator put delta",
            }
        ],
    }
    assert ended.out.count("\n") == 1
    assert ended.code == 1


def test_a_bad_credential_holds_no_other_up(stage: Stage) -> None:
    """With one dead grant, one unreadable document and one missing secret the others are rotated, and the code is 1."""
    stage.ready("alpha", "beta", "dead", "broken")
    stage.credential("missing")
    stage.until_due()
    stage.face().revoke(stage.face().family_of(stage.document("dead")["refresh_token"]))
    stage.write("broken", refresh_token=None)

    ended = stage.cli("once", "--json")

    assert [one["name"] for one in ended.json["rotated"]] == ["alpha", "beta"]
    assert {one["name"]: one["reason"] for one in ended.json["failed"]} == {
        "dead": "latched",
        "broken": "unusable",
        "missing": "secret_not_found",
    }
    assert ended.code == 1


def test_a_deferred_rotation_is_temporary(stage: Stage) -> None:
    """A provider that is down makes the code 75, and the line names the reason and when to try again."""
    stage.ready()
    stage.until_due()
    stage.face().fault("unavailable", wait_s=90, times=None)

    ended = stage.cli("once")

    assert ended.code == 75
    assert ended.out.startswith("alpha: deferred (provider_unavailable), again at 2026-01-01T01:01:00Z: ")
    assert stage.is_live()


def test_a_failed_line_says_what_to_do(stage: Stage) -> None:
    """A credential that needs a person is shown with the command that mends it."""
    stage.ready()
    stage.until_due()
    stage.face().revoke(1)

    ended = stage.cli("once")

    assert ended.code == 1
    assert ended.out == (
        "alpha: needs a person (latched): the provider rejected the refresh token "
        "(invalid_grant: Unknown or invalid refresh token.)\n"
        "    → log in again and put the new token set: rotator put alpha\n"
    )


@pytest.mark.parametrize(("on_doubt", "code"), [("wait_then_replay", 75), ("operator", 1)])
def test_a_doubt_ends_as_the_provider_says(stage: Stage, on_doubt: str, code: int) -> None:
    """A lost reply ends with 75 where rotator tries again by itself and with 1 where a person decides, each time."""
    stage.provider("acme", on_doubt=on_doubt)
    stage.ready()
    # One pass early enough for the last quarter of the margin to lie ahead.
    stage.advance(3600 - 300)
    stage.face().fault("drop_after_processing")

    first = stage.cli("once", "--horizon", "60s", "--json")
    again = stage.cli("once", "--horizon", "60s", "--json")

    group = "deferred" if code == 75 else "failed"
    assert [[one["reason"] for one in ended.json[group]] for ended in (first, again)] == [["in_doubt"], ["in_doubt"]]
    assert (first.code, again.code) == (code, code)
    assert stage.face().report.requests == 1


def test_names_choose_what_is_rotated(stage: Stage) -> None:
    """With `--name`, once or several times, no other credential is touched."""
    stage.ready("alpha", "beta", "gamma")
    stage.until_due()

    ended = stage.cli("once", "--name", "beta", "--name", "alpha", "--name", "beta", "--json")

    assert [one["name"] for one in ended.json["rotated"]] == ["alpha", "beta"]
    assert stage.version("gamma") == "1"


def test_unknown_names_are_told_all_at_once(stage: Stage) -> None:
    """Every unknown name is listed with the name that was probably meant, the code is 2, and nothing is done."""
    stage.ready("alpha", "beta")
    stage.until_due()

    ended = stage.cli("once", "--name", "alhpa", "--name", "beta", "--name", "betta")

    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"{stage.file}: there is no credential 'alhpa'\n    → did you mean 'alpha'?\n"
        f"{stage.file}: there is no credential 'betta'\n    → did you mean 'beta'?\n"
    )
    assert stage.face().report.requests == 0


def test_force_refreshes_what_is_not_due(stage: Stage) -> None:
    """`--force` rotates a fresh credential."""
    stage.ready()

    ended = stage.cli("once", "--force", "--json")

    assert (ended.code, [one["name"] for one in ended.json["rotated"]]) == (0, ["alpha"])
    assert [event["reason"] for event in stage.events if event["event"] == "rotation.started"] == [
        "an operator forces it"
    ]


def test_force_overrides_neither_latch_nor_cooldown(stage: Stage) -> None:
    """`--force` sends nothing for a latched token and nothing while the provider's cooldown lasts."""
    stage.ready("alpha", "beta")
    stage.face().revoke(1)
    stage.cli("once", "--force", "--name", "alpha")
    stage.face().fault("rate_limited", wait_s=600)
    stage.cli("once", "--force", "--name", "beta")
    requests = stage.face().report.requests

    ended = stage.cli("once", "--force", "--json")

    assert stage.face().report.requests == requests == 2
    assert [one["reason"] for one in ended.json["failed"]] == ["latched"]
    assert [one["reason"] for one in ended.json["deferred"]] == ["rate_limited"]


@pytest.mark.parametrize(("horizon", "rotated"), [("0", 0), ("5m", 0), ("20m", 1), ("1800", 1)])
def test_the_horizon_is_how_far_a_pass_looks_ahead(stage: Stage, horizon: str, rotated: int) -> None:
    """A token that falls due within the horizon is rotated now; one that falls due later is left."""
    stage.ready()
    stage.advance(3600 - 6 * 60 - 15 * 60)  # the margin of an hour is six minutes

    ended = stage.cli("once", "--horizon", horizon, "--json")

    assert len(ended.json["rotated"]) == rotated


def test_the_default_horizon_is_a_quarter_of_an_hour(stage: Stage) -> None:
    """Without `--horizon`, what falls due within fifteen minutes is rotated."""
    stage.ready()
    stage.advance(3600 - 6 * 60 - 14 * 60)

    assert len(stage.cli("once", "--json").json["rotated"]) == 1


@pytest.mark.parametrize("horizon", ["-5m", "soon", "5 parsecs", ""])
def test_a_horizon_that_is_no_duration_is_bad_usage(stage: Stage, horizon: str) -> None:
    """A horizon that cannot be read ends with 2 before anything is read."""
    stage.ready()

    ended = stage.cli("once", f"--horizon={horizon}")

    assert (ended.code, ended.out) == (2, "")
    assert "--horizon" in ended.err


def test_a_dry_run_changes_nothing_anywhere(stage: Stage) -> None:
    """`--dry-run` tells what is due, what is fresh and what is wrong, and leaves provider, store, state and audit."""
    stage.ready("due", "wrong", "doubt")
    stage.until_due("due")
    stage.face().fault("drop_after_processing")
    stage.cli("once", "--name", "doubt")
    stage.ready("new")
    stage.write("wrong", refresh_token=None)
    names = ("due", "wrong", "doubt", "new")
    before = (stage.face().report, [stage.version(name) for name in names], stage.records(), stage.events)

    ended = stage.cli("once", "--dry-run", "--horizon", "0", "--json")
    text = stage.cli("once", "--dry-run", "--force", "--name", "new")

    assert (stage.face().report, [stage.version(name) for name in names], stage.records(), stage.events) == before
    assert ended.json["rotated"] == []
    assert ended.json["fresh"] == 1
    assert {one["name"]: one["reason"] for one in ended.json["deferred"]} == {"due": "due", "doubt": "in_doubt"}
    assert [one["name"] for one in ended.json["failed"]] == ["wrong"]
    assert ended.code == 1
    assert (text.out, text.code) == ("new: would be rotated: an operator forces it\n", 0)


def test_a_dry_run_tells_of_a_missing_secret(stage: Stage) -> None:
    """A secret that cannot be read is told by a dry run as by a pass."""
    stage.credential()

    ended = stage.cli("once", "--dry-run")

    assert ended.code == 1
    assert "alpha: needs a person (secret_not_found)" in ended.out


def test_a_warning_of_the_server_is_shown(stage: Stage) -> None:
    """What is wrong without harm appears below the rotation, and the code stays 0."""
    stage.ready()
    stage.until_due()
    stage.write(id_token="not readable")

    ended = stage.cli("once")

    assert ended.code == 0
    assert "\n    warning: the stored id_token cannot be read" in ended.out


def test_nothing_is_spent_when_the_audit_cannot_be_written(stage: Stage) -> None:
    """With an audit file that cannot be written the pass sends nothing and ends with 75."""
    stage.ready()
    stage.until_due()
    stage.config["audit"] = [{"type": "jsonl", "path": str(stage.folder / "nowhere" / "audit.jsonl")}]

    ended = stage.cli("once")

    assert ended.code == 75
    assert stage.face().report.requests == 0
    assert stage.record().presented == ()


def test_the_answer_of_before_is_told_as_that(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a mend a refusal that stands is not asked anew for a minute: the message says so, and from when on."""
    stage.ready()
    stage.until_due()
    monkeypatch.setenv("CLIENT_SECRET", "wrong")
    assert stage.cli("once").code == 1
    monkeypatch.setenv("CLIENT_SECRET", DEFAULT_CLIENT_SECRET)
    asks = f"from {instant(stage.clock.now() + timedelta(seconds=60))} on"

    at_once = stage.cli("once", "--force")
    assert at_once.code == 1
    assert f"nothing was asked now, this is the answer of before: --force asks {asks}" in at_once.out
    assert f", or {asks} by rotator once --force --name alpha" in stage.cli("once").out

    stage.advance(61)
    assert stage.cli("once", "--force").code == 0


def test_a_token_that_has_ended_is_told_as_that(stage: Stage) -> None:
    """Not as one that ends in less than so many seconds."""
    stage.ready()
    stage.advance(7200)
    assert "its access token ended at 2026-01-01T01:00:00Z" in stage.cli("once", "--dry-run").out
