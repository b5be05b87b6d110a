"""The one module that touches the real clock, real randomness and real ids."""

from __future__ import annotations

import os
import random
import socket
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rotator.model import Actor

if TYPE_CHECKING:
    from rotator.model import Mode


_UNINTERRUPTED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The machine's clocks. Thread-safe."""

    def now(self) -> datetime:
        """Return the wall clock as an aware UTC instant."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Return seconds on a clock that never goes back; only differences mean anything.

        On Linux it goes on while the machine is suspended: a request must not leave late because nobody counted.
        """
        return time.clock_gettime(_UNINTERRUPTED)

    def sleep(self, seconds: float) -> None:
        """Block this thread for `seconds`."""
        time.sleep(max(0.0, seconds))


@dataclass(frozen=True, slots=True)
class SystemIds:
    """Random identifiers. Thread-safe."""

    def new_id(self) -> str:
        """Return a fresh UUID, version 4, in its canonical text form."""
        return str(uuid.uuid4())


class SystemRandom:
    """Randomness for backoff; not for keys. Thread-safe."""

    def __init__(self) -> None:
        self._random = random.SystemRandom()

    def uniform(self, low: float, high: float) -> float:
        """Return a number between `low` and `high`."""
        return self._random.uniform(low, high)


def this_actor(mode: Mode) -> Actor:
    """Return who acts: this host, this process, and an instance id that is new with every start."""
    return Actor(host=socket.gethostname(), pid=os.getpid(), mode=mode, instance=uuid.uuid4().hex[:12])
