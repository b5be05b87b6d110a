"""Which credentials share one grant."""

from __future__ import annotations

import json

import pytest

from rotator import policy
from rotator.grants import GrantIndex
from rotator.model import Credential, Malformed, Provider, Versioned
from rotator.record_changes import mark
from rotator.records import Claim, StateRecord, digest_of
from rotator.redact import Secret
from tests.core.parts import NOW, fields, stored
from tests.rotation.world import World

EMPTY = StateRecord("i")


def named(name: str) -> Credential:
    acme = Provider("acme", "generic", "https://id.example/token")
    return Credential(name=name, provider=acme, store="main", secret=name)


def holds(token: object) -> Versioned:
    return stored(fields(refresh_token=token))


def spent(*tokens: str) -> StateRecord:
    claims = tuple(Claim(digest_of(Secret(token)), "r", NOW) for token in tokens)
    return StateRecord("i", presented=claims)


def test_two_documents_with_one_token_share_a_grant() -> None:
    """Each of the two is told of the other."""
    index = GrantIndex()
    index.add(named("a"), holds("rt"), EMPTY)
    assert index.sharer("a") is None
    index.add(named("b"), holds("rt"), EMPTY)
    index.add(named("c"), holds("another"), EMPTY)
    assert (index.sharer("a"), index.sharer("b"), index.sharer("c")) == ("b", "a", None)


def test_a_token_that_another_record_spent_is_shared() -> None:
    """A copy of a token that another credential has presented is not sent; the other is not held back by it."""
    index = GrantIndex()
    index.add(named("a"), holds("rt-2"), spent("rt-1"))
    index.add(named("b"), holds("rt-1"), EMPTY)
    assert index.sharer("b") == "a"
    assert index.sharer("a") is None


def test_a_credential_does_not_share_with_itself() -> None:
    """One's own claim on one's own token is no sharing."""
    index = GrantIndex()
    index.add(named("a"), holds("rt"), mark(spent("rt", "rt-0"), "x", "settled"))
    assert index.sharer("a") is None


def test_what_a_rotation_replaced_counts_as_spent() -> None:
    """A copy of the document from before a rotation is told, although the record was not read since."""
    index = GrantIndex()
    index.add(named("a"), holds("rt-1"), EMPTY)
    index.rotated("a", digest_of(Secret("rt-2")))
    index.add(named("b"), holds("rt-1"), EMPTY)
    assert index.sharer("b") == "a"
    assert index.sharer("a") is None


def test_what_is_read_again_takes_the_place_of_what_was_read() -> None:
    """A credential that got a login of its own shares no longer, and its old token is free."""
    index = GrantIndex()
    index.add(named("a"), holds("rt"), EMPTY)
    index.add(named("b"), holds("rt"), EMPTY)
    index.add(named("b"), holds("its own"), EMPTY)
    assert (index.sharer("a"), index.sharer("b")) == (None, None)
    index.add(named("b"), holds("its own"), EMPTY)
    assert index.sharer("b") is None


@pytest.mark.parametrize("content", [Malformed("it is empty"), holds(17).content, holds("").content])
def test_a_document_without_a_token_shares_nothing(content: object) -> None:
    """What holds no usable refresh token is not in the index."""
    index = GrantIndex()
    index.add(named("a"), Versioned("i", "1", None, content), EMPTY)  # type: ignore[arg-type]
    index.add(named("b"), Versioned("j", "1", None, content), EMPTY)  # type: ignore[arg-type]
    assert index.sharer("a") is None
    assert index.sharer("nobody") is None


def test_the_sharer_is_noted_in_what_was_observed() -> None:
    """What was observed is marked only when there is a sharer, and is then unusable."""
    world = World()
    observed = world.replica().observer.observe(world.credential, force=True)
    index = GrantIndex()
    index.add(named("payroll"), observed.situation.stored, observed.situation.record)
    assert index.marked(observed) is observed
    world.store.raw_put("copy", json.dumps(world.document))
    index.add(named("copy"), world.store.read("copy"), EMPTY)
    marked = index.marked(observed)
    assert marked.situation.shared_with == "copy"
    assert isinstance(policy.decide(marked.situation), policy.Unusable)
