"""The container: its file linted, and its very steps run in a plain directory, for want of an engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
FILE = ROOT / "deploy" / "docker" / "Dockerfile"
PLACES = ("/opt/rotator", "/opt/tools", "/build")
"""Where the steps work in the container; each gets a place below the test's folder."""

LINTER = Path(sys.executable).parent / "hadolint"
MOST_MB = 100
"""What is added to the base image, as `deploy/docker/README.md` has it."""


def instructions() -> list[tuple[str, str]]:
    """Return the file's instructions in order, each on one line."""
    text = re.sub(r"^\s*#.*\n", "", FILE.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def stages() -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage, what stands before the first FROM left out."""
    found: list[list[tuple[str, str]]] = []
    for name, rest in instructions():
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, rest))
    return found


def test_the_linter_finds_nothing() -> None:
    """hadolint, with its usual rules."""
    if not LINTER.exists():
        pytest.skip("hadolint is not installed: there is no wheel of it for this platform")
    done = subprocess.run([LINTER, FILE], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_last_stage_runs_as_nobody_special_and_installs_nothing() -> None:
    """No root, no compiler, no package manager's work: what it holds comes from the first stage."""
    last = stages()[-1]
    runs = [rest for name, rest in last if name == "RUN"]
    assert len(runs) == 1
    assert runs[0].startswith("useradd")
    [user] = [rest for name, rest in last if name == "USER"]
    assert int(user.split(":")[0]) >= 1000
    assert [name for name, _ in last].index("USER") < [name for name, _ in last].index("ENTRYPOINT")


@pytest.fixture
def built(tmp_path: Path) -> Iterator[Path]:
    """Run the first stage, step by step, in a folder; it is gone before the hunt for secrets, which knows its texts."""
    for place in PLACES:
        (tmp_path / place.strip("/")).mkdir(parents=True)
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "python").symlink_to(Path(sys.executable).resolve())
    environment = {**os.environ, "PATH": f"{tools}:/usr/bin:/bin"}

    def here(text: str) -> str:
        return re.sub("|".join(map(re.escape, PLACES)), lambda place: str(tmp_path / place[0].strip("/")), text)

    folder = tmp_path
    for name, rest in stages()[0]:
        match name:
            case "WORKDIR":
                folder = Path(here(rest))
            case "COPY":
                *sources, target = rest.split()
                for source in sources:
                    copied(ROOT / source, folder / target / (Path(source).name if target.endswith("/") else ""))
            case "RUN":
                command = ["/bin/sh", "-ec", here(rest)]
                done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stdout + done.stderr
    yield tmp_path / "opt" / "rotator"
    shutil.rmtree(tmp_path)


def copied(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def test_its_steps_make_a_program_that_runs(built: Path) -> None:
    """Wheels of the lock alone, no pip in what is shipped, of the size that the README states; and rotator starts."""
    assert not list(built.glob("lib/python*/site-packages/pip*"))
    size_mb = sum(file.lstat().st_size for file in built.rglob("*") if file.is_file()) / 1e6
    assert size_mb < MOST_MB
    words = [word for name, rest in stages()[-1] if name in {"ENTRYPOINT", "CMD"} for word in json.loads(rest)]
    done = subprocess.run([built / "bin" / words[0], *words[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 2  # there is no configuration in it
    assert "/etc/rotator/rotator.yaml" in done.stderr


def test_the_locks_hold_a_hash_for_each_package() -> None:
    """`--require-hashes` would stop the build; and no lock names where it came from."""
    for name in ("run", "build", "lambda"):
        text = (ROOT / "deploy" / "locks" / f"{name}.txt").read_text()
        packages = [line for line in text.splitlines() if "==" in line]
        assert packages
        assert text.count("--hash=sha256:") >= len(packages)
        assert "://" not in text
