"""The plug-ins of docs/extending.md are real: installed by entry points, proved by the suites, run end to end."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

from rotator.testing.sandbox import DEFAULT_CLIENT_SECRET, SandboxServer, dailypay_face
from tests.docs.pages import DOCS, ROOT, Page

if TYPE_CHECKING:
    from pathlib import Path

PAGES = [Page(DOCS / "extending.md"), Page(DOCS / "example-plug-in.md")]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with the files of the page, and the entry points as an installer would lay them out."""
    for block in (block for page in PAGES for block in page.blocks):
        if block.mark.startswith("file: "):
            file = tmp_path / block.mark.removeprefix("file: ")
            file.parent.mkdir(exist_ok=True)
            file.write_text(block.body, encoding="utf-8")
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    information = tmp_path / "rotator_shelf-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = project["entry-points"]
    points = [
        f"[{group}]\n" + "\n".join(f"{name} = {target}" for name, target in groups[group].items()) for group in groups
    ]
    (information / "entry_points.txt").write_text("\n".join(points) + "\n")
    (tmp_path / "pyproject.toml").unlink()  # pytest would take it for its own configuration
    (tmp_path / "var").mkdir()
    return tmp_path


def run(folder: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
        "ROTATOR_SEAL_KEY": base64.b64encode(bytes(32)).decode(),
        "ACME_SECRET": DEFAULT_CLIENT_SECRET,
    }
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(
        command, cwd=folder, env=env, input=given, capture_output=True, text=True, timeout=100, check=False
    )


def test_the_examples_pass_the_shipped_suites(installed: Path) -> None:
    """The page's own tests of its store and state pass, and skip only what they give a reason for."""
    ended = run(installed, "pytest", "-q", "-p", "no:cacheprovider", "test_rotator_shelf.py")
    assert ended.returncode == 0, ended.stdout
    assert " passed" in ended.stdout
    assert " failed" not in ended.stdout


def test_a_credential_is_rotated_through_the_plug_ins(installed: Path) -> None:
    """Store, state and profile are found by their names, and one pass rotates what was put."""
    with SandboxServer([dailypay_face()]) as server:
        config = installed / "config" / "rotator.yaml"
        port = server.url.rpartition(":")[2]
        config.write_text(config.read_text(encoding="utf-8").replace("8765", port), encoding="utf-8")
        token = server.face("dailypay").login("sandbox-client")["refresh_token"]

        put = run(installed, "rotator", "put", "partner-api", "-", given=f'{{"refresh_token": "{token}"}}')
        assert put.returncode == 0, put.stderr
        ended = run(installed, "rotator", "once")

        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.startswith("partner-api: rotated")
        assert server.face("dailypay").report.requests == 1
        assert run(installed, "rotator", "check", "--live").returncode == 0
