"""The steps of the proof: what is run, in which order, and where each leaves its counts."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator
    from pathlib import Path

BACKENDS = ("aws", "vault", "local")

DUELS: dict[str, tuple[str, ...]] = {
    "two-replicas": ("--credentials", "100", "--lifetime", "16", "--seconds", "20", "--settle", "30", "--peace", "2"),
    "sigkill": ("--credentials", "100", "--lifetime", "16", "--seconds", "20", "--settle", "30", "--peace", "2"),
    "store-outage": (
        "--backend", "aws", "--credentials", "100", "--lifetime", "30", "--seconds", "30", "--peace", "0",
    ),
    "lost-replies-and-5xx": (
        "--credentials", "60", "--lifetime", "24", "--seconds", "30", "--settle", "30", "--peace", "0",
    ),
    "mixed": ("--backend", "aws", "--credentials", "100", "--seconds", "60"),
}  # fmt: skip
"""Scenarios that rotator and the naive refresher go through one after the other, and how big they are."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command.

    Args:
        name: Of its result, `<name>.json` in the folder of the proof; nothing is left there when `counts` is false.
        environment: On top of the surrounding one.
    """

    name: str
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    counts: bool = True


def steps(options: Namespace, folder: Path) -> Iterator[Step]:
    """Yield the steps, the cheap ones first."""

    def module(name: str, *arguments: str, step: str) -> Step:
        return Step(step, (sys.executable, "-m", name, *arguments, "--json", str(folder / f"{step}.json")))

    examples = (("ROTATOR_FUZZ_EXAMPLES", str(options.examples)), ("ROTATOR_STATEFUL_EXAMPLES", "100"))
    folders = ("tests/fuzz", "tests/stateful")
    pytest = (sys.executable, "-m", "pytest", "-q", "-n", "2", "--no-cov", "-p", "no:cacheprovider", *folders)
    yield Step("foreign-bytes", pytest, examples, counts=False)
    yield module("tests.sim", step="crashes")
    # Crashes and losses multiply the states of three replicas beyond reach; with two, `tests/model` has them all.
    bounds = ("--replicas", "3", "--crashes", "0", "--losses", "0", "--most", str(options.states))
    yield module("tests.model", "--setups", *bounds, step="model")
    yield module("rotator.testing.sim", "--first", str(options.first), "--seeds", str(options.worlds), step="worlds")
    for number, backend in enumerate(BACKENDS):
        chaos_s = str(options.chaos)
        more = ("--seconds", chaos_s, "--round", chaos_s, "--seed", str(2001 + number), "--program", "rotator")
        yield module("tests.chaos", "--backend", backend, *more, step=f"fleet-{backend}")
    for scenario, size in DUELS.items():
        yield module("tests.chaos", "--scenario", scenario, *size, "--seed", "3001", step=f"duel-{scenario}")
