"""Breadth-first exploration: all reachable states, and the shortest way to a state that breaks a property."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.model.model import steps
from tests.model.surroundings import start
from tests.model.worlds import World, normal

if TYPE_CHECKING:
    from tests.model.setups import Setup

Packed = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What an exploration found.

    Args:
        states: How many different states were reached.
        paths: For each broken property, the labels of a shortest way there.
    """

    states: int
    paths: dict[str, list[str]]


class _Parts:
    """Keeps every part of a state once; a state is then a short tuple of small numbers."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}
        self._parts: list[object] = []

    def pack(self, world: World) -> Packed:
        packed = []
        for part in (*world[:-2], *world.replicas, world.budget):
            number = self._numbers.get(part)
            if number is None:
                number = self._numbers[part] = len(self._parts)
                self._parts.append(part)
            packed.append(number)
        return tuple(packed)

    def unpack(self, packed: Packed) -> World:
        parts = [self._parts[number] for number in packed]
        return World(*parts[:5], tuple(parts[5:-1]), parts[-1])  # type: ignore[arg-type]


def explore(setup: Setup, *, until: str | None = None, most: int | None = None) -> Found:
    """Visit every state.

    Args:
        until: Stop at the first state that breaks this property, and go past those that break another.
        most: Give up after this many states.

    Raises:
        RuntimeError: There are more states than `most`.
    """
    parts = _Parts()
    alike = setup.shared
    first = parts.pack(normal(start(setup), alike=alike))
    came: dict[Packed, Packed | None] = {first: None}
    level = [first]
    paths: dict[str, list[str]] = {}
    while level:
        following = []
        for packed in level:
            for _, after, broken in steps(parts.unpack(packed), setup):
                if broken:
                    if broken not in paths and until in (None, broken):
                        paths[broken] = _path(setup, parts, came, packed, broken)
                        if until:
                            return Found(len(came), paths)
                    if until in (None, broken):
                        continue
                there = parts.pack(normal(after, alike=alike))
                if there not in came:
                    came[there] = packed
                    following.append(there)
        if most and len(came) > most:
            raise RuntimeError(f"more than {most} states")
        level = following
    return Found(len(came), paths)


def _path(setup: Setup, parts: _Parts, came: dict[Packed, Packed | None], end: Packed, wanted: str) -> list[str]:
    """Walk the way again from the start, so that every replica keeps its name and every number its size."""
    way = [end]
    while (before := came[way[-1]]) is not None:
        way.append(before)
    world, labels = start(setup), []
    for packed in way[-2::-1]:
        for label, after, _ in steps(world, setup):
            if parts.pack(normal(after, alike=setup.shared)) == packed:
                world = after
                labels.append(label)
                break
    labels.append(next(f"{label}: breaks {broken!r}" for label, _, broken in steps(world, setup) if broken == wanted))
    return labels
