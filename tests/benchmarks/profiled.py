"""`python -m tests.benchmarks.profiled BACKEND`: where the processor time of a rotation goes, by package and function.

In one thread, waiting not counted. A profiler makes calls of Python dearer than they are: believe shares, not times.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rotator import outcomes
from tests.benchmarks.alone import ROOT
from tests.benchmarks.fleets import BACKENDS, NOT_FLUSHED, Age, fleet
from tests.benchmarks.rotations import Load, floor_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COUNT = 100
CLAIMS = 64
FUNCTIONS = 40


def main() -> None:
    """Profile both sides."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.profiled", description=__doc__)
    parser.add_argument("backend", choices=BACKENDS)
    parser.add_argument("--functions", type=int, default=FUNCTIONS, help="how many are shown of rotator's side")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, fleet(options.backend, Path(folder)) as made:
        made.seed(COUNT, Age.fresh(CLAIMS))
        if options.backend != "local":
            made.seed(COUNT, Age.fresh(CLAIMS), prefix="floor")
        app = made.app(COUNT, workers=1, audit=NOT_FLUSHED)
        floor = floor_of(made, Load(COUNT, 1, 1, CLAIMS), None)

        def rotate(number: int) -> None:
            outcome = app.rotation.run(app.observer.observe(app.credentials[number], force=True))
            assert isinstance(outcome, outcomes.Rotated), outcome

        for name, run in (("rotator", rotate), ("floor", floor.rotate)):
            run(0)
            profile = cProfile.Profile(time.thread_time)  # waiting for the stub is not counted
            profile.runcall(_all, run)
            stats: Any = pstats.Stats(profile)
            sys.stdout.write(f"\n{name}: {stats.total_tt / (COUNT - 1) * 1000:.2f} ms a rotation, profiled\n")
            sys.stdout.writelines(_by_package(stats))
            if name == "rotator":
                sys.stdout.writelines(_by_function(stats, options.functions))


def _all(run: Callable[[int], None]) -> None:
    for number in range(1, COUNT):
        run(number)


def _by_package(stats: Any) -> Iterator[str]:
    times: Counter[str] = Counter()
    for (file, _, function), (_, _, own_s, _, _) in stats.stats.items():
        times[_package(file, function)] += own_s  # type: ignore[assignment]  # a counter of seconds
    for package, own_s in times.most_common(25):
        yield f"  {own_s / stats.total_tt:6.1%} {own_s / (COUNT - 1) * 1000:7.3f} ms  {package}\n"


def _package(file: str, function: str) -> str:
    if file == "~":
        return f"built in: {function[:50]}"
    path = Path(file)
    if path.is_relative_to(ROOT):
        return ".".join(path.relative_to(ROOT).with_suffix("").parts)
    parts = path.parts
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1].removesuffix(".py")
    return f"standard library: {path.stem if path.parent.name.startswith('python') else path.parent.name}"


def _by_function(stats: Any, count: int) -> Iterator[str]:
    ours = [
        (total_s, calls, f"{Path(file).relative_to(ROOT)}:{line} {function}")
        for (file, line, function), (_, calls, _, total_s, _) in stats.stats.items()
        if file.startswith(str(ROOT))
    ]
    yield "\nrotator's own functions, what they call included\n"
    for total_s, calls, what in sorted(ours, reverse=True)[:count]:
        yield f"  {total_s / (COUNT - 1) * 1000:7.3f} ms {calls / (COUNT - 1):6.1f} calls  {what}\n"


if __name__ == "__main__":
    main()
