"""Both escrows: the contract, and what is their own."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from escrow_parts import ENTRY, IDENTITY, OTHER, RECORD, files, opened, writer

from rotator.errors import (
    EscrowCorrupt,
    EscrowUnavailable,
    StoreDenied,
    StoreRejected,
    StoreUnavailable,
    StoreWriteInDoubt,
)
from rotator.escrow.record import RecordEscrow
from rotator.ledger import secret_key
from rotator.records import StateRecord
from rotator.testing.contracts import EscrowContract, EscrowHarness, cannot_show
from rotator.testing.memory import MemoryRecordWriter, MemoryStateStore

if TYPE_CHECKING:
    from rotator.errors import StoreError
    from rotator.ports import Escrow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "var" / "escrow"


# ------------------------------------------------------------------------------------------------ the contract


class FileHarness(EscrowHarness):
    def __init__(self, base: Path) -> None:
        self._state = MemoryStateStore()
        self._base = base
        self._folder = base / "escrow"
        self.escrow = opened(self._folder)

    def writer(self, identity: str) -> MemoryRecordWriter:
        return writer(identity, self._state)

    def reopened(self) -> Escrow:
        return opened(self._folder)

    def damage(self, identity: str) -> None:
        (path,) = [path for path in self._folder.glob("*.json") if json.loads(path.read_text())["identity"] == identity]
        path.write_text(path.read_text()[:-20])

    def broken(self) -> Escrow:
        (self._base / "a-file").touch()
        return opened(self._base / "a-file" / "escrow")


class TestFileEscrow(EscrowContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> FileHarness:
        return FileHarness(tmp_path)


class RecordHarness(EscrowHarness):
    def __init__(self) -> None:
        self._state = MemoryStateStore()
        self.escrow = RecordEscrow(self._state)

    def writer(self, identity: str) -> MemoryRecordWriter:
        return writer(identity, self._state)

    def reopened(self) -> Escrow:
        return RecordEscrow(self._state)

    def damage(self, identity: str) -> NoReturn:
        cannot_show("the entry is in the record, which is then StoreCorrupt for its reader; see the tests below")

    def broken(self) -> NoReturn:
        cannot_show("what waits is in the record that the caller has; see the tests below")


class TestRecordEscrow(EscrowContract):
    @pytest.fixture
    def harness(self) -> RecordHarness:
        return RecordHarness()


# ------------------------------------------------------------------------------------------- inside the record


class FailingState(MemoryStateStore):
    """A state store, or a record writer over it, whose every verb fails."""

    def __init__(self, error: StoreError) -> None:
        super().__init__(shared=False)
        self.error = error
        self.record = RECORD

    def fail(self, *args: object, **kwargs: object) -> Any:
        raise self.error

    keys = read = compare_and_swap = prove_writable = change = fail


@pytest.mark.parametrize("shared", [True, False])
def test_an_escrow_in_the_record_is_shared_if_the_state_is(*, shared: bool) -> None:
    """`shared` follows the state store and `place` is `state`."""
    escrow = RecordEscrow(MemoryStateStore(shared=shared))
    assert (escrow.shared, escrow.place) == (shared, "state")


@pytest.mark.parametrize("kind", [StoreDenied, StoreRejected, StoreUnavailable, StoreWriteInDoubt])
def test_a_state_that_fails_is_an_escrow_that_is_not_durable(kind: type[StoreError]) -> None:
    """Whatever the state store raises comes out as EscrowUnavailable with its message and hint."""
    state = FailingState(kind("table t: no", hint="allow it"))
    escrow = RecordEscrow(state)
    for verb in (lambda: escrow.keep(ENTRY, state), escrow.all_waiting, escrow.prove_writable):
        with pytest.raises(EscrowUnavailable, match="table t: no") as caught:
            verb()
        assert caught.value.hint == "allow it"


@pytest.mark.parametrize("text", ["not JSON", '{"format": 99}'])
def test_a_record_that_cannot_be_read_is_named_in_the_list(text: str) -> None:
    """A state record that cannot be decoded makes `all_waiting` EscrowCorrupt, naming the secret."""
    state = MemoryStateStore()
    state.raw_put(secret_key(IDENTITY), text)
    with pytest.raises(EscrowCorrupt, match=IDENTITY):
        RecordEscrow(state).all_waiting()


def test_the_list_ignores_records_that_are_not_of_secrets() -> None:
    """A provider's record in the same state store is not taken for a secret's."""
    state = MemoryStateStore()
    state.raw_put("provider/https://x|y", '{"format": 1, "identity": "z"}')
    assert RecordEscrow(state).all_waiting() == ()


# --------------------------------------------------------------------------------------------------- in files


def test_files_are_private_to_rotators_user(folder: Path) -> None:
    """The folder has mode 0700 and every file in it 0600, whatever the umask allows."""
    before = os.umask(0)
    try:
        escrow = opened(folder)
        assert escrow.place
        escrow.keep(ENTRY, writer())
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600, 0o600]


def test_no_name_leads_out_of_the_folder(folder: Path) -> None:
    """An identity or parent full of path syntax becomes a plain file name in the folder."""
    odd = replace(ENTRY, identity="../../x\0/..", parent="/../../etc/passwd")
    opened(folder).keep(odd, writer(odd.identity))
    (path,) = folder.parent.parent.rglob("*.json")
    assert path.parent == folder
    assert opened(folder).waiting(StateRecord(odd.identity)) == (odd,)


def test_what_waits_is_found_without_opening_other_secrets_files(folder: Path) -> None:
    """`waiting` succeeds beside another secret's damaged entry, for it opens the secret's own files only."""
    escrow = opened(folder)
    escrow.keep(OTHER, writer())
    (path,) = folder.glob("*.json")
    path.write_bytes(b"\xff")
    escrow.keep(ENTRY, writer())
    assert escrow.waiting(RECORD) == (ENTRY,)


def test_entries_wait_oldest_first(folder: Path) -> None:
    """The order of entries is that of their times."""
    entries = [replace(ENTRY, parent=f"p{n}", at=ENTRY.at - timedelta(seconds=n)) for n in range(5)]
    escrow = opened(folder)
    for entry in entries:
        escrow.keep(entry, writer())
    assert escrow.waiting(RECORD) == tuple(reversed(entries)) == escrow.all_waiting()


@pytest.mark.parametrize(
    "content", [b"\0" * 40, b"[]", b"{}", b'{"format": 2}', b'{"format": 1, "sealed": "sealed-text"}']
)
def test_a_damaged_file_is_named_and_left_where_it_is(folder: Path, content: bytes) -> None:
    """A file that holds no entry is EscrowCorrupt naming it and what to do; it stays, and nothing in it is quoted."""
    escrow = opened(folder)
    escrow.keep(ENTRY, writer())
    (path,) = folder.glob("*.json")
    path.write_bytes(content)
    with pytest.raises(EscrowCorrupt, match=path.name) as caught:
        escrow.waiting(RECORD)
    assert "backup" in caught.value.hint
    assert "sealed-text" not in str(caught.value)
    assert path.read_bytes() == content


def test_an_entry_under_anothers_name_is_corrupt(folder: Path) -> None:
    """A copy of one secret's entry under another secret's name is refused, not taken for that secret's tokens."""
    escrow = opened(folder)
    escrow.keep(ENTRY, writer())
    (own,) = folder.glob("*.json")
    own_text = own.read_text()
    own.unlink()
    escrow.keep(OTHER, writer())
    (other,) = folder.glob("*.json")
    other.write_text(own_text)
    with pytest.raises(EscrowCorrupt):
        escrow.waiting(StateRecord(OTHER.identity))


