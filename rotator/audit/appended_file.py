"""A file that many threads append to, with one flush for all that they wrote while the last one was under way."""

from __future__ import annotations

import contextlib
import os
import threading


class AppendedFile:
    """An open descriptor; closed once it is let go of and nobody flushes it any more. Thread-safe.

    A flush takes its millisecond and more, however little there is to write. With one for each event, threads that
    rotate 300 credentials a second stood in line for their trail; now each waits for the flush under way and for the
    next, at most.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._changed = threading.Condition()
        self._begun = 0
        self._ended = 0
        self._flushing = False
        self._failed: OSError | None = None
        self._users = 1

    def use(self) -> None:
        """Keep it open until `let_go` was called once more."""
        with self._changed:
            self._users += 1

    def let_go(self) -> None:
        """Close it if nobody else uses it."""
        with self._changed:
            self._users -= 1
            if self._users == 0:
                with contextlib.suppress(OSError):  # what counts was flushed
                    os.close(self.descriptor)

    def flush(self) -> None:
        """Return once all that was written before the call is on disk.

        Raises:
            OSError: It may not be. After a failure nothing of this descriptor is believed: the next flush of what could
                not be written may report success.
        """
        with self._changed:
            wanted = self._begun + 1  # one that is under way may have begun before this was written
            while self._flushing and self._ended < wanted and self._failed is None:
                self._changed.wait()
            if self._failed is not None:
                raise OSError(*self._failed.args)
            if self._ended >= wanted:
                return
            self._begun, self._flushing = wanted, True
        ended = self._ended
        try:
            os.fsync(self.descriptor)
            ended = wanted
        except OSError as error:
            self._failed = error
            raise
        finally:
            with self._changed:
                self._flushing, self._ended = False, ended
                self._changed.notify_all()
