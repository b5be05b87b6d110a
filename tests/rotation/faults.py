"""Wrappers round the ports: a crash or a failure at the k-th call, before or after its effect."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

When = Literal["before", "after"]


class Crash(BaseException):
    """The process is gone. No `except Exception` of the code under test can hold it up."""


@dataclass
class Faults:
    """Counts the port calls of one replica and lets one of them go wrong."""

    at: int | None = None
    when: When = "before"
    error: Callable[[], BaseException] = Crash
    only: frozenset[str] = frozenset()
    calls: list[str] = field(default_factory=list)
    hit: str | None = None

    def wrap(self, name: str, port: Any) -> Any:
        return _Wrapped(name, port, self)

    def begin(self, call: str) -> bool:
        """Count a call; return whether it is the one to fail."""
        if self.only and call not in self.only:
            return False
        self.calls.append(call)
        return self.at is not None and len(self.calls) - 1 == self.at


class _Wrapped:
    def __init__(self, name: str, port: Any, faults: Faults) -> None:
        self._name, self._port, self._faults = name, port, faults

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(self._port, attribute)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            fails = self._faults.begin(f"{self._name}.{attribute}")
            if fails and self._faults.when == "before":
                self._faults.hit = self._faults.calls[-1]
                raise self._faults.error()
            result = value(*args, **kwargs)
            if fails:
                self._faults.hit = self._faults.calls[-1]
                raise self._faults.error()
            return result

        return call
