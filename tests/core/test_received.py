"""A received token set on its way: sealed for the escrow, merged into the document."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.errors import EscrowCorrupt, SecretNotFound, StoreDenied, StoreRejected, StoreUnavailable
from rotator.model import TokenSet, Versioned
from rotator.received import WRITES, Received, WriteBack, opened, sealed_reply, sealed_tokens
from rotator.records import SealedEntry, digest_of
from rotator.redact import Secret
from rotator.retrying import Retrier
from rotator.seal import AesSeal
from rotator.testing.memory import SeededRandomness, VirtualClock
from tests.core.flaky import FlakyStore
from tests.core.parts import DIGEST, EPOCH_S, NOW, RT, at, fields, token_set
from tests.effort import tried
from tests.rotation.world import credential

SEAL = AesSeal(lambda: bytes(32))
SECRET = "payroll"


def received(**tokens: Any) -> Received:
    return Received(token_set(**tokens), NOW, DIGEST, "r1")


# ------------------------------------------------------------------------------------------------------ sealing

texts = st.text(max_size=10)
moments = st.datetimes(datetime(1971, 1, 1), datetime(2168, 1, 1), timezones=st.just(NOW.tzinfo))  # type: ignore[arg-type]  # noqa: DTZ001 - as Hypothesis wants them
token_sets = st.builds(
    TokenSet, texts.map(Secret), st.none() | st.text(min_size=1).map(Secret), texts, st.none() | texts,
    st.none() | st.text(min_size=1).map(Secret), st.none() | st.floats(0, 1e9), st.none() | st.floats(0, 1e9),
    st.none() | texts,
)  # fmt: skip


@tried(100)
@given(token_sets, moments)
def test_a_sealed_token_set_opens_as_it_was(tokens: TokenSet, sent_at: Any) -> None:
    """Every member of a token set survives the escrow, the time of sending too."""
    entry = sealed_tokens(Received(tokens, sent_at, "parent", "r1"), SEAL, "i", "c")
    waiting = opened(entry, SEAL)
    assert (waiting.tokens, waiting.sent_at, waiting.entry) == (tokens, sent_at, entry)
    assert (entry.identity, entry.parent, entry.kind, entry.rotation_id, entry.credential, entry.at) == (
        "i", "parent", "tokens", "r1", "c", sent_at,
    )  # fmt: skip


def test_an_entry_shows_nothing_of_what_is_sealed() -> None:
    """Promise 7: neither the entry's text nor its repr holds a token."""
    entry = sealed_tokens(received(id_token=Secret("id-new")), SEAL, "i", "c")
    waiting = opened(entry, SEAL)
    for text in ("at-new", "rt-new", "id-new"):
        assert text not in repr(entry)
        assert text not in repr(waiting)


def test_a_reply_that_could_not_be_read_is_sealed_without_tokens() -> None:
    """An unreadable reply is kept for an operator, and recovers nothing."""
    bare = SealedEntry("i", DIGEST, "reply", "r1", "c", NOW, "")
    entry = sealed_reply(Secret('{"refresh_token": "half'), bare, SEAL)
    assert replace(entry, sealed="") == bare
    assert "half" not in repr(entry)
    assert opened(entry, SEAL).tokens is None
    assert json.loads(SEAL.open(entry.sealed, f"escrow|i|{DIGEST}"))["body"] == '{"refresh_token": "half'


@pytest.mark.parametrize("of", ["a", "\xe9", "\x00", '"', "\x7f\xff", "\ud83d"])
def test_what_is_kept_of_an_unreadable_reply_is_bounded_in_bytes(of: str) -> None:
    """Promise 2: a page in another script, or a compressed one, fits beside the record like any other."""
    bare = SealedEntry("i", DIGEST, "reply", "r1", "c", NOW, "")
    body = of * (1 << 19)
    entry = sealed_reply(Secret(body), bare, SEAL)
    kept = json.loads(SEAL.open(entry.sealed, f"escrow|i|{DIGEST}"))["body"]
    assert len(entry.sealed) < 70_000
    assert body.startswith(kept)
    assert len(kept) >= 8_000
    assert opened(entry, SEAL).sent_at == NOW


def damaged() -> dict[str, SealedEntry]:
    entry = sealed_tokens(received(), SEAL, "i", "c")
    context = f"escrow|i|{DIGEST}"
    other = AesSeal(lambda: b"x" * 32)
    return {
        "another key": replace(entry, sealed=other.seal(b"{}", context)),
        "another secret's": replace(entry, identity="j"),
        "another token's": replace(entry, parent="p"),
        "cut short": replace(entry, sealed=entry.sealed[:40]),
        "no base64": replace(entry, sealed="*"),
        "not JSON": replace(entry, sealed=SEAL.seal(b"\xff", context)),
        "no object": replace(entry, sealed=SEAL.seal(b"[]", context)),
        "no tokens": replace(entry, sealed=SEAL.seal(b'{"sent_at": "2026-01-01T00:00:00+00:00"}', context)),
        "tokens that are none": replace(
            entry, sealed=SEAL.seal(b'{"sent_at": "2026-01-01T00:00:00+00:00", "tokens": {}}', context)
        ),
        "a time that is none": replace(entry, sealed=SEAL.seal(b'{"sent_at": "then", "tokens": {}}', context)),
    }


