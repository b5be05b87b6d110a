"""A state that was lost, or restored from a backup that is older than the last rotations."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from tests.app.stage import real_stage, stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.app.stage import Stage

__all__ = ["real_stage", "stage"]


def backed_up(stage: Stage) -> Callable[[], None]:
    """Copy the state's file, and return what puts the copy back in its place."""
    path = stage.folder / "state.db"
    copy = stage.folder / "state.backup"
    shutil.copy(path, copy)

    def restore() -> None:
        path.unlink()
        shutil.copy(copy, path)

    return restore


def lost(stage: Stage) -> Callable[[], None]:
    return (stage.folder / "state.db").unlink


def without_records(stage: Stage) -> Callable[[], None]:
    """Return what makes a new, empty state of the kind that a restored table without items is."""

    def empty() -> None:
        with contextlib.closing(sqlite3.connect(stage.folder / "state.db")) as connection, connection:
            connection.execute("DELETE FROM record")

    return empty


BACKUPS = {"an older record": backed_up, "no file": lost, "an empty table": without_records}


def rotated(stage: Stage, times: int = 1) -> None:
    for _ in range(times):
        stage.until_due()
        assert stage.cli("once").code == 0


@pytest.mark.parametrize("backup", BACKUPS)
def test_a_restore_between_rotations_costs_nothing(stage: Stage, backup: str) -> None:
    """The document holds a token that nobody presented: the next pass refreshes it as ever, and claims begin anew."""
    stage.ready()
    rotated(stage)
    restore = BACKUPS[backup](stage)
    rotated(stage, 2)
    restore()
    rotated(stage, 2)
    report = stage.face().report
    assert (report.spent_twice, report.reuse_detections) == ((), 0)
    assert stage.is_live()


@pytest.mark.parametrize("backup", BACKUPS)
def test_a_restore_during_a_doubt_presents_the_token_again_and_destroys_nothing(stage: Stage, backup: str) -> None:
    """The one case that a restored state costs a grant: the doubt is forgotten and the token goes out once more. The
    provider's answer is latched and reported once, and the document keeps what it had.
    """
    stage.ready()
    rotated(stage)
    restore = BACKUPS[backup](stage)
    rotated(stage)
    stage.until_due()
    stage.face().fault("drop_after_processing")
    assert stage.cli("once", "--horizon", "1s").code == 75
    before = stage.document()
    restore()
    ended = stage.cli("once")
    assert (ended.code, "latched" in ended.out, "rotator put alpha" in ended.out) == (1, True, True)
    assert stage.document() == before
    assert stage.cli("once", "--force").code == 1
    assert stage.event_names().count("credential.reauthorization_required") == 1
    assert stage.face().report.requests == 4  # the two before, the lost one and the one that the restore allowed
    stage.seed()
    assert stage.cli("once", "--force").code == 0
    assert stage.is_live()


def test_the_audit_trail_tells_which_credentials_need_a_login(stage: Stage) -> None:
    """The operator's step: where the last `rotation.started` names the version that the store still shows, the token
    was presented and no successor is stored. Those credentials, and no others, have to log in again.
    """
    stage.ready("alpha", "beta", "gamma")
    rotated(stage)
    restore = backed_up(stage)
    stage.until_due()
    stage.face().fault("drop_after_processing")
    stage.cli("once", "--horizon", "1s", "--name", "beta")
    stage.cli("once", "--name", "gamma")
    restore()
    started = {
        event["credential"]: event["version_before"] for event in stage.events if event["event"] == "rotation.started"
    }
    spent = {name for name, version in started.items() if stage.version(name) == version}
    assert spent == {"beta"}
    stage.seed("beta")
    assert stage.cli("once", "--force").code == 0
    assert stage.face().report.spent_twice == ()
    assert all(stage.is_live(name) for name in ("alpha", "beta", "gamma"))


def test_document_and_state_from_one_backup_cost_the_grant_and_nothing_else(stage: Stage) -> None:
    """With both restored nothing is left that could know of the spent token; the provider's answer is latched, once."""
    stage.ready()
    rotated(stage)
    for name in ("state.db", "secrets.db"):
        shutil.copy(stage.folder / name, stage.folder / f"{name}.backup")
    rotated(stage)
    for name in ("state.db", "secrets.db"):
        (stage.folder / name).unlink()
        shutil.copy(stage.folder / f"{name}.backup", stage.folder / name)
    before = stage.document()
    for _ in range(2):
        assert stage.cli("once", "--force").code == 1
    assert stage.document() == before
    assert stage.event_names().count("credential.reauthorization_required") == 1
    assert stage.face().report.requests == 3


def test_an_old_document_alone_is_never_sent(stage: Stage) -> None:
    """With the state in place a document from a backup is known by its claim: not sent, and a person is asked."""
    stage.ready()
    shutil.copy(stage.folder / "secrets.db", stage.folder / "secrets.backup")
    rotated(stage)
    (stage.folder / "secrets.db").unlink()
    shutil.copy(stage.folder / "secrets.backup", stage.folder / "secrets.db")
    stage.advance(3600)
    ended = stage.cli("once", "--force")
    assert (ended.code, "already spent" in ended.out) == (1, True)
    assert stage.face().report.requests == 1
