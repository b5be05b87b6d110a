"""`rotator status` and `rotator explain`: what is said of each state."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.app import situations

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.app.stage import Stage

KEYS = [
    "name",
    "provider",
    "store",
    "state",
    "expires_at",
    "next_refresh_at",
    "last_rotated_at",
    "reason",
    "action",
]

PUT = "log in again and put the new token set: rotator put alpha"

STATES = [
    # situation, state, a person is needed, reason, action
    (situations.fresh, "fresh", False, "not due before 2026-01-01T00:53:", ""),
    (situations.due, "due", False, "its access token expires in less than 360 s", ""),
    (situations.of_unknown_expiry, "due", False, "its expiry is unknown", ""),
    (
        situations.in_doubt,
        "in_doubt",
        False,
        "the reply to a refresh was lost at 2026-01-01T00:55:00Z",
        "or wait: it is tried once more",
    ),
    (situations.in_doubt_for_a_person, "in_doubt", True, "the reply to a refresh was lost", "rotator resolve alpha"),
    (situations.in_doubt_twice, "in_doubt", True, "for the second time", "log in again: rotator put alpha"),
    (situations.in_doubt_elsewhere, "in_doubt", False, "may lie in the escrow of other/1/x", "let that holder run"),
    (situations.latched, "latched", True, "the provider rejected this refresh token (invalid_grant)", PUT),
    (situations.cooling_down, "cooling_down", False, "rate_limited", ""),
    (situations.cooling_down_after_a_failure, "cooling_down", False, "provider_unavailable", ""),
    (situations.cooling_down_beside_another, "cooling_down", False, "rate_limited", ""),
    (situations.misconfigured, "unusable", True, "invalid_client", "client"),
    (situations.without_refresh_token, "unusable", True, "it has no refresh_token", "rotator put alpha"),
    (situations.missing, "unusable", True, "no secret alpha in ", "seed it with rotator put alpha"),
    (situations.held, "due", False, "other/1/x is at work on it", ""),
    (situations.stale, "due", False, "the store shows a refresh token that is already spent", ""),
    (situations.put_back, "unusable", True, "an old version was put back", "put the newer version back"),
    (situations.waiting_in_escrow, "due", False, "its successor waits in escrow", ""),
]


@pytest.mark.parametrize(
    ("bring_about", "state", "person", "reason", "action"), STATES, ids=[row[0].__name__ for row in STATES]
)
def test_each_state_is_told(
    stage: Stage, bring_about: Callable[[Stage], None], state: str, person: bool, reason: str, action: str
) -> None:
    """`status --json` tells the state, why, and what to do, and ends with 1 exactly when a person is needed."""
    bring_about(stage)
    requests = stage.face().report.requests

    ended = stage.cli("status", "--json")

    [shown] = ended.json["credentials"]
    assert list(shown) == KEYS
    assert (shown["name"], shown["provider"], shown["store"]) == ("alpha", "acme", "main")
    assert shown["state"] == state
    assert reason in shown["reason"]
    assert action in shown["action"]
    assert bool(action) == bool(shown["action"])
    assert ended.code == (1 if person else 0)
    assert stage.face().report.requests == requests


def test_times_are_rfc_3339_in_utc(stage: Stage) -> None:
    """Expiry, next refresh and last rotation come as instants with a Z; what is unknown is null."""
    situations.due(stage)
    stage.cli("once")
    stage.credential("beta")

    rotated, unseeded = stage.cli("status", "--json").json["credentials"]

    assert rotated["expires_at"] == "2026-01-01T01:59:30Z"
    assert rotated["last_rotated_at"] == "2026-01-01T00:59:30Z"
    assert re.fullmatch(r"2026-01-01T01:5[23]:\d\dZ", rotated["next_refresh_at"])
    assert [unseeded[key] for key in KEYS[4:7]] == [None, None, None]


def test_a_store_that_is_away_is_no_persons_business(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not answer shows as cooling down with the reason, and the code is 0."""
    stage.ready()
    from rotator.errors import StoreUnavailable

    def away(*_: object) -> None:
        raise StoreUnavailable("store main: no answer", hint="run again")

    monkeypatch.setattr("rotator.stores.local.LocalSecretStore.read", away)

    ended = stage.cli("status", "--json")

    [shown] = ended.json["credentials"]
    assert (shown["state"], shown["reason"], shown["action"]) == ("cooling_down", "store main: no answer", "run again")
    assert ended.code == 0


def test_the_table_has_a_line_for_each_credential(stage: Stage) -> None:
    """Without `--json` each credential has its line: state, times relative to now, and for trouble what to do."""
    situations.latched(stage)
    stage.ready("beta")
    stage.credential("gamma")

    ended = stage.cli("status")

    lines = ended.out.splitlines()
    assert lines[0].split() == ["NAME", "PROVIDER", "STATE", "EXPIRES", "NEXT", "ROTATED", "WHAT", "TO", "DO"]
    assert [line.split()[:6] for line in lines if line.startswith(("alpha", "beta"))] == [
        ["alpha", "acme", "latched", "in", "30s", "-"],
        ["beta", "acme", "fresh", "in", "60m", "in"],
    ]
    assert any(line.startswith("gamma") for line in lines)
    assert ended.code == 1


def test_the_whole_advice_is_readable_in_a_pipe(stage: Stage) -> None:
    """Where stdout is no terminal, names and commands come whole, however long they are."""
    name = "payroll-export-for-the-northern-branch-2026"
    stage.credential(name)

    out = stage.cli("status").out

    assert name in out
    assert "rotator put" in out


