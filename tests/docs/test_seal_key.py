"""Changing the seal key, as docs/security.md has it, done for real; and what an overlooked entry leads to."""

from __future__ import annotations

import base64
import shutil
from typing import TYPE_CHECKING

import pytest

from rotator.testing.sandbox import DEFAULT_CLIENT_SECRET
from tests.app import situations
from tests.app.stage import real_stage, stage
from tests.docs.pages import DOCS, Page
from tests.docs.shell import clone_in, run_in_bash

if TYPE_CHECKING:
    from pathlib import Path

    from tests.app.stage import Stage

__all__ = ["real_stage", "stage"]

STEPS = Page(DOCS / "security.md").steps("seal key")


def key(first: int) -> str:
    return base64.b64encode(bytes(range(first, first + 32))).decode()


@pytest.fixture
def sealed(stage: Stage) -> Stage:
    """The escrow inside the state, sealed with a key of a file."""
    (stage.folder / "var").mkdir()
    file = stage.folder / "var" / "seal.key"
    file.write_text(key(0))
    file.chmod(0o600)
    stage.config |= {"escrow": {"type": "state"}, "seal": {"key_file": str(file)}}
    return stage


def change_key(stage: Stage, first: int) -> None:
    (stage.folder / "var" / "seal.key").write_text(key(first))


def test_the_key_is_changed_by_the_page_alone(real_stage: Stage, tmp_path: Path) -> None:
    """The steps change the key and prove it; before and after, the credential is rotated, each token once."""
    stage = real_stage
    folder = clone_in(tmp_path / "home")
    (folder / "var").mkdir()
    (folder / "var" / "seal.key").write_text(key(0))
    (folder / "var" / "seal.key").chmod(0o600)
    stage.config |= {"escrow": {"type": "state"}, "seal": {"key_file": str(folder / "var" / "seal.key")}}
    stage.ready()
    shutil.copy(stage.save(), folder / "config" / "rotator.yaml")
    setting = f'export PATH="$PWD/.venv/bin:$PATH" CLIENT_SECRET={DEFAULT_CLIENT_SECRET}\n'

    ended = run_in_bash(f"{setting}rotator once --force\n{''.join(STEPS)}\nrotator once --force", folder)

    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    assert (folder / "var" / "seal.key").read_text() != (folder / "var" / "seal-before.key").read_text() == key(0)
    assert [event["event"] for event in stage.events].count("rotation.succeeded") == 2
    assert stage.face().report.requests == 2
    assert stage.face().report.reuse_detections == 0


def test_an_entry_that_was_overlooked_stops_its_credential(sealed: Stage) -> None:
    """With the new key it does not open: exit 1, nothing is sent; with the old one back it is written."""
    situations.waiting_in_escrow(sealed)
    change_key(sealed, 100)

    stopped = sealed.cli("once", "--force")

    assert stopped.code == 1
    assert "use the seal key that it was sealed with" in stopped.out
    assert sealed.cli("status", "--json").json["credentials"][0]["state"] == "unusable"
    assert sealed.cli("check", "--live").code == 1
    assert sealed.cli("escrow", "list").out.startswith("alpha\ttokens")
    assert sealed.face().report.requests == 1

    change_key(sealed, 0)
    assert sealed.cli("escrow", "replay").code == 0
    change_key(sealed, 100)
    assert sealed.cli("once", "--force").code == 0
    assert sealed.is_live()
    assert sealed.face().report.requests == 2


def test_claims_outlive_the_key(sealed: Stage) -> None:
    """A token that was presented under the old key is known to be so under the new one."""
    situations.due(sealed)
    before = sealed.document()["refresh_token"]
    assert sealed.cli("once").code == 0
    change_key(sealed, 100)

    sealed.write(refresh_token=before)  # an old copy of the document comes back

    assert sealed.cli("once", "--force").code in {1, 75}
    assert sealed.face().report.requests == 1
    assert sealed.face().report.reuse_detections == 0
