"""`python -m tests.chaos`: real processes under blows, judged; rotator's column beside a naive refresher's."""

from __future__ import annotations

import argparse
import json
import logging
import math
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, get_args

from rotator.policy import TAKEOVER_S
from tests.chaos import backends
from tests.chaos.deployment import LEASE_S
from tests.chaos.rounds import Losses, Round, Size, naive_round, rotator_round
from tests.chaos.scenarios import SCENARIOS

ROUND_S = 90.0
"""A longer run is cut into rounds of at most so much chaos, each with a seed of its own, each judged."""

PATIENCE_S = LEASE_S + TAKEOVER_S + 80.0
"""The leases of the dead end, they are waited for a while longer, then comes the minute after a failure."""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Runs real processes against a sandbox provider and real stores over HTTP, lets blows fall on them,"
        " and judges by what the provider, the proxies and the audit trail noted. Exit code 1 on any violation.",
        epilog="scenarios: " + "; ".join(f"{one.name}: {one.about}" for one in SCENARIOS.values()),
    )
    made.add_argument("--backend", choices=get_args(backends.Kind), default="local")
    made.add_argument("--scenario", choices=SCENARIOS, default="mixed")
    made.add_argument("--program", choices=("rotator", "naive", "both"), default="both", help="default: both")
    made.add_argument("--seconds", type=float, default=60.0, help="of chaos in all; the peace after it comes on top")
    made.add_argument("--round", type=float, default=ROUND_S, help="the longest chaos in one round (%(default)g)")
    made.add_argument("--credentials", type=int, default=200)
    made.add_argument("--lifetime", type=int, default=60, help="of access tokens, in seconds (%(default)d)")
    made.add_argument("--settle", type=float, default=PATIENCE_S, help="how long to settle at most (%(default)g)")
    made.add_argument("--peace", type=float, help="how long expiry is watched at the end of a round (the lifetime)")
    made.add_argument("--seed", type=int, default=1, help="of the first round; the others count on from it")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the verdict there, too")
    made.add_argument("--keep", type=Path, metavar="FOLDER", help="keep what the processes wrote")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run and return the exit code."""
    line = parser()
    options = line.parse_args(arguments)
    if min(options.seconds, options.round, options.credentials, options.lifetime) <= 0:
        line.error("--seconds, --round, --credentials and --lifetime must be greater than 0")
    if options.keep and options.keep.exists() and any(options.keep.iterdir()):
        line.error(f"--keep {options.keep}: the folder is not empty; name another one")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    rounds = max(1, math.ceil(options.seconds / options.round))
    size = Size(
        credentials=options.credentials,
        chaos_s=options.seconds / rounds,
        lifetime_s=options.lifetime,
        settle_s=options.settle,
        peace_s=options.lifetime if options.peace is None else options.peace,
        patient=options.settle > LEASE_S,
    )
    # Whoever ends this process must not leave a fleet behind: the rounds stop theirs on the way out.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began_s = time.monotonic()
    home = options.keep or Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        result = run(options, range(options.seed, options.seed + rounds), size, home)
    finally:
        signal.signal(signal.SIGTERM, before)
        if not options.keep:
            shutil.rmtree(home, ignore_errors=True)
    result["wall_s"] = round(time.monotonic() - began_s)
    say(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return 1 if result["violations"] else 0


def run(options: argparse.Namespace, seeds: range, size: Size, home: Path) -> dict[str, Any]:
    """Run all rounds and return the sum."""
    scenario = SCENARIOS[options.scenario]
    judged: list[tuple[int, Round]] = []
    losses: list[Losses] = []
    for seed in seeds:
        folder = home / f"{options.backend}-{scenario.name}-{seed}"
        if options.program != "naive":
            one = rotator_round(options.backend, scenario, seed, size, folder)
            judged.append((seed, one))
            say(f"\n{options.backend} {scenario.name}, seed {seed}, {size.chaos_s:.0f} s of chaos\n{one.verdict}")
        if options.program != "rotator":
            losses.append(naive_round(options.backend, scenario, seed, size, folder.with_name(f"{folder.name}-naive")))
            say(f"naive, seed {seed}: {losses[-1]}")
    summed = {
        "backend": options.backend,
        "scenario": scenario.name,
        "seed": options.seed,
        "seeds": list(seeds),
        "seconds": options.seconds,
        "credentials": size.credentials,
        "daemons": scenario.daemons,
        "once_loop": scenario.once,
        **of_rotator(judged),
    }
    return {**summed, "naive": of_naive(losses)} if losses else summed


def of_rotator(judged: list[tuple[int, Round]]) -> dict[str, Any]:
    """Sum the rounds of rotator up."""
    ended: dict[str, Counter[str]] = {}
    faults: Counter[str] = Counter()
    for _, one in judged:
        faults += one.faults
        for cause, ends in one.verdict.ended.items():
            ended[cause] = ended.get(cause, Counter()) + ends
    verdicts = [one.verdict for _, one in judged]
    return {
        "rotations": sum(one.rotations for one in verdicts),
        "faults": dict(faults),
        "logins": sum(one.logins for one in verdicts),
        "logins_lost": sum(one.lost for one in verdicts),
        "reuse_detections": sum(one.reuse_unexplained for one in verdicts),
        "families_revoked": sum(
            one.families_revoked - one.reuse_detections + one.reuse_unexplained for one in verdicts
        ),
        "last_tries_refused": sum(one.reuse_detections - one.reuse_unexplained for one in verdicts),
        "tokens_lost_unexplained": sum(one.lost_unexplained for one in verdicts),
        "replies_lost_after_processing": {cause: dict(ends) for cause, ends in ended.items()},
        "expired_while_up": sum(len(one.expired) for _, one in judged),
        "secrets_found": sum(one.secrets_found for one in verdicts),
        "over_the_limit": sum(one.over_the_limit for one in verdicts),
        "violations": [f"seed {seed}: {text}" for seed, one in judged for text in one.verdict.violations],
    }


def of_naive(losses: list[Losses]) -> dict[str, Any]:
    """Sum the rounds of the naive refresher up."""
    return {
        "rotations": sum(one.rotations for one in losses),
        "faults": dict(sum((one.struck for one in losses), Counter())),
        "logins": sum(one.logins for one in losses),
        "logins_lost": sum(one.lost for one in losses),
        "reuse_detections": sum(one.reuse_detections for one in losses),
        "families_revoked": sum(one.families_revoked for one in losses),
        "replies_lost_after_processing": sum(one.replies_lost for one in losses),
    }


def table(result: dict[str, Any]) -> str:
    """Return rotator's column beside the naive refresher's."""
    naive = result.get("naive", {})
    rows = [f"{'':28}{'rotator':>10}{'naive':>10}"]
    both = ("logins", "rotations", "logins_lost", "reuse_detections", "families_revoked")
    rows += [f"{name.replace('_', ' '):28}{result[name]:>10}{naive.get(name, ''):>10}" for name in both]
    own = ("last_tries_refused", "tokens_lost_unexplained", "expired_while_up", "secrets_found", "over_the_limit")
    rows += [f"{name.replace('_', ' '):28}{result[name]:>10}" for name in own]
    rows += [
        f"faults: {result['faults']}",
        f"lost replies, and how each ended: {result['replies_lost_after_processing']}",
    ]
    rows += [f"VIOLATION {one}" for one in result["violations"]]
    head = f"\n{result['backend']}, {result['scenario']}, seeds {result['seeds']}, {result['wall_s']} s in all"
    return "\n".join([head, *rows])


def say(text: str) -> None:
    """Print at once: a long run is watched."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
