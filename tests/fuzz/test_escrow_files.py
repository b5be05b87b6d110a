"""Escrow folders that somebody damaged: what waits is found, or its owner is told; it is never overlooked."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.clocks import SystemIds, this_actor
from rotator.cooldowns import Cooldowns
from rotator.errors import EscrowCorrupt, EscrowUnavailable, RotatorError
from rotator.escrow.file import FileEscrow, _name
from rotator.observe import Observer
from rotator.policy import Due, decide
from rotator.received import Received, opened, sealed_reply, sealed_tokens
from rotator.record_bodies import state_record, to_body
from rotator.records import SealedEntry, StateRecord
from rotator.redact import Secret
from rotator.retrying import Retrier
from rotator.seal import AesSeal
from rotator.testing.memory import MemoryStateStore, SeededRandomness, VirtualClock
from tests.core.parts import DIGEST, NOW, claim_of, stored, token_set
from tests.core.situations import situation
from tests.effort import tried
from tests.fuzz.leaks import INSIDE, INSIDE_TOO, assert_secret
from tests.fuzz.mutations import foreign_json, mutated_bytes, mutated_json
from tests.rotation.world import credential

if TYPE_CHECKING:
    from pathlib import Path

    from rotator.policy import Waiting

SEAL = AesSeal(lambda: bytes(range(32)))
IDENTITY = stored().identity
TOKENS = token_set(access_token=Secret(INSIDE), refresh_token=Secret(INSIDE_TOO))
ENTRY = sealed_tokens(Received(TOKENS, NOW, DIGEST, "r-0"), SEAL, IDENTITY, "payroll")
REPLY = sealed_reply(Secret(INSIDE), SealedEntry(IDENTITY, "b" * 32, "reply", "r-1", "payroll", NOW, ""), SEAL)
RECORD = StateRecord(IDENTITY, (claim_of(),))
FIELDS = {
    "format": 1, "identity": IDENTITY, "parent": DIGEST, "kind": "tokens", "rotation_id": "r-0",
    "credential": "payroll", "at": "2026-01-01T00:00:00Z", "sealed": ENTRY.sealed,
}  # fmt: skip
FILE = _name(IDENTITY, DIGEST)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An escrow in which the successor of the document's refresh token waits."""
    folder = tmp_path_factory.mktemp("fuzzed") / "escrow"
    escrow = FileEscrow(folder, SystemIds())
    assert escrow.place
    escrow.keep(ENTRY, writer=None)  # type: ignore[arg-type]
    assert json.loads((folder / FILE).read_bytes()) == FIELDS
    return folder


def waiting_of(entries: tuple[SealedEntry, ...], record: StateRecord) -> tuple[Waiting, ...]:
    """Open entries as a run of rotator does."""
    clock, state = VirtualClock(), MemoryStateStore()
    retrier = Retrier(clock, SeededRandomness())
    escrow = cast("Any", _Showing(entries))
    observer = Observer({}, state, escrow, SEAL, Cooldowns(state, retrier), clock, retrier, this_actor("once"))
    return observer._waiting(credential(), record, stored())


class _Showing:
    def __init__(self, entries: tuple[SealedEntry, ...]) -> None:
        self.entries = entries

    def waiting(self, _: StateRecord) -> tuple[SealedEntry, ...]:
        return self.entries


def assert_not_sent(entries: tuple[SealedEntry, ...], record: StateRecord = RECORD) -> None:
    """Check that no decision presents the old refresh token while its successor is in the entries."""
    waiting = waiting_of(entries, record)
    for now_s in (300.0, 3600 - 300, 3600 - 10, 4000.0):
        decision = decide(replace(situation(now_s), record=record, waiting=waiting, escrow_shared=False, place="state"))
        assert not isinstance(decision, Due), decision