def test_an_entry_that_is_cleared_while_it_is_looked_for_is_not_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that another process removes between the listing and the reading is no error."""
    escrow = opened(folder)
    escrow.keep(ENTRY, writer())
    read_bytes = Path.read_bytes

    def read_after_clear(path: Path) -> bytes:
        path.unlink()
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", read_after_clear)
    assert escrow.waiting(RECORD) == ()


def test_an_entry_is_on_disk_when_keep_returns(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new entry gets its name first, for whoever is killed during the flush; one that replaces is flushed first."""
    escrow = opened(folder)
    assert escrow.place
    calls: list[str] = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        calls.append("flush folder" if Path(f"/proc/self/fd/{descriptor}").resolve() == folder else "flush file")
        real_fsync(descriptor)

    def rename(source: Path, target: Path) -> None:
        calls.append("rename")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", rename)
    escrow.keep(ENTRY, writer())
    assert calls == ["rename", "flush file", "flush folder"]
    calls.clear()
    escrow.keep(replace(ENTRY, sealed="another"), writer())
    assert calls == ["flush file", "rename", "flush folder"]
    calls.clear()
    escrow.clear(IDENTITY, frozenset({"p1"}))
    assert calls == ["flush folder"]


def test_a_name_without_content_is_no_entry(folder: Path) -> None:
    """A power cut between naming and flushing leaves an empty file: `keep` never returned, so nothing was kept."""
    escrow = opened(folder)
    escrow.keep(ENTRY, writer())
    [path] = folder.glob("*.json")
    path.write_bytes(b"")
    assert opened(folder).waiting(RECORD) == ()
    escrow.keep(ENTRY, writer())
    assert opened(folder).waiting(RECORD) == (ENTRY,)


def test_reading_makes_no_folder(folder: Path) -> None:
    """Looking for what waits, clearing and listing leave a folder that does not exist alone."""
    escrow = opened(folder)
    assert escrow.waiting(RECORD) == escrow.all_waiting() == ()
    escrow.clear(IDENTITY, frozenset({"p1"}))
    assert not folder.exists()


def test_foreign_files_are_left_alone(folder: Path) -> None:
    """Files with other names are neither read nor removed."""
    folder.mkdir(parents=True)
    for name in ("notes.json", ".hidden.tmp"):
        (folder / name).write_text("x")
        os.utime(folder / name, (0, 0))
    escrow = opened(folder)
    escrow.keep(ENTRY, writer())
    assert escrow.all_waiting() == (ENTRY,)
    escrow.clear(IDENTITY, frozenset({"p1"}))
    assert files(folder) == [".hidden.tmp", "notes.json"]


def test_clearing_removes_old_temporary_files_only(folder: Path) -> None:
    """A temporary file older than an hour is removed with the next clearing; a young one may have a live writer."""
    escrow = opened(folder)
    escrow.keep(ENTRY, writer())
    (path,) = folder.glob("*.json")
    old, young = folder / f".{path.name}.1.tmp", folder / f".{path.name}.2.tmp"
    for leftover in (old, young):
        leftover.write_text('{"format": 1, "iden')
    hour_ago = young.stat().st_mtime - 3601
    os.utime(old, (hour_ago, hour_ago))
    assert escrow.all_waiting() == (ENTRY,)
    escrow.clear(IDENTITY, frozenset({"p1"}))
    assert files(folder) == [young.name]
