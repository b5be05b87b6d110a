"""The progress bar of long work: one line on stderr, on a terminal only, gone when the work is done."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, TextIO, cast

from rotator.clocks import SystemClock
from rotator.progress import unwatched
from rotator.terminals import is_dumb, takes_escapes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rotator.ports import Clock
    from rotator.progress import Progress

PATIENCE_S = 0.5
"""Work that is done before this shows no bar."""

REDRAWN_S = 0.1

WIDEST = 30
LEAST_BAR = 8


@contextlib.contextmanager
def watched(env: Mapping[str, str]) -> Iterator[Progress]:
    """Show a bar for the length of the block, once that takes long; nothing where stderr is no terminal.

    Whatever is written to `sys.stdout` and `sys.stderr` meanwhile goes above it. For one thread at a time.
    """
    before = sys.stdout, sys.stderr
    if not sys.stderr.isatty() or is_dumb(env):
        yield unwatched
        return
    bar = Bar(sys.stderr, SystemClock(), colours=takes_escapes(env))
    if sys.stdout.isatty():  # else nobody sees both, and what is piped is left alone
        sys.stdout = cast("TextIO", _Above(sys.stdout, bar))
    sys.stderr = cast("TextIO", _Above(sys.stderr, bar))
    try:
        with bar:
            yield bar
    finally:
        sys.stdout, sys.stderr = before


class Bar:
    """Draws how far work is, in a thread of its own. Thread-safe.

    A carriage return and spaces take the line away, and the cursor stays as it is: however the process ends, nothing
    of the terminal has to be put back. rich's own live display hides the cursor, and takes what is written beside it
    apart at the terminal's width; so only the bar itself is drawn by rich.

    Args:
        stream: A terminal.
        colours: Whether it may be sent escape sequences.
    """

    def __init__(self, stream: TextIO, clock: Clock, *, colours: bool) -> None:
        self._stream = stream
        self._clock = clock
        self._colours = colours
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._told: tuple[str, int, int] | None = None
        self._begun_s = 0.0
        self._drawn = 0
        self._mid_line = False
        self._thread = threading.Thread(target=self._draw_on, name="bar", daemon=True)

    def __call__(self, doing: str, done: int, total: int, /) -> None:
        """Take note; see `Progress`."""
        self._told = doing, done, total

    def write(self, stream: TextIO, text: str) -> int:
        """Write a text in place of the bar, which comes back below it once the text has ended its line."""
        with self._lock:
            self._wipe()
            count = stream.write(text)
            if self._thread.is_alive():
                stream.flush()
            self._mid_line = not text.endswith("\n") if text else self._mid_line
        return count

    def __enter__(self) -> Bar:  # noqa: PYI034 - final by use
        self._begun_s = self._clock.monotonic_s()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    # ---------------------------------------------------------------------------------------------- its thread

    def _draw_on(self) -> None:
        pause_s = PATIENCE_S
        # A terminal that is gone ends the bar; the work goes on, and tells by itself what it cannot write.
        with contextlib.suppress(OSError, ValueError):
            while not self._over.wait(pause_s):
                pause_s = REDRAWN_S
                self._draw()
            with self._lock:
                self._wipe()

    def _draw(self) -> None:
        told = self._told
        if told is None:
            return
        width = _columns(self._stream)
        visible, line = self._line(*told, width)
        with self._lock:
            if self._over.is_set() or self._mid_line:
                return
            self._stream.write("\r" + line + " " * max(0, min(self._drawn, width - 1) - visible))
            self._stream.flush()
            self._drawn = max(visible, min(self._drawn, width - 1))

    def _wipe(self) -> None:
        if self._drawn:
            self._stream.write("\r" + " " * self._drawn + "\r")
            self._stream.flush()
            self._drawn = 0

    def _line(self, doing: str, done: int, total: int, width: int) -> tuple[int, str]:
        """Return the line and how many columns it takes: never the last one, behind which a terminal goes on below."""
        elapsed_s = int(self._clock.monotonic_s() - self._begun_s)
        share = min(1.0, done / total) if total else 0.0
        before = f"{doing} "
        time = f"{elapsed_s // 60}:{elapsed_s % 60:02d}"
        after = f" {share:4.0%} {time}"
        room = min(WIDEST, width - 1 - len(before) - len(after))
        if not total or room < LEAST_BAR:
            text = (before + (after.lstrip() if total else time))[: max(0, width - 1)]
            return len(text), text
        return len(before) + room + len(after), before + self._drawn_bar(share, room) + after

    def _drawn_bar(self, share: float, columns: int) -> str:
        from rich.console import Console  # noqa: PLC0415 - on use: most work is done before there is a bar
        from rich.progress_bar import ProgressBar  # noqa: PLC0415 - likewise

        system: Any = "auto" if self._colours else None
        console = Console(file=self._stream, force_terminal=True, color_system=system, width=columns)
        with console.capture() as captured:
            bar = ProgressBar(1.0, share, columns, complete_style="cyan", finished_style="cyan")
            console.print(bar, end="")
        return captured.get().rstrip("\n").ljust(columns)  # without colours rich leaves the rest of the bar out


class _Above:
    """A stream whose texts go above the bar; all else is the stream's own."""

    def __init__(self, stream: TextIO, bar: Bar) -> None:
        self._stream = stream
        self._bar = bar

    def write(self, text: str) -> int:
        return self._bar.write(self._stream, text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80
