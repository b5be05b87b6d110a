"""(l): the Lambda function: its cold start under Lambda's own runtime, and one invocation that finds many due.

Cold: from the event to the answer of a sandbox that was not there before, against a bare handler. It is the start of a
process on this machine, not AWS's own. The invocation: the handler called as the runtime calls it, in this process,
against the bare calls in as many threads.
"""

from __future__ import annotations

import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rotator import aws_events
from tests.benchmarks.figures import Spread, ratios
from tests.benchmarks.fleets import ENVIRONMENT, TABLE, Age, Fleet, fleet, name_of
from tests.benchmarks.floors import PREFIX, AwsFloor, NoJournal
from tests.deploy.lambda_runtime import HANDLER, Function

FEW = 10
BARE = "tests.benchmarks.bare_lambda.handler"
WORKERS = 16
CLAIMS = 64


class Context:
    """What Lambda hands over, as far as it is used: a quarter of an hour is left."""

    def get_remaining_time_in_millis(self) -> int:
        """Return milliseconds."""
        return 900_000


def measure(rounds: int, due: int, due_rounds: int) -> dict[str, Any]:
    """Return the times of both, in interleaved rounds."""
    with tempfile.TemporaryDirectory() as folder, fleet("aws", Path(folder)) as made:
        cold = _cold(made, rounds)
    with tempfile.TemporaryDirectory() as folder, fleet("aws", Path(folder)) as made:
        return {"cold": cold, "due": {"count": due, **_due(made, due, due_rounds)}}


def _cold(made: Fleet, rounds: int) -> dict[str, Any]:
    made.seed(FEW, Age.fresh(CLAIMS))
    env = {
        **ENVIRONMENT,
        "BENCH_SECRETS_URL": made.secrets_url,
        "BENCH_STATE_URL": made.state_url,
        "ROTATOR_CONFIG_YAML": made.configuration(FEW, workers=WORKERS, audit="-"),
        "PYTHONPYCACHEPREFIX": str(made.folder / "compiled"),  # as in a package, whose modules are compiled
    }
    event = {"names": [name_of(number) for number in range(FEW)], "table": TABLE}
    taken: dict[str, list[float]] = {HANDLER: [], BARE: []}
    calls: dict[str, dict[str, int]] = {}
    for number in range(-1, rounds):  # the first compiles
        for handler in (HANDLER, BARE) if number % 2 == 0 else (BARE, HANDLER):
            before = made.calls()
            with Function(made.folder, env, handler) as function:
                began_s = time.perf_counter()
                function.invoke(event if handler == BARE else {})
                took_s = time.perf_counter() - began_s
            calls[handler] = {
                name: count - before.get(name, 0) for name, count in made.calls().items() if count > before.get(name, 0)
            }
            if number >= 0:
                taken[handler].append(took_s)
    return {
        "ms": {side: _ms(taken[name]) for side, name in (("rotator", HANDLER), ("floor", BARE))},
        "ratio": ratios(taken[HANDLER], taken[BARE]).to_json(),
        "calls": {"rotator": calls[HANDLER], "floor": calls[BARE]},
    }


def _due(made: Fleet, due: int, rounds: int) -> dict[str, Any]:
    made.seed(due, Age.fresh(CLAIMS))
    made.seed(due, Age.fresh(CLAIMS), prefix=PREFIX)
    os.environ["ROTATOR_CONFIG_YAML"] = made.configuration(due, workers=WORKERS)
    floor = AwsFloor(made, WORKERS, NoJournal())
    taken: dict[str, list[float]] = {"rotator": [], "floor": []}

    def ours() -> None:
        report = aws_events.handler({"horizon": "2h"}, Context())  # as long as a token lives: all are due
        if len(report["rotated"]) != due:
            raise AssertionError(f"{len(report['rotated'])} of {due} were rotated; {report['deferred'][:1]}")

    def bare() -> None:
        with ThreadPoolExecutor(WORKERS) as pool:
            for numbers in pool.map(floor.look, floor.chunks(due)):
                del numbers
            for done in pool.map(floor.rotate, range(due)):
                del done

    sides = {"rotator": ours, "floor": bare}
    for number in range(-1, rounds):
        for name in sides if number % 2 == 0 else reversed(sides):
            began_s = time.perf_counter()
            sides[name]()
            if number >= 0:
                taken[name].append(time.perf_counter() - began_s)
    if made.stubs["token_endpoint"].calls().get("reused"):
        raise AssertionError("a refresh token was presented twice")
    return {
        "ms": {name: _ms(values) for name, values in taken.items()},
        "ratio": ratios(taken["rotator"], taken["floor"]).to_json(),
    }


def _ms(values: list[float]) -> dict[str, float]:
    return Spread.of([one * 1000 for one in values]).to_json()