def test_brackets_in_a_message_are_text(stage: Stage) -> None:
    """A path or message with square brackets is shown as it is, and is no markup of the table."""
    stage.config["stores"]["main"]["path"] = str(stage.folder / "[red]" / "[/b] secrets.db")
    stage.credential()

    ended = stage.cli("status")

    assert "[/b]" in ended.out.replace("\n", "")
    assert ended.code == 1


# ------------------------------------------------------------------------------------------------------- explain

DECISIONS = [
    (situations.fresh, "Fresh: the next run leaves it alone"),
    (situations.due, "Due: the next run refreshes it"),
    (
        situations.in_doubt,
        "InDoubt: log in again (rotator put alpha), or wait: it is tried once more",
    ),
    (
        situations.in_doubt_for_a_person,
        "InDoubt: a person decides: log in again (rotator put alpha), or rotator",
    ),
    (situations.latched, f"Latched: a person is needed: {PUT}"),
    (situations.cooling_down, "CoolingDown: the next run waits"),
    (situations.misconfigured, "CoolingDown: the next run waits; "),
    (situations.without_refresh_token, "Unusable: a person is needed: rotator put alpha"),
    (situations.held, "Held: the next run leaves it to its holder"),
    (situations.stale, "Stale: the next run reads again"),
    (situations.waiting_in_escrow, "Recover: the next run writes back what waits in escrow, without a request"),
]


@pytest.mark.parametrize(("bring_about", "decision"), DECISIONS, ids=[row[0].__name__ for row in DECISIONS])
def test_each_decision_is_explained(stage: Stage, bring_about: Callable[[Stage], None], decision: str) -> None:
    """`explain` names the decision and what the next run does, ends with 0, and spends nothing."""
    bring_about(stage)
    requests = stage.face().report.requests

    ended = stage.cli("explain", "alpha")

    assert ended.out.startswith("alpha: ")
    assert f"  decision          {decision}" in ended.out
    assert f"  provider          acme, {stage.face().token_endpoint}\n" in ended.out
    assert ended.code == 0
    assert stage.face().report.requests == requests


def test_the_query_of_an_endpoint_is_not_explained(stage: Stage) -> None:
    """Promise 7: `explain` shows the address without its query, which may hold an API key."""
    stage.provider("acme", token_endpoint=f"{stage.face().token_endpoint}?code=canary")
    stage.ready()

    ended = stage.cli("explain", "alpha")

    assert f"{stage.face().token_endpoint}?…\n" in ended.out
    assert "canary" not in ended.out + ended.err


def test_a_last_try_is_explained(stage: Stage) -> None:
    """A doubt whose last try has come is told as one more presentation."""
    situations.in_doubt(stage)
    stage.advance(200)

    ended = stage.cli("explain", "alpha")

    assert "Due: the next run presents the refresh token one more time" in ended.out


def test_the_facts_behind_a_decision_are_listed(stage: Stage) -> None:
    """Times, last rotation, claims, lease, pause, cooldown, the refresh token's end and escrow each have a line."""
    stage.provider("acme", refresh_token_absolute="30d")
    situations.due(stage)
    stage.cli("once")
    stage.until_due()
    stage.face().fault("rate_limited", wait_s=600)
    stage.cli("once")
    facts = stage.cli("explain", "alpha").out
    stage.advance(601)
    situations.crash_before_the_write(stage)
    crashed = stage.cli("explain", "alpha").out

    for line in (
        r"  issued            2026-01-01T00:59:30Z \((59|60)m ago\)",
        r"  expires           2026-01-01T01:59:30Z \(in 30s\)",
        r"  due               2026-01-01T01:5\d:\d\dZ \([56]m ago\)",
        r"  last rotation     2026-01-01T00:59:30Z \((59|60)m ago\), [0-9a-f-]{36}",
        r"  claim             [0-9a-f]{8}… settled, 2026-01-01T00:59:30Z \((59|60)m ago\), tries 1",
        r"  pause             rate_limited until 2026-01-01T02:09:00Z \(in 10m\): ",
        r"  provider cooldown until 2026-01-01T02:09:00Z \(in 10m\)",
        r"  refresh token     ends 2026-01-31T00:00:00Z \(in 30d\)",
    ):
        assert re.search(line, facts), line
    for line in (
        r"  claim             [0-9a-f]{8}… open, ",
        r"  lease             \S+ until 2026-01-01T02:09:\d\dZ \(in \d\ds\)",
        r"  escrow            tokens of 2026-01-01T02:09:01Z \(in 0s\)",
    ):
        assert re.search(line, crashed), line


def test_explain_knows_the_horizon(stage: Stage) -> None:
    """With `--horizon`, what falls due within it is told as due."""
    stage.ready()
    stage.advance(3600 - 6 * 60 - 10 * 60)

    assert "Fresh:" in stage.cli("explain", "alpha").out
    assert "Due:" in stage.cli("explain", "alpha", "--horizon", "15m").out


def test_explaining_an_unknown_expiry_says_unknown(stage: Stage) -> None:
    """Where no expiry is known, the line says so."""
    situations.of_unknown_expiry(stage)

    out = stage.cli("explain", "alpha").out

    assert "  expires           unknown\n" in out


def test_what_cannot_be_read_ends_explain_with_its_error(stage: Stage) -> None:
    """A missing secret ends with 1 and the hint, on stderr."""
    stage.credential()

    ended = stage.cli("explain", "alpha")

    assert (ended.code, ended.out) == (1, "")
    assert "no secret alpha" in ended.err
    assert "→ seed it with rotator put alpha" in ended.err


def test_an_unknown_name_is_bad_usage(stage: Stage) -> None:
    """A name that is not configured ends with 2 and the name that was probably meant."""
    stage.ready()

    ended = stage.cli("explain", "alhpa")

    assert (ended.code, ended.out) == (2, "")
    assert "did you mean 'alpha'?" in ended.err
