"""A real pseudo-terminal, and a process whose standard streams it is."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

WITHIN_S = 60.0


@dataclass(frozen=True)
class Session:
    """What a process left on its terminal.

    Args:
        screen: All that it wrote there, as it was written.
        piped: What it wrote to stdout, where that was a pipe.
    """

    code: int
    screen: str
    piped: str = ""


def on_terminal(
    arguments: list[str],
    *,
    columns: int = 80,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pipe_stdout: bool = False,
    program: str = "from rotator.cli import main; main()",
    seen: Callable[[str, subprocess.Popen[bytes], Callable[[bytes], object]], None] = lambda *_: None,
) -> Session:
    """Run rotator with stderr, and stdout unless that is piped, on a pseudo-terminal of a width.

    Args:
        env: Beside the environment of this process, without what would choose colours; TERM is xterm-256color.
        program: The Python that runs, with rotator's arguments as its own.
        seen: Called with all that the screen has, whenever there is more, with the process and what presses keys.
    """
    chosen = {"NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES", "TTY_COMPATIBLE"}
    environment = {name: text for name, text in os.environ.items() if name not in chosen}
    environment |= {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **(env or {})}
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=theirs,
            stdout=subprocess.PIPE if pipe_stdout else theirs,
            stderr=theirs,
            env=environment,
            cwd=cwd,
            start_new_session=True,
        )
    finally:
        os.close(theirs)
    try:
        screen = _read(ours, lambda shown: seen(shown, process, lambda keys: os.write(ours, keys)))
        piped = process.communicate(timeout=WITHIN_S)[0] if pipe_stdout else b""
        return Session(process.wait(WITHIN_S), screen, piped.decode())
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)


def _read(ours: int, seen: Callable[[str], None]) -> str:
    """Read until nobody holds the other end any more."""
    ends = time.monotonic() + WITHIN_S
    screen = b""
    while True:
        assert time.monotonic() < ends, screen.decode(errors="replace")
        if not select.select([ours], [], [], 0.1)[0]:
            continue
        try:
            more = os.read(ours, 65536)
        except OSError:  # Linux says EIO when the last one has closed it
            more = b""
        if not more:
            return screen.decode(errors="replace")
        screen += more
        seen(screen.decode(errors="replace"))


def left_on(screen: str, columns: int) -> list[str]:
    """Return the lines that stand on the screen in the end: carriage returns go back, and what comes then covers.

    Raises:
        ValueError: There is an escape sequence, which this knows nothing about.
    """
    if "\x1b" in screen:
        raise ValueError(screen)
    lines = [""]
    column = 0
    for character in screen:
        if character == "\n":
            lines.append("")
        elif character == "\r":
            column = 0
            continue
        else:
            if column == columns:
                lines.append("")
                column = 0
            lines[-1] = lines[-1][:column].ljust(column) + character + lines[-1][column + 1 :]
            column += 1
            continue
        column = 0
    return [line.rstrip() for line in lines]
