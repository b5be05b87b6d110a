"""(g): `rotator once` with nothing due, as a whole process, against a script that imports boto3 and reads the same."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.alone import ROOT
from tests.benchmarks.figures import Spread, ratios
from tests.benchmarks.fleets import TABLE, Age, Fleet, fleet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WORKERS = 16
CLAIMS = 64

FLOOR = """
import sys
from concurrent.futures import ThreadPoolExecutor
import boto3
from botocore.config import Config

secrets_url, state_url, table, count, workers = sys.argv[1:]
config = Config(retries={"total_max_attempts": 1, "mode": "standard"}, max_pool_connections=int(workers))
secrets = boto3.client("secretsmanager", endpoint_url=secrets_url, config=config)
state = boto3.client("dynamodb", endpoint_url=state_url, config=config)

def read(number):
    stored = secrets.get_secret_value(SecretId=f"fleet-{number:06d}", VersionStage="AWSCURRENT")
    for key in ("secret/" + stored["ARN"], "provider/acme"):
        state.get_item(TableName=table, Key={"id": {"S": key}}, ConsistentRead=True)

with ThreadPoolExecutor(int(workers)) as pool:
    list(pool.map(read, range(int(count))))
"""
"""What a pass over fresh credentials cannot do without."""


def measure(count: int, rounds: int) -> dict[str, Any]:
    """Return wall and processor time of both processes, in interleaved rounds."""
    with tempfile.TemporaryDirectory() as folder, fleet("aws", Path(folder)) as made:
        made.seed(count, Age.fresh(CLAIMS))
        file = made.folder / "rotator.yaml"
        file.write_text(made.configuration(count, workers=WORKERS))
        ours = [sys.executable, "-m", "rotator", "-c", str(file), "once"]
        floor = [sys.executable, "-c", FLOOR, made.secrets_url, made.state_url, TABLE, str(count), str(WORKERS)]
        # Warm for both: modules are compiled, as an installed package's are, and in the page cache.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(made.folder / "compiled")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        calls = {"rotator": _calls(made, ours, environment), "floor": _calls(made, floor, environment)}
        taken: dict[str, list[tuple[float, float]]] = {"rotator": [], "floor": []}
        for number in range(rounds):
            sides = [("rotator", ours), ("floor", floor)]
            for name, command in sides if number % 2 == 0 else reversed(sides):
                taken[name].append(timed(command, environment))
    wall = {name: [one[0] for one in rounds_] for name, rounds_ in taken.items()}
    cpu = {name: [one[1] for one in rounds_] for name, rounds_ in taken.items()}
    return {
        "wall_ms": {name: Spread.of([one * 1000 for one in values]).to_json() for name, values in wall.items()},
        "cpu_ms": {name: Spread.of([one * 1000 for one in values]).to_json() for name, values in cpu.items()},
        "wall_ratio": ratios(wall["rotator"], wall["floor"]).to_json(),
        "cpu_ratio": ratios(cpu["rotator"], cpu["floor"]).to_json(),
        "calls": calls,
    }


def _calls(made: Fleet, command: Sequence[str], environment: Mapping[str, str]) -> dict[str, int]:
    before = made.calls()
    timed(command, environment)
    return {name: count - before.get(name, 0) for name, count in made.calls().items() if count > before.get(name, 0)}


def timed(command: Sequence[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Run a process; return its wall and processor time in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)  # the stubs are still running, and so not in it
    began_s = time.perf_counter()
    ended = subprocess.run(command, stdout=subprocess.DEVNULL, cwd=ROOT, env=environment, check=False)
    wall_s = time.perf_counter() - began_s
    if ended.returncode:
        raise AssertionError(f"{command[1:3]} ended with {ended.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
