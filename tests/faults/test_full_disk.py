"""A real disk that is full or read-only under a whole `rotator once`, before the request and while it is under way.

Where nobody may mount one, `test_disks.py` still has the same troubles at every call.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rotator.testing.sandbox import DEFAULT_CLIENT_SECRET

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
EVERYTHING = "escrow,audit,store,state"
MOUNT_AND_RUN = 'mount -t tmpfs -o size=256k tmpfs "$1" || exit 77; exec "$0" -m tests.faults.on_a_small_disk "$@"'


@pytest.fixture
def on_a_small_disk(tmp_path: Path) -> Callable[[str], tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Return a function that plays a scenario and returns what the provider saw and what the commands left."""
    disk, elsewhere = tmp_path / "disk", tmp_path / "elsewhere"
    disk.mkdir()
    elsewhere.mkdir()

    def run(scenario: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT_AND_RUN, sys.executable]
        arguments = [str(disk), scenario, str(elsewhere)]
        try:
            done = subprocess.run(
                [*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
            )
        except FileNotFoundError:
            pytest.skip("there is no unshare to mount a small disk with")
        if done.returncode == 77 or "unshare failed" in done.stderr:
            pytest.skip("this kernel lets nobody mount a small disk")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        for step in found["steps"]:
            text = step["out"] + step["err"]
            assert not any(word in text for word in ("Traceback", "sandbox_at_", "sandbox_rt_", DEFAULT_CLIENT_SECRET))
        return found, found["steps"]

    return run


@pytest.mark.parametrize("part", ["escrow", "audit", "state", EVERYTHING])
def test_a_disk_that_is_full_before_the_request_costs_nothing(on_a_small_disk: Any, part: str) -> None:
    """Nothing is sent, the line says that room is wanted, the code is 75, and with room the next run rotates."""
    found, (_, rotated, full, again, *_) = on_a_small_disk(f"full:{part}")
    assert (rotated["code"], full["code"], again["code"]) == (0, 75, 0)
    assert (full["sent"], again["sent"]) == (1, 2)
    assert "space" in full["out"]
    assert (found["reused"], found["lost"]) == (0, 0)


@pytest.mark.parametrize("part", ["escrow", "audit", "store", "state", EVERYTHING])
def test_a_disk_that_fills_up_during_the_request_costs_no_token(on_a_small_disk: Any, part: str) -> None:
    """Promise 2: the room for the tokens was reserved, so they are in escrow or in the store; the next runs go on."""
    found, (_, _, meanwhile, _, last, listed) = on_a_small_disk(f"full meanwhile:{part}")
    assert meanwhile["code"] in {0, 75}
    assert "not in escrow" not in meanwhile["out"]
    assert last["code"] == 0
    assert listed["out"] == ""
    assert (found["reused"], found["lost"]) == (0, 0)
    if part == "audit":
        assert "rotation.succeeded is not in the audit trail" in meanwhile["out"]


@pytest.mark.parametrize(("part", "code"), [("escrow", 75), ("audit", 75), ("store", 1), ("state", 1), (EVERYTHING, 1)])
def test_a_disk_that_is_read_only_costs_nothing(on_a_small_disk: Any, part: str, code: int) -> None:
    """Nothing is lost, the line names the path and what is wrong with it, and on a writable disk the next run goes on.

    A store or state that is not writable asks for a person, like any that denies access.
    """
    found, (_, rotated, read_only, _, last, _) = on_a_small_disk(f"read-only:{part}")
    assert (rotated["code"], read_only["code"], last["code"]) == (0, code, 0)
    assert "read-only" in read_only["out"].lower()
    assert (found["reused"], found["lost"]) == (0, 0)
