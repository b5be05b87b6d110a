"""One measurement in a process of its own: memory, processor time and imports of nobody else are in it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LONGEST_LINE = 1_000
"""Of a result that is shown on the way: a part may take an hour."""

ROOT = Path(__file__).parent.parent.parent

TRIES = 2
"""A machine that stands still for ten seconds, as virtual ones do, makes calls time out on either side."""


def alone(module: str, **arguments: Any) -> dict[str, Any]:
    """Return what `measure` of a module of this package returns in a fresh process.

    Raises:
        subprocess.CalledProcessError: It failed twice; the tracebacks are on stderr.
    """
    command = [sys.executable, "-m", "tests.benchmarks.alone", module, json.dumps(arguments)]
    sys.stderr.write(f"{module} {json.dumps(arguments)} …\n")
    for tries in range(1, TRIES + 1):
        ended = subprocess.run(command, stdout=subprocess.PIPE, check=tries == TRIES, cwd=ROOT)
        if ended.returncode == 0:
            break
    line = ended.stdout.splitlines()[-1].decode()
    sys.stderr.write(f"{line[:LONGEST_LINE]}\n")
    found: dict[str, Any] = json.loads(line)
    return found


def main() -> None:
    """Measure and print one line of JSON."""
    module, arguments = sys.argv[1:]
    measure = importlib.import_module(f"tests.benchmarks.{module}").measure
    sys.stdout.write(f"\n{json.dumps(measure(**json.loads(arguments)))}\n")


if __name__ == "__main__":
    main()
