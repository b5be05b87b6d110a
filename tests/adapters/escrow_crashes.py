"""Kills a process at every file operation of `FileEscrow`, one after the other; run by test_escrow.py as a program.

`python escrow_crashes.py FOLDER SCENARIO`: for n = 0, 1, 2 … a forked process does the scenario's work and is killed
with SIGKILL before its n-th file operation, until a run has no n-th operation left. Each run prints one JSON object:
what a later process then finds. The scenario `full` wants a disk of 64 KiB instead, and prints what is refused there.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from escrow_parts import ENTRY, IDENTITY, RECORD, opened, writer

from rotator.errors import EscrowUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.escrow.file import FileEscrow

OPERATIONS = ("open", "write", "fsync", "close", "link", "replace", "unlink", "mkdir")


def keep(escrow: FileEscrow, sealed: str) -> None:
    escrow.keep(replace(ENTRY, sealed=sealed), writer())


SCENARIOS: dict[str, tuple[Callable[[FileEscrow], Any], Callable[[FileEscrow], Any]]] = {
    "first": (lambda escrow: None, lambda escrow: keep(escrow, "new")),
    "replace": (lambda escrow: keep(escrow, "old"), lambda escrow: keep(escrow, "new")),
    "clear": (lambda escrow: keep(escrow, "old"), lambda escrow: escrow.clear(IDENTITY, frozenset({"p1"}))),
    "place": (lambda escrow: None, lambda escrow: escrow.place),
    "prove": (lambda escrow: keep(escrow, "old"), lambda escrow: escrow.prove_writable()),
}


def die_before(number: int) -> None:
    """Have this process killed before its `number`-th file operation from now on."""
    count = itertools.count()

    def counted(operation: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            if next(count) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*args, **kwargs)

        return run

    for name in OPERATIONS:
        setattr(os, name, counted(getattr(os, name)))


def killed_at(number: int, folder: Path, work: Callable[[FileEscrow], Any]) -> bool:
    escrow = opened(folder)  # before the fork: no two instances may share their ids
    child = os.fork()
    if child == 0:
        die_before(number)
        try:
            work(escrow)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def fill_up(base: Path) -> None:
    escrow = opened(base / "escrow")
    assert escrow.place
    keep(escrow, "old")
    (base / "filler").write_bytes(bytes(44 * 1024))
    errors = []
    for verb in (lambda: keep(escrow, "x" * 60_000), escrow.prove_writable):
        try:
            verb()
        except EscrowUnavailable as error:
            errors.append(str(error))
    found = [one.sealed for one in escrow.waiting(RECORD)]
    files = [path.name for path in (base / "escrow").iterdir()]
    print(json.dumps({"errors": errors, "found": found, "files": files}))  # noqa: T201 - read by the test


def main() -> None:
    if sys.argv[2] == "full":
        fill_up(Path(sys.argv[1]))
        return
    base, (prepare, work) = Path(sys.argv[1]), SCENARIOS[sys.argv[2]]
    for number in itertools.count():
        folder = base / str(number) / "escrow"
        prepare(opened(folder))
        killed = killed_at(number, folder, work)
        later = opened(folder)
        found = [one.sealed for one in later.waiting(RECORD)]
        place = later.place
        keep(later, "later")
        again = opened(folder)
        finds = {
            "killed": killed,
            "found": found,
            "all": len(again.all_waiting()),
            "place_stays": again.place == place,
        }
        print(json.dumps(finds))  # noqa: T201 - read by the test
        if not killed:
            return


if __name__ == "__main__":
    main()