@pytest.mark.parametrize("damage", damaged())
def test_an_entry_that_does_not_open_is_corrupt(damage: str) -> None:
    """Another key, another context or damage ends as one error that names the entry and what to do."""
    with pytest.raises(EscrowCorrupt) as error:
        opened(damaged()[damage], SEAL)
    assert error.value.message.startswith("the escrow entry of c from 2026-01-01T00:00:00+00:00 cannot be opened")
    assert "seal key" in error.value.hint
    assert error.value.__cause__ is None


def test_a_received_set_knows_its_successor() -> None:
    """Without a refresh token, or with the same one, the presented token stays the good one."""
    assert received().rotated
    assert received(refresh_token=None).successor == DIGEST
    assert not received(refresh_token=None).rotated
    assert not received(refresh_token=Secret(RT)).rotated


# --------------------------------------------------------------------------------------------------- write back


class Scene:
    """A store that goes wrong as told, and one write back into it."""

    def __init__(self, *steps: Any, **changes: Any) -> None:
        self.clock = VirtualClock()
        self.store = FlakyStore("main", self.clock)
        self.store.raw_put(SECRET, json.dumps(fields(note="mine", **changes)))
        self.base: Versioned = self.store.read(SECRET)
        self.clock.advance(10)
        self.store.script.steps.extend(steps)

    def run(self, spent: frozenset[str] = frozenset(), **tokens: Any) -> Versioned:
        randomness = SeededRandomness()
        write_back = WriteBack(self.clock, randomness, Retrier(self.clock, randomness))
        return write_back.run(self.store, credential(SECRET), self.base, received(**tokens), spent)

    def edit(self, **changes: Any) -> None:
        self.store.raw_put(SECRET, json.dumps({**self.document, **changes}))

    @property
    def document(self) -> dict[str, Any]:
        return dict(json.loads(self.store.raw_get(SECRET)))


@pytest.mark.parametrize("fault", ["ok", "unavailable", "applied", "lost", "late"])
def test_tokens_are_written_once_whatever_happens_to_the_answer(fault: str) -> None:
    """Answered, refused, in doubt and applied, not applied or landed late: the tokens are in, as one new version."""
    scene = Scene(fault)
    written = scene.run()
    assert scene.document["refresh_token"] == "rt-new"
    assert scene.document["access_token"] == "at-new"
    assert scene.document["note"] == "mine"
    assert written == scene.store.read(SECRET)
    assert written.version == "2"


@pytest.mark.parametrize("fault", ["ok", "applied", "lost", "late"])
def test_a_persons_edit_of_another_field_is_kept(fault: str) -> None:
    """Promise 3: after a conflict only rotator's own fields are merged into the newer document."""
    scene = Scene()
    scene.store.script.steps.extend([lambda: scene.edit(note="edited", more=1), fault])  # type: ignore[list-item]
    written = scene.run()
    assert (scene.document["note"], scene.document["more"]) == ("edited", 1)
    assert scene.document["refresh_token"] == "rt-new"
    assert written == scene.store.read(SECRET)


def test_a_refresh_token_that_a_person_put_stays() -> None:
    """Promise 3: after a conflict with another refresh token nothing is written, the person's version is returned."""
    scene = Scene()
    scene.store.script.steps.append(lambda: scene.edit(refresh_token="rt-person", access_token="at-person"))
    written = scene.run()
    assert written == scene.store.read(SECRET)
    assert scene.document["refresh_token"] == "rt-person"
    assert scene.store.script.writes == 1


def test_an_old_copy_that_somebody_saved_is_no_new_login() -> None:
    """Promise 2: a document that shows a token that was spent before takes the received tokens, edits kept."""
    scene = Scene()
    scene.store.script.steps.append(lambda: scene.edit(refresh_token="rt-older", note="edited"))
    scene.run(spent=frozenset({digest_of(Secret("rt-older"))}))
    assert scene.document["refresh_token"] == "rt-new"
    assert scene.document["note"] == "edited"


@pytest.mark.parametrize(("issued_s", "stays"), [(-1, False), (0, False), (1, True)])
def test_a_newer_access_token_of_another_replica_stays(issued_s: int, stays: bool) -> None:
    """Where the refresh token stays, after a conflict the access token that was issued later wins."""
    scene = Scene()
    issued_at = EPOCH_S + issued_s
    scene.store.script.steps.append(lambda: scene.edit(access_token="at-other", issued_at=issued_at))
    scene.run(refresh_token=None)
    assert scene.document["access_token"] == ("at-other" if stays else "at-new")


