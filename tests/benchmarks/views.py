"""(v): what a person waits for at a prompt: `rotator status` of a fleet on the local store, as a whole process."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.figures import Spread
from tests.benchmarks.fleets import Age, fleet
from tests.benchmarks.passes import timed

WORKERS = 16
CLAIMS = 64
COMMANDS = ("status", "status --problems", "status --json", "check", "--help")


def measure(count: int, rounds: int) -> dict[str, Any]:
    """Return wall and processor time of each command in seconds, in interleaved rounds.

    State and store are local, every record is full, and nothing is due.
    """
    with tempfile.TemporaryDirectory() as folder, fleet("local", Path(folder)) as made:
        made.seed(count, Age.fresh(CLAIMS))
        file = made.folder / "rotator.yaml"
        file.write_text(made.configuration(count, workers=WORKERS))
        # Warm, as an installed package is: modules are compiled, and in the page cache.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(made.folder / "compiled")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        program = [sys.executable, "-m", "rotator", "-c", str(file)]
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
        for number in range(rounds + 1):
            for name in COMMANDS:
                took = timed([*program, *name.split()], environment)
                if number:  # the first one compiles
                    taken[name].append(took)
    return {
        "credentials": count,
        "wall_s": {name: Spread.of([one[0] for one in took]).to_json() for name, took in taken.items()},
        "cpu_s": {name: Spread.of([one[1] for one in took]).to_json() for name, took in taken.items()},
    }
