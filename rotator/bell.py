"""A bell that signal handlers and other threads ring, and one thread waits for."""

from __future__ import annotations

import contextlib
import os
import select


class Bell:
    """A pipe. A `threading.Event` was rejected: set from a signal handler it can dead-lock with its own wait.

    Rings before a wait are kept, and any number of them count as one. Ringing never blocks.
    """

    def __init__(self) -> None:
        self._closed = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def ring(self) -> None:
        """Wake whoever waits; safe in a signal handler and in any thread."""
        if self._closed:
            return  # nobody waits any more, and the number may be another file's by now
        with contextlib.suppress(BlockingIOError):  # full: it rings already
            os.write(self._write, b"!")

    def wait(self, timeout_s: float) -> None:
        """Wait for a ring, at most so long on the machine's clock."""
        poll = select.poll()  # unlike `select`, it takes descriptors beyond 1023
        poll.register(self._read, select.POLLIN)
        poll.poll(max(0.0, timeout_s) * 1000)
        with contextlib.suppress(BlockingIOError):
            while os.read(self._read, 4096):
                pass

    def close(self) -> None:
        """Release the pipe; a late ring does nothing."""
        self._closed = True
        os.close(self._read)
        os.close(self._write)


class Stop:
    """A wish to stop, made in a signal handler and looked at between steps."""

    def __init__(self) -> None:
        self.wanted = False

    def want(self, *_: object) -> None:
        """Wish to stop; has the form of a signal handler."""
        self.wanted = True
