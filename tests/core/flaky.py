"""A state store and a secret store whose writes go wrong as a script says."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rotator.errors import StoreUnavailable, StoreWriteInDoubt
from rotator.testing.memory import MemorySecretStore, MemoryStateStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Fault = Literal["ok", "unavailable", "applied", "lost", "late"]
"""`unavailable`: surely not applied. In doubt: `applied`, `lost` (never applied), `late` (before the next write)."""


@dataclass
class Script:
    """What happens to the next writes; a callable acts as somebody else just before one. Afterwards all is well."""

    steps: deque[Fault | Callable[[], None]] = field(default_factory=deque)
    writes: int = 0
    late: Callable[[], Any] | None = None

    def write(self, real: Callable[[], Any]) -> Any:
        self.writes += 1
        if self.late:
            landed, self.late = self.late, None
            landed()
        step = self.steps.popleft() if self.steps else "ok"
        if step == "unavailable":
            raise StoreUnavailable("scripted")
        if step == "applied":
            real()
            raise StoreWriteInDoubt("scripted")
        if step == "lost":
            raise StoreWriteInDoubt("scripted")
        if step == "late":
            self.late = real
            raise StoreWriteInDoubt("scripted")
        if callable(step):
            step()
        return real()


class FlakyState(MemoryStateStore):
    """A state store with a script."""

    def __init__(self, *steps: Fault | Callable[[], None]) -> None:
        super().__init__()
        self.script = Script(deque(steps))

    def compare_and_swap(self, key: str, body: Mapping[str, Any], *, expected: int) -> int:
        real = super().compare_and_swap
        return int(self.script.write(lambda: real(key, body, expected=expected)))


class FlakyStore(MemorySecretStore):
    """A secret store with a script for its writes; `stale` holds what the next reads show instead."""

    def __init__(self, name: str, clock: Any, *steps: Fault | Callable[[], None]) -> None:
        super().__init__(name, clock)
        self.script = Script(deque(steps))
        self.stale: deque[Any] = deque()

    def read(self, secret: str) -> Any:
        return self.stale.popleft() if self.stale else super().read(secret)

    def compare_and_swap(self, secret: str, document: Any, *, expected: str | None, write_id: str) -> Any:
        real = super().compare_and_swap
        return self.script.write(lambda: real(secret, document, expected=expected, write_id=write_id))
