"""The leak hunt finds what is planted, tells it without showing it, and lets clean tests be."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.leak_forms import cores

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
PLACES, FORMS, OTHERS = 16, 9, 9
"""How many there are in `planted_leaks`."""

SECRET = f"canary-{uuid.uuid4().hex}"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for a run of its own; what is planted in it must not be found by the run around it."""
    inner = tmp_path / "inner"
    inner.mkdir()
    yield inner
    shutil.rmtree(inner)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with nothing but the plugin."""
    (folder / "pytest.ini").write_text("[pytest]\ntestpaths = .\npython_files = *_leaks.py test_*.py\n")
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    plugins = ("-p", "tests.leak_hunt", "-p", "no:cacheprovider", "--basetemp", str(folder / "base"))
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-rpE",
            "--disable-warnings",
            "-c",
            str(folder / "pytest.ini"),
            *plugins,
            *arguments,
        ],
        env={**os.environ, "PYTHONPATH": path, "PLANTED_SECRET": SECRET},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_every_planted_leak_is_found_and_none_is_shown(folder: Path) -> None:
    """A secret in any place and any form fails its test or the session, by place and form, and is never shown.

    Secrets in the environment, on stdin, masked and sealed are no finding.
    """
    done = run(folder, str(ROOT / "tests" / "planted_leaks.py"))

    passed = set(re.findall(r"^PASSED \S*::(test_.*)$", done.stdout, re.MULTILINE))
    blamed = set(re.findall(r"^ERROR \S*::(test_.*?)(?: - .*)?$", done.stdout, re.MULTILINE))
    assert len(blamed) == PLACES * FORMS + OTHERS
    assert passed - blamed == {"test_warns", "test_leaves_a_file", "test_is_clean"}
    assert done.returncode == 1
    assert SECRET not in done.stdout + done.stderr
    told = re.findall(
        r"test_leaks\[(.+?) ?-((?:plain|percent|base64|hex)[^\]]*)\] _*\n"
        r"the leak hunt found a secret:\n((?:.+\n)+?)(?=_|=)",
        done.stdout,
    )
    assert len(told) == PLACES * FORMS
    for place, form, lines in told:
        expected = rf"^{place.replace('*', '.*')}.*: a canary, {form.partition(',')[0]}$"
        assert re.search(expected, lines, re.MULTILINE), (place, form, lines)
    of_the_session = done.stdout.partition(" leak hunt =")[2]
    assert re.search(r"^warning in \S*::test_warns: a canary, plain$", of_the_session, re.MULTILINE)
    assert re.search(r"^file shared0/left: a canary, plain$", of_the_session, re.MULTILINE)


INNER = """
import os

def test_shows():
    print(os.environ["PLANTED_SECRET"])

def test_shows_elsewhere():
    os.write(2, os.environ["PLANTED_SECRET"].encode())

def test_leaves_a_file(tmp_path_factory):
    (tmp_path_factory.mktemp("shared") / "left").write_text(os.environ["PLANTED_SECRET"])

def test_is_clean():
    pass
"""

EXEMPTS = """
from tests import leak_hunt
from tests.leak_exemptions import Exemption
leak_hunt.HUNT.exemptions = (
    Exemption("test_inner.py::test_shows*", "*stdout*", "a reason"),
    Exemption("test_inner.py::test_is_clean", "stderr", "a reason"),
)
"""


def test_what_a_worker_finds_fails_the_session(folder: Path) -> None:
    """A secret in a folder that no test owns ends the run with 1, although it was found by a worker process."""
    (folder / "test_inner.py").write_text(INNER)

    done = run(folder, "-n", "1", "-k", "leaves")

    assert done.returncode == 1
    assert "1 passed" in done.stdout
    assert re.search(r"^file shared0/left: a canary, plain$", done.stdout, re.MULTILINE)


def test_an_exemption_covers_its_place_and_no_other(folder: Path) -> None:
    """What is exempt is no finding, the same secret elsewhere is; a run of a part says nothing of the other ones."""
    (folder / "test_inner.py").write_text(INNER)
    (folder / "conftest.py").write_text(EXEMPTS)

    done = run(folder, "-k", "shows or clean")

    assert done.returncode == 1
    assert re.findall("^ERROR .*::(.*) - ", done.stdout, re.MULTILINE) == ["test_shows_elsewhere"]
    assert re.search("^Captured stderr call: a canary, plain$|^stderr: a canary, plain$", done.stdout, re.MULTILINE)
    assert "no test needs" not in done.stdout


def test_an_exemption_that_no_test_needs_fails_the_session(folder: Path) -> None:
    """The list does not rot: once all tests passed, each exemption that was not needed is told."""
    (folder / "test_inner.py").write_text("def test_is_clean():\n    pass\n")
    (folder / "conftest.py").write_text(EXEMPTS)

    done = run(folder, "-n", "1")

    assert done.returncode == 1
    assert re.findall("no test needs: (.*)$", done.stdout, re.MULTILINE) == ["test_inner.py::test_is_clean, stderr"]


@pytest.mark.parametrize("text", ["", "short", "aaaaaaaaaaaaaaaaaaaaaaaa", '{"error": "temporarily_unavailable"}'])
def test_what_could_be_an_ordinary_word_is_not_looked_for(text: str) -> None:
    """Short, monotonous and framing texts would be found everywhere."""
    assert cores(text) == []
