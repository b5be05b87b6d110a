"""One grant behind two names, so that two records hold claims on one refresh token."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from rotator.bulk import read_each
from rotator.errors import StoreUnavailable
from tests.app.daemons import expiring, running
from tests.app.stage import Stage, poll, real_stage, stage

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["real_stage", "stage"]


def test_a_copy_that_could_not_be_read_at_the_start_is_refused_all_the_same(
    real_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 1: two documents hold one refresh token, and the store of one of them is away while the daemon starts."""
    stage = real_stage
    stage.config["stores"]["second"] = {"type": "local", "path": str(stage.folder / "second.db")}
    stage.credential("alpha", store="main")
    stage.credential("beta", store="second")
    stage.seed("alpha")
    stage.seed("beta")
    stage.write("beta", refresh_token=stage.document("alpha")["refresh_token"])
    expiring(stage, "alpha")
    expiring(stage, "beta")
    monkeypatch.setattr("rotator.retrying.FIRST_WAIT_S", 0.01)
    monkeypatch.setattr("rotator.dispatch.AWAY_S", 0.1)
    app = stage.app("daemon", pause_s=0.3)
    store: Any = app.stores["second"]
    away = [True]
    real = store.read

    def read(secret: str) -> Any:
        if away[0]:
            raise StoreUnavailable("store second: no answer")
        return real(secret)

    store.read = read
    store.read_many = lambda secrets: read_each(read, secrets)
    with running(stage, app, check_s=180.0) as daemon:
        poll(lambda: daemon.rotated("alpha"), "the first of the two")
        before = len(daemon.of("beta"))
        away[0] = False
        poll(lambda: [one for one in daemon.of("beta")[before:] if "no answer" not in str(one)], "a look at the other")

    assert stage.face().report.spent_twice == ()
    assert stage.is_live("alpha")


def test_a_copy_that_comes_shortly_before_its_turn_is_refused(real_stage: Stage) -> None:
    """Promise 1: without any fault, a person copies one document into another between two listings of versions."""
    stage = real_stage
    stage.provider("acme", refresh_before_expiry="10s")
    stage.ready("alpha", "beta")
    expiring(stage, "alpha", in_s=18)
    expiring(stage, "beta", in_s=14)
    with running(stage, check_s=180.0) as daemon:
        stage.write("beta", refresh_token=stage.document("alpha")["refresh_token"])
        poll(lambda: daemon.of("beta"), "the copy's turn")
        poll(lambda: daemon.of("alpha"), "the original's turn")

    assert stage.face().report.spent_twice == ()


@pytest.mark.parametrize("how", ["as it was", "linked"])
def test_a_local_store_that_is_found_by_another_path_is_the_same_store(stage: Stage, how: str) -> None:
    """Promise 1: a doubt that waits for an operator stands when the folder was moved, or is named through a link."""
    for database in ("secrets.db", "state.db"):
        (stage.folder / "var").mkdir(exist_ok=True)
        key = "stores" if database == "secrets.db" else "state"
        place = stage.config["stores"]["main"] if key == "stores" else stage.config["state"]
        place["path"] = str(stage.folder / "var" / database)
    stage.config["escrow"]["path"] = str(stage.folder / "var" / "escrow")
    stage.provider("acme", on_doubt="operator")
    stage.ready()
    stage.advance(3600 - 300)
    stage.face().fault("drop_after_processing")
    stage.cli("once", "--horizon", "60s")
    stage.advance(100)

    _elsewhere(stage, stage.folder / "var", stage.folder / "data", how)
    stage.cli("once")

    assert stage.face().report.spent_twice == ()


@pytest.mark.parametrize("how", ["as it was", "linked"])
def test_a_successor_in_escrow_is_found_when_the_store_is_found_by_another_path(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Promise 2: tokens wait in the file escrow, and the folder of store, state and escrow gets another name."""
    var = stage.folder / "var"
    var.mkdir()
    stage.config["stores"]["main"]["path"] = str(var / "secrets.db")
    stage.config["state"]["path"] = str(var / "state.db")
    stage.config["escrow"]["path"] = str(var / "escrow")
    stage.ready()
    stage.until_due()
    with monkeypatch.context() as patched:
        from rotator.stores.local import LocalSecretStore

        def down(*_: object, **__: object) -> Any:
            raise StoreUnavailable("store main: no answer")

        patched.setattr(LocalSecretStore, "compare_and_swap", down)
        stage.cli("once")
    assert "alpha" in stage.cli("escrow", "list").out, "the new tokens wait"

    _elsewhere(stage, var, stage.folder / "data", how)
    stage.advance(100)
    stage.cli("once")

    assert stage.face().report.spent_twice == ()
    assert stage.is_live()


def _elsewhere(stage: Stage, before: Path, after: Path, how: str) -> None:
    match how:
        case "moved":
            shutil.move(before, after)
        case "linked":
            after.symlink_to(before)
        case _:
            return
    stage.config["stores"]["main"]["path"] = str(after / "secrets.db")
    stage.config["state"]["path"] = str(after / "state.db")
    stage.config["escrow"]["path"] = str(after / "escrow")
