"""Files for their owner's eyes, created whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def create_once(path: Path, fill: Callable[[Path], None]) -> None:
    """Create `path` (mode 0600, durable) with what `fill` writes; a file that is there stays as it is.

    The folder is created with mode 0700 when it is missing. Of several processes that create the same path at once
    one wins, and all of them find its file when this returns. The content is written beside the path and then
    linked: a rename would replace what another process created meanwhile, and writing in place would show a half.

    Args:
        fill: Writes the content of the file whose path it is given.

    Raises:
        OSError: The folder or the file cannot be created. What `fill` raises passes through.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    os.close(handle)
    unfinished = Path(name)
    try:
        fill(unfinished)
        flush(unfinished)
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(unfinished)
    finally:
        unfinished.unlink()
    flush(path.parent)


def flush(path: Path) -> None:
    """Flush a file's content, or the names in a folder, to disk.

    Raises:
        OSError: It is not on disk.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of `content`; one `os.write` may take a part of it only.

    Raises:
        OSError: A part may be written.
    """
    while content:
        content = content[os.write(descriptor, content) :]
