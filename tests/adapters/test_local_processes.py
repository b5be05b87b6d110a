"""The local store and state among processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from rotator.state.local import LocalStateStore

if TYPE_CHECKING:
    from pathlib import Path

CONTENDER = """
import sys
from rotator.errors import VersionConflict
from rotator.model import Document
from rotator.seal import AesSeal, key_from_file
from rotator.state.local import LocalStateStore
from rotator.stores.local import LocalSecretStore
from rotator.testing.memory import VirtualClock

folder, me, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
state = LocalStateStore(f"{folder}/rotator.db")
store = LocalSecretStore("dev", f"{folder}/rotator.db", AesSeal(lambda: key_from_file(f"{folder}/key")), VirtualClock())
won = []
for number in range(rounds):
    body, revision = state.read("secret/a")
    try:
        if (body or {"round": 0})["round"] == number:
            state.compare_and_swap("secret/a", {"round": number + 1, "by": me}, expected=revision)
            won.append(f"state/{number}")
    except VersionConflict:
        pass
    try:
        expected = str(number) if number else None
        store.compare_and_swap("a", Document({"by": me}), expected=expected, write_id=f"{me} {number}")
        won.append(f"store/{number}")
    except VersionConflict:
        pass
    while state.read("secret/a")[0]["round"] <= number or store.versions(["a"])["a"].version == str(number):
        pass
print("\\n".join(won))
"""


def test_of_many_processes_one_wins_each_round(tmp_path: Path) -> None:
    """Processes that start on no file at all make one file and one key, and each version has exactly one writer."""
    rounds, contenders = 15, 4
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CONTENDER, str(tmp_path / "var"), f"process {number}", str(rounds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(contenders)
    ]
    watchdog = threading.Timer(60, lambda: [process.kill() for process in processes])
    watchdog.start()
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        won = [process.communicate()[0].split() for process in processes]
    finally:
        watchdog.cancel()
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0] * contenders
    assert sorted(line for lines in won for line in lines) == sorted(
        f"{what}/{number}" for what in ("state", "store") for number in range(rounds)
    )
    body, _ = LocalStateStore(tmp_path / "var" / "rotator.db").read("secret/a")
    assert body is not None
    assert body["round"] == rounds
    assert sorted(file.name for file in (tmp_path / "var").iterdir()) == ["key", "rotator.db"]
