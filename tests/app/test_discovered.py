"""Credentials that are found in a store, in every mode."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from rotator.operations import Operations
from rotator.testing.sandbox import DEFAULT_CLIENT_ID
from tests.app.daemons import running
from tests.app.stage import poll

if TYPE_CHECKING:
    from tests.app.stage import Stage


def found_by(stage: Stage, **rule: Any) -> None:
    """Configure a rule in the place of credentials."""
    stage.config["discover"] = [
        {
            "provider": "acme",
            "prefix": "app/",
            "client_id": DEFAULT_CLIENT_ID,
            "client_secret": {"env": "CLIENT_SECRET"},
            **rule,
        }
    ]


def seeded(stage: Stage, *names: str) -> None:
    """Put documents into the store, as another program does."""
    before, stage.config["credentials"] = stage.config["credentials"], []
    for name in names:
        stage.credential(name)
    app = stage.app("operator")
    for name in names:
        Operations(app).put(app.credential(name), json.dumps(stage.face().login(DEFAULT_CLIENT_ID)))
    stage.config["credentials"] = before


def test_a_pass_rotates_what_it_finds(stage: Stage) -> None:
    """Found and configured credentials alike; one that lies elsewhere in the store is left alone."""
    seeded(stage, "app/one", "app/two", "other/three")
    stage.ready("alpha")
    found_by(stage)
    ended = stage.cli("once", "--force", "--json")
    assert ended.code == 0
    assert [one["name"] for one in ended.json["rotated"]] == ["alpha", "app/one", "app/two"]


def test_a_found_credential_has_a_name_like_any_other(stage: Stage) -> None:
    """Commands that take a name take it, and `status` shows it."""
    seeded(stage, "app/one")
    found_by(stage)
    assert stage.cli("once", "--force", "--name", "app/one").code == 0
    assert stage.cli("explain", "app/one").code == 0
    assert [one["name"] for one in stage.cli("status", "--json").json["credentials"]] == ["app/one"]
    assert "app/nobody" in stage.cli("explain", "app/nobody").err


def test_a_rule_that_cannot_be_followed_stops_nobody_else(stage: Stage) -> None:
    """What is configured is rotated all the same; the exit code and stderr say that something is missing."""
    stage.config["stores"]["gone"] = {"type": "vault", "address": "http://127.0.0.1:9", "mount": "secret"}
    stage.env["VAULT_TOKEN"] = "t"
    stage.credential("alpha", store="main")
    stage.seed("alpha")
    found_by(stage, store="gone")
    process = stage.spawn("once", "--force", "--json")
    ended = stage.ended(process)
    assert [one["name"] for one in ended.json["rotated"]] == ["alpha"]
    assert ended.code == 75
    assert "discover[0]" in ended.err


def test_the_daemon_takes_in_what_is_found_later_and_drops_what_is_gone(real_stage: Stage) -> None:
    """Neither needs a restart; what is new is read before it is planned."""
    stage = real_stage
    seeded(stage, "app/one")
    found_by(stage)

    def seen() -> set[str]:
        return {name for name, one in list(daemon.daemon._fleet.watched.items()) if one.version}

    with running(stage, check_s=0.2) as daemon:
        poll(lambda: seen() == {"app/one"}, "the first one was read")
        seeded(stage, "app/two")
        poll(lambda: seen() == {"app/one", "app/two"}, "the second one was read")
        with closing(sqlite3.connect(stage.folder / "secrets.db")) as connection, connection:
            connection.execute("DELETE FROM secret WHERE name = 'app/one'")
        poll(lambda: seen() == {"app/two"}, "the first one was dropped")


def test_the_daemon_notices_an_edit_of_a_found_credential(real_stage: Stage) -> None:
    """A rule's own listing shows versions: a document that was put is looked at with the next one."""
    stage = real_stage
    seeded(stage, "app/one")
    found_by(stage)
    with running(stage, check_s=0.2) as daemon:
        poll(lambda: daemon.noted("running"), "the start")
        seeded(stage, "app/one")
        poll(lambda: daemon.noted("changed in the store"), "the change")


def test_a_configuration_without_credentials_needs_a_rule(stage: Stage) -> None:
    """Neither is an error that says what to do; a rule for everything is refused."""
    ended = stage.cli("check")
    assert ended.code == 2
    assert "discover" in ended.err
    stage.config["discover"] = [{"provider": "acme"}]
    ended = stage.cli("check")
    assert ended.code == 2
    assert "would take every secret of the store" in ended.err
    stage.config["discover"] = [{"prefix": "app/", "provider": "nobody"}]
    assert "there is no provider 'nobody'" in stage.cli("check").err
    stage.config["discover"] = [{"prefix": "app/", "store": "nowhere", "provider": "acme"}]
    assert "there is no store 'nowhere'" in stage.cli("check").err