@tried(250, cost=2)
@given(foreign_json([FIELDS]))
def test_a_damaged_entry_is_no_licence(folder: Path, damaged: bytes) -> None:
    """An entry that is there, whatever became of its bytes, keeps the old refresh token from being presented."""
    (folder / FILE).write_bytes(damaged)
    escrow = FileEscrow(folder, SystemIds())
    try:
        for entries in (escrow.waiting(RECORD), escrow.all_waiting()):
            assert_secret(entries, INSIDE, INSIDE_TOO)
            if damaged:  # an empty file is one whose content never reached the disk
                assert_not_sent(entries)
    except (EscrowCorrupt, EscrowUnavailable) as error:
        assert_secret(error, INSIDE, INSIDE_TOO)


@tried(100)
@given(mutated_json([[FIELDS]], most=1))
def test_a_damaged_entry_in_a_record_is_no_licence(entries: Any) -> None:
    """The same for an entry inside the state record: while it is there it is opened, or somebody is told."""
    body = {**to_body(RECORD), "escrow": entries}
    if not (isinstance(entries, list) and entries) or not isinstance(entries[0], dict):
        return
    body["escrow"] = [{name: value for name, value in entries[0].items() if name != "format"}]
    try:
        record = state_record(IDENTITY, body)
        if record.escrow:
            assert_not_sent(record.escrow, record)
    except RotatorError as error:
        assert_secret(error, INSIDE, INSIDE_TOO)


@tried(100, cost=2)
@given(mutated_bytes([b"0a0b0c0d-0000-4000-8000-000000000001\n"]), st.booleans())
def test_a_damaged_place_is_told(folder: Path, damaged: bytes, known: bool) -> None:
    """A folder whose id is no id, or another's, is an error of the port before anything is believed about it."""
    (folder / FILE).unlink(missing_ok=True)
    place = folder / "place"
    escrow = FileEscrow(folder, SystemIds())
    try:
        place.write_bytes(b"0a0b0c0d-0000-4000-8000-000000000001\n")
        before = escrow.place if known else None
        place.write_bytes(damaged)
        assert escrow.waiting(RECORD) == ()
        now = FileEscrow(folder, SystemIds()).place
        assert before is None or now == before
    except (EscrowCorrupt, EscrowUnavailable) as error:
        assert_secret(error, INSIDE)


def test_files_of_strange_names_are_left_alone(folder: Path) -> None:
    """What is no entry by its name is neither read nor an error."""
    strange = folder.parent / "strange"
    shutil.copytree(folder, strange)
    for name in ("x.json", f"{FILE}.bak", f".{FILE}.1.tmp", "\udcff.json", "place.old", "-".join(["0" * 32] * 2)):
        (strange / name).write_bytes(b"\xff")
    (strange / FILE).write_text(json.dumps(FIELDS))
    assert FileEscrow(strange, SystemIds()).all_waiting() == (ENTRY,)


# ------------------------------------------------------------------------------------------ what was found, by name


def test_tokens_that_pass_for_a_reply_are_still_a_successor() -> None:
    """The kind of an entry is not sealed: one that says `reply` over a sealed token set is corrupt."""
    with pytest.raises(EscrowCorrupt):
        opened(replace(ENTRY, kind="reply"), SEAL)
    with pytest.raises(EscrowCorrupt):
        opened(replace(REPLY, kind="tokens"), SEAL)


def test_an_entry_with_another_parent_is_told_while_the_token_is_in_doubt() -> None:
    """An entry that does not open may be the successor of the claimed token, whatever parent it names."""
    with pytest.raises(EscrowCorrupt):
        assert_not_sent((replace(ENTRY, parent="0" * 32),))


def test_an_entry_that_is_too_deep_is_corrupt(folder: Path) -> None:
    """Beyond the parser's depth."""
    (folder / FILE).write_text("[" * 100_000)
    with pytest.raises(EscrowCorrupt):
        FileEscrow(folder, SystemIds()).waiting(RECORD)
