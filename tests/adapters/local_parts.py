"""What the tests of the local store and state share."""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
import stat
from typing import TYPE_CHECKING, Any

from rotator.model import Document
from rotator.seal import AesSeal
from rotator.stores.local import LocalSecretStore
from rotator.testing.memory import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


NOBODY = 65534
KEY = bytes(range(32))
A_DOCUMENT = Document({"refresh_token": "canary-token"})


def local_store(path: Path, *, key: bytes = KEY, busy_timeout_s: float = 5.0) -> LocalSecretStore:
    return LocalSecretStore("dev", path, AesSeal(lambda: key), VirtualClock(), busy_timeout_s=busy_timeout_s)


def sql(path: Path, statement: str, *values: Any) -> list[Any]:
    """Run one statement beside the store, as an operator with the sqlite3 program would."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, values).fetchall()


@contextlib.contextmanager
def without_permission(folder: Path) -> Iterator[None]:
    """Let nobody into the folder; root, whom no mode stops, becomes nobody meanwhile."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    user = os.geteuid()
    folder.chmod(0)
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(mode)


@contextlib.contextmanager
def limited(what: int, soft: int) -> Iterator[None]:
    before = resource.getrlimit(what)
    resource.setrlimit(what, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


def seed(path: Path) -> None:
    local_store(path).compare_and_swap("a", A_DOCUMENT, expected=None, write_id="w")
