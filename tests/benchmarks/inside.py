"""What the benchmarks know of the program's inside, in one place: all else goes through commands, ports and wiring."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rotator.daemon import LONGEST_SLEEP_S, Daemon
from rotator.wiring import App

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable
    from datetime import datetime

    from rotator.dispatch import Dispatcher
    from rotator.outcomes import Outcome
    from rotator.ports import TokenEndpoint
    from rotator.testing.memory import VirtualClock

__all__ = ["App", "daemon", "virtual_daemon", "with_endpoint"]

NO_RELOAD = "nothing is reloaded here"


def with_endpoint(app: App, endpoint: TokenEndpoint) -> App:
    """Return the parts with another token endpoint."""
    rotation = replace(app.rotation, endpoint=endpoint)
    return replace(app, endpoint=endpoint, rotation=rotation, passes=replace(app.passes, rotation=rotation))


def daemon(app: App, tell: Callable[[Outcome], None], note: Callable[..., Any]) -> Daemon:
    """Return the daemon that `rotator run` runs."""
    return Daemon(app, _no_reload, tell, note)


def virtual_daemon(
    app: App,
    clock: VirtualClock,
    tell: Callable[[Outcome], None],
    note: Callable[..., Any],
    step: Callable[[], None] = lambda: None,
) -> Daemon:
    """Return the same daemon in virtual time: jobs run in its own thread, and instead of waiting the clock is set.

    Args:
        step: Called before each wait.
    """
    made = _Virtual(app, _no_reload, tell, note)
    made.clock, made.step = clock, step
    return made


def _no_reload() -> App:
    raise AssertionError(NO_RELOAD)


class _Virtual(Daemon):
    clock: VirtualClock
    step: Callable[[], None]
    dispatcher: Dispatcher

    def _dispatcher(self, pools: contextlib.ExitStack) -> Dispatcher:
        self.dispatcher = super()._dispatcher(pools)
        self.dispatcher.executor = _AtOnce()
        return self.dispatcher

    def _wait_until(self, scheduler: object, at: datetime | None) -> None:
        self.step()
        if self._stopping:
            return
        if self.dispatcher.running or self._looks.waiting:
            self._bell.wait(LONGEST_SLEEP_S)  # it rings: a job has ended, or a look in another thread will
            return
        left_s = (at - self.clock.now()).total_seconds() if at else LONGEST_SLEEP_S
        self.clock.advance(min(LONGEST_SLEEP_S, max(0.0, left_s)))


class _AtOnce(Executor):
    """Runs what is submitted before `submit` returns."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it."""
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done
