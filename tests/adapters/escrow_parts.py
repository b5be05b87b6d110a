"""What the tests of the escrows share."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rotator.escrow.file import FileEscrow
from rotator.ledger import secret_key
from rotator.records import SealedEntry, StateRecord
from rotator.testing.memory import MemoryRecordWriter, MemoryStateStore, SequentialIds

if TYPE_CHECKING:
    from pathlib import Path

IDENTITY = "local:db#payroll"
ENTRY = SealedEntry(IDENTITY, "p1", "tokens", "r1", "payroll", datetime(2026, 1, 1, tzinfo=UTC), "sealed-text")
OTHER = replace(ENTRY, identity="local:db#other")
RECORD = StateRecord(IDENTITY)
SERIES = itertools.count(1)


def writer(identity: str = IDENTITY, state: MemoryStateStore | None = None) -> MemoryRecordWriter:
    return MemoryRecordWriter(state or MemoryStateStore(), secret_key(identity), identity)


def opened(folder: Path) -> FileEscrow:
    return FileEscrow(folder, SequentialIds(series=next(SERIES)))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
