"""The local secret store: sealed documents in a SQLite file, for one machine."""

from __future__ import annotations

import itertools
import os.path
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from rotator.bulk import as_value, calls, carries, read_each
from rotator.documents import document_text, parse_document
from rotator.errors import SealBroken, SecretNotFound, StoreCorrupt, StoreError, VersionConflict
from rotator.model import Found, Listed, Versioned
from rotator.sqlite import BUSY_TIMEOUT_S, SqliteFile

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rotator.model import Document
    from rotator.ports import Clock, Seal

_Row: TypeAlias = tuple[int, str, str, str, int | None]
_CURRENT = "SELECT version, created_at, sealed, write_id, replaced FROM secret WHERE name = ?"

BATCH: Final = 500
"""How many secrets are read in one opening of the file: enough that opening it costs next to nothing for each."""


class LocalSecretStore:
    """The port `SecretStore` over a SQLite file. Never stale.

    A document is sealed for `secret:<name>`, without the path, so that the file can be moved. The key and the clock
    come from outside; a key that cannot be loaded is the ConfigError of its source, from `read` and
    `compare_and_swap`.

    Args:
        name: The store's name in the configuration.
        path: The file; made at the first write, with its folder.
        seal: Seals the documents.
        clock: Says when a version was created.
        busy_timeout_s: How long to wait for another writer.
    """

    def __init__(
        self, name: str, path: str | Path, seal: Seal, clock: Clock, *, busy_timeout_s: float = BUSY_TIMEOUT_S
    ) -> None:
        self.name = name
        self._file = SqliteFile(path, busy_timeout_s=busy_timeout_s)
        self._seal = seal
        self._clock = clock

    def read(self, secret: str) -> Versioned:
        """See `SecretStore.read`."""
        row = self._file.reading(lambda connection: _current(connection, secret), absent=None)
        return self._read(secret, row, self._identity(secret))

    @property
    def batch(self) -> int:
        """See `SecretStore.batch`: what is read in one opening of the file."""
        return BATCH

    def read_many(self, secrets: Sequence[str]) -> Mapping[str, Versioned | StoreError]:
        """See `SecretStore.read_many`; never stale."""
        answers: dict[str, Versioned | StoreError] = {}
        for names in calls(secrets, BATCH):
            answers.update(self._read_in_one_opening(names))
        return answers

    def compare_and_swap(self, secret: str, document: Document, *, expected: str | None, write_id: str) -> Versioned:
        """See `SecretStore.compare_and_swap`; never in doubt unless the disk fails."""
        text = document_text(document)
        # The encoding of a lone half of a surrogate pair, which JSON allows and UTF-8 does not.
        sealed = self._seal.seal(text.encode("utf-8", "surrogatepass"), _context(secret))
        created_at = self._clock.now().isoformat()

        def swap(connection: sqlite3.Connection) -> tuple[int, str]:
            row = _current(connection, secret)
            if row is None and expected is not None:
                raise self._not_found(secret)
            version = row[0] if row else 0
            if row and str(version) != expected:
                if self._is_repetition(row, secret, text, expected, write_id):
                    return version, row[1]
                raise VersionConflict(self._identity(secret), expected=expected)
            connection.execute(
                "INSERT OR REPLACE INTO secret (name, version, created_at, sealed, write_id, replaced)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (secret, version + 1, created_at, sealed, write_id, version or None),
            )
            return version + 1, created_at

        version, created_at = self._file.writing(swap)
        return _versioned(self._identity(secret), version, created_at, text)

    def versions(self, secrets: Sequence[str]) -> Mapping[str, Listed]:
        """See `SecretStore.versions`; never lags."""

        def listed(connection: sqlite3.Connection) -> dict[str, Listed]:
            # One walk over an index: cheaper than a query per secret, and no bound on how many are asked for.
            asked = set(secrets)
            file = self._identity("")  # once: it looks at the disk
            rows = connection.execute("SELECT name, version FROM secret")
            return {name: Listed(f"{file}{name}", str(version)) for name, version in rows if name in asked}

        return self._file.reading(listed, absent={})

    def find(self, prefix: str, labels: Mapping[str, str]) -> Mapping[str, Found]:
        """See `SecretStore.find`; never lags. There are no labels here."""
        file = self._identity("")  # once: it looks at the disk

        def found(connection: sqlite3.Connection) -> dict[str, Found]:
            # Names stand in the index by their UTF-8, so those that begin alike stand together.
            rows = connection.execute("SELECT name, version FROM secret WHERE name >= ? ORDER BY name", (prefix,))
            beginning_so = itertools.takewhile(lambda row: row[0].startswith(prefix), rows)
            return {name: Found(name, f"{file}{name}", str(version), {}) for name, version in beginning_so}

        return self._file.reading(found, absent={}) if carries({}, labels) else {}

    def prove_writable(self, secret: str) -> None:
        """See `SecretStore.prove_writable`: a transaction for writing that changes nothing."""
        if self._file.reading(lambda connection: _current(connection, secret), absent=None) is None:
            raise self._not_found(secret)  # before a file is made for nothing
        self._file.writing(lambda _: None)

    def _read_in_one_opening(self, names: list[str]) -> Mapping[str, Versioned | StoreError]:
        def current(connection: sqlite3.Connection) -> dict[str, _Row | None]:
            return {name: _current(connection, name) for name in names}

        nothing: dict[str, _Row | None] = dict.fromkeys(names)
        try:
            rows = self._file.reading(current, absent=nothing)
        except StoreCorrupt:
            return read_each(self.read, names)  # perhaps it is one row alone
        except StoreError as error:
            return dict.fromkeys(names, as_value(error))
        file = self._identity("")  # once: it looks at the disk
        return read_each(lambda name: self._read(name, rows[name], f"{file}{name}"), names)

    def _read(self, secret: str, row: _Row | None, identity: str) -> Versioned:
        if row is None:
            raise self._not_found(secret)
        version, created_at, sealed, _, _ = row
        content = self._opened(secret, sealed)
        try:
            return _versioned(identity, version, created_at, content)
        except (TypeError, ValueError):
            raise StoreCorrupt(
                f"store {self.name}: the row of secret {secret} in {self._file.path} is not one that rotator wrote",
                hint="restore the file from a backup",
            ) from None

    def _identity(self, secret: str) -> str:
        # Without links: a file that is reached by two paths is one file, and its claims must be found by both.
        return f"local:{os.path.realpath(self._file.path)}#{secret}"

    def _not_found(self, secret: str) -> SecretNotFound:
        return SecretNotFound(
            f"store {self.name}: no secret {secret} in {self._file.path}",
            hint="seed it with rotator put NAME",
        )

    def _opened(self, secret: str, sealed: str) -> str | bytes:
        try:
            plain = self._seal.open(sealed, _context(secret))
        except SealBroken:
            raise StoreCorrupt(
                f"store {self.name}: secret {secret} in {self._file.path} does not open",
                hint="use the seal key that the file was written with",
            ) from None
        try:
            return plain.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return plain

    def _is_repetition(self, row: _Row, secret: str, text: str, expected: str | None, write_id: str) -> bool:
        _, _, sealed, last_write_id, replaced = row
        same_write = (last_write_id, replaced and str(replaced)) == (write_id, expected)
        return same_write and self._opened(secret, sealed) == text


def _context(secret: str) -> str:
    return f"secret:{secret}"


def _current(connection: sqlite3.Connection, secret: str) -> _Row | None:
    row: Any = connection.execute(_CURRENT, (secret,)).fetchone()
    return row  # type: ignore[no-any-return]  # the columns of the schema in rotator.sqlite


def _versioned(identity: str, version: int, created_at: str, content: str | bytes) -> Versioned:
    written_at = datetime.fromisoformat(created_at)
    if written_at.tzinfo is None:
        raise ValueError("a local time")
    return Versioned(identity, str(version), written_at, parse_document(content))