def test_a_person_who_re_seeds_over_a_write_in_doubt_stays() -> None:
    """A write that was applied and then overwritten by a person is not repeated."""
    scene = Scene("applied")
    real = scene.store.read

    def read(secret: str) -> Any:
        scene.edit(refresh_token="rt-person")
        scene.store.read = real  # type: ignore[method-assign]
        return real(secret)

    scene.store.read = read  # type: ignore[method-assign]
    assert scene.run() == scene.store.read(SECRET)
    assert scene.document["refresh_token"] == "rt-person"


def test_a_stale_read_older_than_the_base_tells_nothing() -> None:
    """After a conflict a read that is older than what was read first does not pass for a person's re-seeding."""
    scene = Scene()
    base = scene.base
    old = replace(
        base, version="0", created_at=at(-60), content=replace(base.content, fields=fields(refresh_token="rt-0"))
    )
    scene.store.stale.extend([old, old])
    scene.store.script.steps.extend(["lost", "lost"])
    scene.run()
    assert scene.document["refresh_token"] == "rt-new"
    assert scene.clock.monotonic_s() > 10.1


def test_a_read_that_still_shows_the_base_is_waited_out() -> None:
    """An eventually consistent store that shows the base after a conflict is asked again, after a pause."""
    scene = Scene()
    scene.store.stale.extend([scene.base, scene.base])
    scene.store.script.steps.append(lambda: scene.edit(note="edited"))
    written = scene.run()
    assert scene.document["note"] == "edited"
    assert scene.document["refresh_token"] == "rt-new"
    assert written.version == "3"
    assert scene.clock.monotonic_s() > 10.1


def test_a_document_that_was_destroyed_meanwhile_is_not_repaired_by_guess() -> None:
    """A person's broken content is left; the error tells where the tokens wait and what to do."""
    for content in ("oops", json.dumps({"refresh_token": 1})):
        scene = Scene()
        scene.store.script.steps.append(lambda content=content, scene=scene: scene.store.raw_put(SECRET, content))  # type: ignore[misc]
        with pytest.raises(StoreRejected) as error:
            scene.run()
        assert "was changed meanwhile and cannot be used" in error.value.message
        assert "rotator escrow replay" in error.value.hint
        assert scene.store.raw_get(SECRET) == content


def test_a_base_that_is_no_document_is_refused() -> None:
    """Nothing is merged into what is no document."""
    scene = Scene()
    scene.store.raw_put(SECRET, "oops")
    scene.base = scene.store.read(SECRET)
    with pytest.raises(StoreRejected):
        scene.run()


def test_a_secret_that_was_deleted_meanwhile_is_not_created_again() -> None:
    """Deleting a secret is a person's word."""
    scene = Scene()
    scene.store.script.steps.append(lambda: scene.store.raw_delete(SECRET))
    with pytest.raises(SecretNotFound):
        scene.run()


def test_endless_conflicts_leave_it_to_a_later_run() -> None:
    """A document that changes under every write is put off; the tokens stay in escrow."""
    scene = Scene()
    numbers = iter(range(100))
    scene.store.script.steps.extend([lambda: scene.edit(note=next(numbers))] * (WRITES + 2))
    with pytest.raises(StoreUnavailable) as error:
        scene.run()
    assert "changes without end" in error.value.message
    assert scene.store.script.writes == WRITES


def test_a_store_that_refuses_is_asked_once() -> None:
    """A denial is passed on: the tokens stay in escrow."""
    scene = Scene()

    def denied() -> None:
        raise StoreDenied("no")

    scene.store.script.steps.append(denied)
    with pytest.raises(StoreDenied):
        scene.run()
    assert scene.store.script.writes == 1


def test_what_is_written_already_is_not_written_again() -> None:
    """When the document shows the received tokens, its version is returned without a write."""
    scene = Scene()
    first = scene.run()
    scene.base = first
    assert scene.run() == first
    assert scene.store.script.writes == 1


@pytest.mark.parametrize("fault", ["applied", "lost", "late"])
def test_without_rotation_the_access_token_tells_whether_it_was_written(fault: str) -> None:
    """Where the refresh token stays, a lost answer is compared by the access token."""
    scene = Scene(fault)
    written = scene.run(refresh_token=None)
    assert (scene.document["refresh_token"], scene.document["access_token"]) == (RT, "at-new")
    assert written.version == "2"


def test_tokens_that_must_not_be_published_change_the_refresh_token_alone() -> None:
    """The refresh token is written although the access token is not."""
    scene = Scene("applied")
    scene.run(extra_problem="wrong subject")
    assert scene.document == fields(note="mine", refresh_token="rt-new")
    again = Scene()
    assert again.run(extra_problem="wrong subject", refresh_token=None) == again.base
