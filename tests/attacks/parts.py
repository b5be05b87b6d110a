"""Wrappers that an adversary needs: a clock that is wrong, a state that looks away, another credential."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rotator.errors import StoreUnavailable
from rotator.state.bodies import one_by_one

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from rotator.testing.memory import VirtualClock
    from tests.rotation.world import Replica, World


@dataclass
class WrongClock:
    """The wall clock of one machine: off by `ahead_s`, while the monotonic clock is right."""

    right: VirtualClock
    ahead_s: float = 0.0
    during_sleep: Callable[[], object] | None = None

    def now(self) -> datetime:
        return self.right.now() + timedelta(seconds=self.ahead_s)

    def monotonic_s(self) -> float:
        return self.right.monotonic_s()

    def sleep(self, seconds: float) -> None:
        """Let time pass; others go on meanwhile."""
        left_s = seconds
        while left_s > 0:
            self.right.sleep(min(30.0, left_s))
            left_s -= 30.0
            if self.during_sleep:
                self.during_sleep()


def replica_with(world: World, clock: Any, **ports: Any) -> Replica:
    """Start a process on a machine with a clock of its own."""
    right, world.clock = world.clock, clock
    try:
        return world.replica(**ports)
    finally:
        world.clock = right


def another(world: World, name: str) -> Any:
    """Seed another credential of the same provider and client."""
    world.store.raw_put(name, json.dumps(world.provider.login()))
    return replace(world.credential, name=name, secret=name)


@dataclass
class Watched:
    """The state, with something that happens at a call."""

    inner: Any
    shared: bool = True
    down: Callable[[str], bool] = lambda _: False
    after_read: Callable[[str], None] = lambda _: None
    after_write: Callable[[str, Any], None] = lambda *_: None
    writes: list[str] = field(default_factory=list)

    def read(self, key: str) -> Any:
        if self.down(key):
            raise StoreUnavailable("state: no answer")
        found = self.inner.read(key)
        self.after_read(key)
        return found

    @property
    def batch(self) -> int:
        size: int = self.inner.batch
        return size

    def read_many(self, keys: Sequence[str]) -> Any:
        return one_by_one(self.read, keys)

    def compare_and_swap(self, key: str, body: Any, *, expected: int) -> int:
        if self.down(key):
            raise StoreUnavailable("state: no answer")
        revision: int = self.inner.compare_and_swap(key, body, expected=expected)
        self.writes.append(key)
        self.after_write(key, body)
        return revision

    def keys(self, prefix: str) -> list[str]:
        return list(self.inner.keys(prefix))

    def prove_writable(self) -> None:
        self.inner.prove_writable()
