"""One measurement in a process of its own: memory, processor time and imports of nobody else are in it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent


TRIES = 2
"""A machine that stands still for ten seconds, as virtual ones do, makes calls time out on either side."""


def alone(module: str, **arguments: Any) -> dict[str, Any]:
    """Return what `measure` of a module of this package returns in a fresh process.

    Raises:
        subprocess.CalledProcessError: It failed twice; the tracebacks are on stderr.
    """
    command = [sys.executable, "-m", "tests.benchmarks.alone", module, json.dumps(arguments)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT)
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure and print one line of JSON."""
    module, arguments = sys.argv[1:]
    measure = importlib.import_module(f"tests.benchmarks.{module}").measure
    sys.stdout.write(f"\n{json.dumps(measure(**json.loads(arguments)))}\n")


if __name__ == "__main__":
    main()
