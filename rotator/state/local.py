"""The local state store: records in a SQLite file, for one machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from rotator.errors import StoreCorrupt, VersionConflict
from rotator.sqlite import BUSY_TIMEOUT_S, SqliteFile
from rotator.state.bodies import body_of, one_by_one, revision_after

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rotator.errors import StoreError
    from rotator.ports import Stored

BATCH: Final = 500
"""How many keys one SELECT names: far below SQLite's bound on variables (32,766 since 3.32, 999 before), and enough for
the opening of the file to cost nothing beside the reading."""


class LocalStateStore:
    """The port `StateStore` over a SQLite file.

    `shared` is False: every process of this machine that opens the path sees the same records, but a replica on
    another machine does not. The promises hold only on a disk that outlives the run: a forgotten claim is a token
    spent twice. Bodies are not sealed: what is secret in a record is sealed before it gets here.

    Args:
        path: The file; made at the first write, with its folder. May be the local secret store's own.
        busy_timeout_s: How long to wait for another writer.
    """

    shared = False
    batch = BATCH

    def __init__(self, path: str | Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self._file = SqliteFile(path, busy_timeout_s=busy_timeout_s)

    def read(self, key: str) -> Stored:
        """See `StateStore.read`."""
        row = self._file.reading(
            lambda connection: connection.execute("SELECT body, revision FROM record WHERE key = ?", (key,)).fetchone(),
            absent=None,
        )
        return (None, 0) if row is None else self._decoded(key, *row)

    def read_many(self, keys: Sequence[str]) -> Mapping[str, Stored | StoreError]:
        """See `StateStore.read_many`. One SELECT for every 500 keys."""
        asked = list(dict.fromkeys(keys))
        found: dict[str, Stored | StoreError] = {}
        for first in range(0, len(asked), BATCH):
            found |= self._read_batch(asked[first : first + BATCH])
        return found

    def _read_batch(self, keys: list[str]) -> dict[str, Stored | StoreError]:
        marks = ",".join("?" * len(keys))
        query = f"SELECT key, body, revision FROM record WHERE key IN ({marks})"  # noqa: S608 - question marks only
        try:
            rows: list[tuple[str, object, object]] = self._file.reading(
                lambda connection: connection.execute(query, keys).fetchall(), absent=[]
            )
        except StoreCorrupt:
            # A text in one of the rows that is no UTF-8 fails the whole SELECT: single reads tell which one.
            return one_by_one(self.read, keys)
        stored = {key: (text, revision) for key, text, revision in rows}
        return one_by_one(lambda key: self._decoded(key, *stored[key]) if key in stored else (None, 0), keys)

    def _decoded(self, key: str, text: object, revision: object) -> Stored:
        try:
            body = body_of(text)
            if not isinstance(revision, int) or revision < 1:
                raise ValueError("no revision")
        except ValueError:
            raise StoreCorrupt(
                f"{self._file.path}: the record {key} is no JSON object with a revision",
                hint="restore the file from a backup that is not older than the last rotation",
            ) from None
        return body, revision

    def compare_and_swap(self, key: str, body: Mapping[str, Any], *, expected: int) -> int:
        """See `StateStore.compare_and_swap`; never in doubt unless the disk fails."""
        text = json.dumps(dict(body), separators=(",", ":"))
        revision = revision_after(expected, text)

        def swap(connection: sqlite3.Connection) -> int:
            row = connection.execute("SELECT revision FROM record WHERE key = ?", (key,)).fetchone()
            if (row[0] if row else 0) != expected:
                raise VersionConflict(f"{self._file.path}, record {key}", expected=expected)
            connection.execute(
                "INSERT OR REPLACE INTO record (key, revision, body) VALUES (?, ?, ?)", (key, revision, text)
            )
            return revision

        return self._file.writing(swap)

    def keys(self, prefix: str) -> list[str]:
        """See `StateStore.keys`."""

        def listed(connection: sqlite3.Connection) -> list[str]:
            # Compared here: LIKE folds case and has wildcards.
            rows = connection.execute("SELECT key FROM record")
            return [key for (key,) in rows if key.startswith(prefix)]

        return self._file.reading(listed, absent=[])

    def prove_writable(self) -> None:
        """See `StateStore.prove_writable`: a transaction for writing that changes nothing; makes the file."""
        self._file.writing(lambda _: None)
