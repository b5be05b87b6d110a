"""`rotator escrow list` and `rotator escrow replay`, after a process died between escrow and store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rotator.errors import StoreUnavailable
from rotator.testing.sandbox import DEFAULT_CLIENT_ID
from tests.app import situations

if TYPE_CHECKING:
    from tests.app.stage import Stage


def test_nothing_waits(stage: Stage) -> None:
    """With an empty escrow both commands end with 0 and say nothing."""
    stage.ready()

    assert [(ended.code, ended.out) for ended in (stage.cli("escrow", "list"), stage.cli("escrow", "replay"))] == [
        (0, ""),
        (0, ""),
    ]
    assert stage.cli("escrow", "list", "--json").json == {"entries": []}


def test_list_shows_what_waits(stage: Stage) -> None:
    """Each entry has its line, the credential's name first; `--json` has the same facts; neither holds a token."""
    situations.waiting_in_escrow(stage)
    rotation_id = stage.events[-1]["rotation_id"]
    identity = f"local:{stage.folder / 'secrets.db'}#alpha"

    line = stage.cli("escrow", "list")
    listed = stage.cli("escrow", "list", "--json")

    assert line.out == f"alpha\ttokens\t2026-01-01T00:59:30Z\t{rotation_id}\t{identity}\n"
    assert listed.json == {
        "entries": [
            {
                "name": "alpha",
                "kind": "tokens",
                "since": "2026-01-01T00:59:30Z",
                "rotation_id": rotation_id,
                "secret": identity,
            }
        ]
    }


def test_replay_writes_back_without_a_request(stage: Stage) -> None:
    """What waits comes into the store, the escrow is empty, and the provider is not asked."""
    situations.waiting_in_escrow(stage)
    old = stage.document()["refresh_token"]

    ended = stage.cli("escrow", "replay")

    assert ended.code == 0
    assert ended.out.startswith("alpha: rotated, expires 2026-01-01T01:59:30Z (version 2)")
    assert stage.document()["refresh_token"] != old
    assert stage.is_live()
    assert stage.cli("escrow", "list").out == ""
    assert stage.face().report.requests == 1
    assert stage.event_names()[-2:] == ["escrow.replayed", "rotation.succeeded"]


def test_a_pass_does_the_same(stage: Stage) -> None:
    """The next pass of anybody writes back what waits, without a request."""
    situations.waiting_in_escrow(stage)

    assert stage.cli("once").code == 0
    assert stage.is_live()
    assert stage.face().report.requests == 1


def test_replay_leaves_to_its_holder_what_is_in_work(stage: Stage) -> None:
    """While the holder's lease lasts, the entry stays and the code is 75."""
    stage.ready()
    stage.until_due()
    situations.crash_before_the_write(stage)

    ended = stage.cli("escrow", "replay")

    assert ended.code == 75
    assert ended.out.startswith("alpha: deferred (held), again at 2026-01-01T01:00:0")
    assert stage.cli("escrow", "list").out.startswith("alpha\t")


def test_tokens_of_a_secret_that_nobody_configures_need_a_person(stage: Stage) -> None:
    """An entry whose credential left the configuration is told with what to do, and stays."""
    stage.ready("alpha", "beta")
    stage.until_due()
    situations.crash_before_the_write(stage, "alpha", "beta")
    stage.advance(60)
    del stage.config["credentials"][1]

    ended = stage.cli("escrow", "replay")

    assert ended.code == 1
    assert "alpha: rotated" in ended.out
    assert "beta: needs a person (not_configured): tokens of local:" in ended.out
    assert "→ add the credential to the configuration" in ended.out
    assert stage.cli("escrow", "list").out.startswith("beta\t")


def test_a_renamed_credential_is_found_by_its_secret(stage: Stage) -> None:
    """The entry belongs to the secret: another name in the configuration finds it as well."""
    situations.waiting_in_escrow(stage)
    stage.config["credentials"][0] |= {"name": "renamed", "secret": "alpha"}

    ended = stage.cli("escrow", "replay")

    assert ended.code == 0
    assert ended.out.startswith("renamed: rotated")


def test_a_store_that_is_away_is_temporary(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the store away, a configured credential's entry is put off, not called unknown."""
    situations.waiting_in_escrow(stage)

    def away(*_: object) -> None:
        raise StoreUnavailable("store main: no answer", hint="run again")

    with monkeypatch.context() as patched:
        patched.setattr("rotator.stores.local.LocalSecretStore.read", away)
        ended = stage.cli("escrow", "replay")

    assert ended.code == 75
    assert ended.out == "alpha: deferred (store_unavailable): store main: no answer (run again)\n"
    assert stage.cli("escrow", "replay").code == 0


def test_a_credential_without_entry_has_no_part_in_a_replay(stage: Stage) -> None:
    """A secret that is missing elsewhere changes neither output nor code."""
    situations.waiting_in_escrow(stage)
    stage.credential("unseeded")

    ended = stage.cli("escrow", "replay")

    assert ended.code == 0
    assert "unseeded" not in ended.out


def test_a_document_that_cannot_be_used_keeps_its_entry_in_view(stage: Stage) -> None:
    """When somebody broke the document meanwhile, replay says so and asks for a person."""
    situations.waiting_in_escrow(stage)
    stage.write(refresh_token=None)

    ended = stage.cli("escrow", "replay")

    assert ended.code == 1
    assert "alpha: needs a person (unusable): " in ended.out
    assert stage.cli("escrow", "list").out.startswith("alpha\t")


def test_a_person_who_put_a_new_token_wins(stage: Stage) -> None:
    """When a new token set was put meanwhile, replay leaves the document alone."""
    situations.waiting_in_escrow(stage)
    answer = stage.face().login(DEFAULT_CLIENT_ID)
    stage.write(**answer)

    ended = stage.cli("escrow", "replay")

    assert (ended.code, ended.out) == (0, "")
    assert stage.document()["refresh_token"] == answer["refresh_token"]


def test_a_written_entry_is_only_settled(stage: Stage) -> None:
    """When the document already holds the successor, replay settles without another version."""
    situations.due(stage)
    app = stage.app()

    def crash(*_: object, **__: object) -> None:
        raise situations.Crash

    app.escrow.clear = crash  # type: ignore[method-assign]  # this instance only
    with pytest.raises(situations.Crash):
        app.passes.run(app.credentials, horizon_s=900.0)

    ended = stage.cli("escrow", "replay")

    assert ended.code == 0
    assert stage.version() == "2"
    assert stage.cli("escrow", "list").out == ""


def test_a_damaged_entry_is_named(stage: Stage) -> None:
    """An entry that cannot be decoded ends both commands with 1 and its file's name."""
    situations.waiting_in_escrow(stage)
    [entry] = [file for file in (stage.folder / "escrow").iterdir() if file.suffix == ".json"]
    entry.write_text("{")

    for command in ("list", "replay"):
        ended = stage.cli("escrow", command)
        assert ended.code == 1
        assert entry.name in ended.err
