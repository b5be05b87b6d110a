"""What every escrow must do: the port's docstrings as tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from rotator.errors import EscrowCorrupt, EscrowUnavailable
from rotator.records import Grant, SealedEntry
from rotator.testing.contract_parts import race

if TYPE_CHECKING:
    from rotator.testing.harnesses import EscrowHarness

_AT = datetime(2026, 1, 1, 12, 30, 15, 250_000, tzinfo=UTC)
_ONE = "memory:main#one"
_TWO = "memory:main#two"
_IDENTITIES = (
    "arn:aws:secretsmanager:us-east-1:123456789012:secret:oauth/dailypay/payroll-export-AbCdEf",
    "vault:https://vault.internal:8200/secret#oauth/../oauth//x/",
    "local:/var/lib/rotator/rotator.db#with spaces",
    "local:Zoë/株式会社/😀",
    "../../etc/passwd",
    "..",
    "UPPER",
    "upper",
    "long" * 200,
)


class EscrowContract:
    """Subclass it with a name that begins with `Test` and a fixture `harness`: a harness over an empty escrow."""

    def test_at_first_nothing_waits(self, harness: EscrowHarness) -> None:
        """A new escrow is empty, for each secret and as a whole."""
        assert _waiting(harness, _ONE) == []
        assert harness.escrow.all_waiting() == ()

    def test_what_is_kept_waits_unchanged(self, harness: EscrowHarness) -> None:
        """An entry is found equal for its secret and in the list of all."""
        entry = _kept(harness, _ONE, "p1")
        assert _waiting(harness, _ONE) == [entry]
        assert harness.escrow.all_waiting() == (entry,)

    def test_a_large_unreadable_reply_waits_unchanged(self, harness: EscrowHarness) -> None:
        """An entry of the kind `reply` with 90 KB is found equal."""
        entry = replace(_entry(_ONE, "p1"), kind="reply", sealed="x" * 90_000)
        harness.escrow.keep(entry, harness.writer(_ONE))
        assert _waiting(harness, _ONE) == [entry]

    def test_what_is_kept_outlives_the_instance(self, harness: EscrowHarness) -> None:
        """Another instance over the same place finds the entry: it was durable when `keep` returned."""
        entry = _kept(harness, _ONE, "p1")
        reopened = harness.reopened()
        assert reopened.waiting(harness.writer(_ONE).record) == (entry,)
        assert reopened.all_waiting() == (entry,)

    def test_the_place_has_one_name_for_ever(self, harness: EscrowHarness) -> None:
        """`place` is a text that another instance over the same place repeats, and so is `shared`."""
        reopened = harness.reopened()
        assert harness.escrow.place
        assert (reopened.place, reopened.shared) == (harness.escrow.place, harness.escrow.shared)

    def test_a_reply_does_not_replace_tokens(self, harness: EscrowHarness) -> None:
        """What could not be read is kept only where nothing better is; tokens replace a reply."""
        writer = harness.writer(_ONE)
        tokens = _entry(_ONE, "p1")
        reply = replace(tokens, kind="reply", sealed="less")
        harness.escrow.keep(reply, writer)
        harness.escrow.keep(tokens, writer)
        harness.escrow.keep(reply, writer)
        assert harness.escrow.waiting(writer.record) == (tokens,)

    def test_tokens_of_an_earlier_request_do_not_replace_those_of_a_later_one(self, harness: EscrowHarness) -> None:
        """Of two holders of one token the one that asked last counts, in whatever order they come to keep."""
        writer = harness.writer(_ONE)
        later = _entry(_ONE, "p1")
        earlier = replace(later, at=later.at - timedelta(seconds=60), rotation_id="earlier", sealed="earlier")
        harness.escrow.keep(earlier, writer)
        harness.escrow.keep(later, writer)
        harness.escrow.keep(earlier, writer)
        assert harness.escrow.waiting(writer.record) == (later,)

    def test_keeping_again_replaces(self, harness: EscrowHarness) -> None:
        """An entry with the same identity and parent takes the place of the first."""
        _kept(harness, _ONE, "p1")
        newer = _kept(harness, _ONE, "p1", sealed="newer")
        assert _waiting(harness, _ONE) == [newer]
        assert harness.escrow.all_waiting() == (newer,)

    def test_successors_of_two_tokens_wait_side_by_side(self, harness: EscrowHarness) -> None:
        """Entries of one secret with different parents do not replace each other."""
        entries = [_kept(harness, _ONE, "p1"), _kept(harness, _ONE, "p2")]
        assert _waiting(harness, _ONE) == entries

    def test_secrets_do_not_see_each_other(self, harness: EscrowHarness) -> None:
        """Entries with the same parent under two secrets stay apart; the list of all has both."""
        one, two = _kept(harness, _ONE, "p1"), _kept(harness, _TWO, "p1", sealed="other")
        assert _waiting(harness, _ONE) == [one]
        assert _waiting(harness, _TWO) == [two]
        assert sorted(harness.escrow.all_waiting(), key=lambda entry: entry.identity) == [one, two]

    def test_every_identity_has_a_place_of_its_own(self, harness: EscrowHarness) -> None:
        """Identities with slashes, dots, spaces, other scripts, great length or another case never meet."""
        entries = [_kept(harness, identity, "p1") for identity in _IDENTITIES]
        assert [_waiting(harness, identity) for identity in _IDENTITIES] == [[entry] for entry in entries]
        assert len(harness.escrow.all_waiting()) == len(entries)

    def test_settling_removes_what_it_names(self, harness: EscrowHarness) -> None:
        """After the settling write and the clearing the named entries are gone, the others wait, in every instance."""
        _kept(harness, _ONE, "p1")
        kept = _kept(harness, _ONE, "p2")
        other = _kept(harness, _TWO, "p1")
        _settle(harness, _ONE, "p1")
        assert _waiting(harness, _ONE) == [kept]
        assert _waiting(harness, _TWO) == [other]
        assert set(harness.reopened().all_waiting()) == {kept, other}

    def test_a_settled_entry_can_be_kept_anew(self, harness: EscrowHarness) -> None:
        """Clearing leaves nothing behind that hides a later entry."""
        _kept(harness, _ONE, "p1")
        _settle(harness, _ONE, "p1")
        assert harness.escrow.all_waiting() == ()
        again = _kept(harness, _ONE, "p1", sealed="again")
        assert _waiting(harness, _ONE) == [again]

    def test_dropping_from_a_record_is_pure(self, harness: EscrowHarness) -> None:
        """`without` changes neither the escrow nor the record it is given, and nothing of the record but the escrow."""
        entry = _kept(harness, _ONE, "p1")
        record = replace(harness.writer(_ONE).record, fence=7, grant=Grant("d", _AT))
        before = replace(record)
        left = harness.escrow.without(record, frozenset({"p1"}))
        assert record == before
        assert replace(left, escrow=()) == replace(before, escrow=())
        assert _waiting(harness, _ONE) == [entry]
        assert harness.escrow.all_waiting() == (entry,)

    def test_clearing_what_is_not_there_is_no_error(self, harness: EscrowHarness) -> None:
        """Clearing an unknown secret or parent, or nothing, changes nothing."""
        entry = _kept(harness, _ONE, "p1")
        harness.escrow.clear(_ONE, frozenset({"unknown"}))
        harness.escrow.clear(_TWO, frozenset({"p1"}))
        harness.escrow.clear(_ONE, frozenset())
        assert _waiting(harness, _ONE) == [entry]

    def test_keeping_leaves_the_rest_of_the_record_alone(self, harness: EscrowHarness) -> None:
        """`keep` loses nothing that stands in the record, and the writer can go on with it."""
        writer = harness.writer(_ONE)
        writer.change(lambda record: replace(record, fence=7))
        harness.escrow.keep(_entry(_ONE, "p1"), writer)
        assert writer.record.fence == 7
        assert writer.change(lambda record: replace(record, fence=8)).fence == 8
        assert harness.writer(_ONE).record.fence == 8
        assert _waiting(harness, _ONE) == [_entry(_ONE, "p1")]

    def test_proving_writable_leaves_nothing_behind(self, harness: EscrowHarness) -> None:
        """The proof adds no entry and removes none."""
        harness.escrow.prove_writable()
        assert harness.escrow.all_waiting() == ()
        entry = _kept(harness, _ONE, "p1")
        harness.escrow.prove_writable()
        assert harness.reopened().all_waiting() == (entry,)

    def test_many_threads_lose_nothing(self, harness: EscrowHarness) -> None:
        """Entries that many threads keep at once, each for its own secret, all wait."""
        race(lambda n: _kept(harness, f"memory:main#{n}", "p1"))
        assert len(harness.escrow.all_waiting()) == 8

    def test_a_damaged_entry_says_so(self, harness: EscrowHarness) -> None:
        """A damaged entry is EscrowCorrupt for its secret and in the list of all; other secrets are not affected."""
        _kept(harness, _ONE, "p1")
        other = _kept(harness, _TWO, "p1")
        harness.damage(_ONE)
        with pytest.raises(EscrowCorrupt):
            _waiting(harness, _ONE)
        with pytest.raises(EscrowCorrupt) as caught:
            harness.escrow.all_waiting()
        assert "sealed" not in str(caught.value)
        assert _waiting(harness, _TWO) == [other]

    def test_a_broken_place_says_so(self, harness: EscrowHarness) -> None:
        """Where the place can be neither read nor written every verb that touches it is EscrowUnavailable."""
        broken, writer = harness.broken(), harness.writer(_ONE)
        for verb in (
            lambda: broken.keep(_entry(_ONE, "p1"), writer),
            lambda: broken.waiting(writer.record),
            lambda: broken.clear(_ONE, frozenset({"p1"})),
            broken.all_waiting,
            broken.prove_writable,
        ):
            with pytest.raises(EscrowUnavailable):
                verb()


def _entry(identity: str, parent: str, sealed: str = "sealed") -> SealedEntry:
    return SealedEntry(
        identity=identity,
        parent=parent,
        kind="tokens",
        rotation_id="00000001-0000-4000-8000-000000000000",
        credential="payroll-export",
        at=_AT,
        sealed=sealed,
    )


def _kept(harness: EscrowHarness, identity: str, parent: str, sealed: str = "sealed") -> SealedEntry:
    entry = _entry(identity, parent, sealed)
    harness.escrow.keep(entry, harness.writer(identity))
    return entry


def _waiting(harness: EscrowHarness, identity: str) -> list[SealedEntry]:
    return sorted(harness.escrow.waiting(harness.writer(identity).record), key=lambda entry: entry.parent)


def _settle(harness: EscrowHarness, identity: str, parent: str) -> None:
    """Do what the procedure does: the settling write first, then the clearing."""
    parents = frozenset({parent})
    harness.writer(identity).change(lambda record: harness.escrow.without(record, parents))
    harness.escrow.clear(identity, parents)
