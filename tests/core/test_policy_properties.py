"""What holds for every situation that can be thought of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from rotator import outcomes
from rotator.model import Credential, Document, Malformed, Replay, Versioned
from rotator.policy import Decision, Due, Held, Situation, Waiting, decide
from rotator.records import Claim, Done, Hold, Lease, ProviderRecord, SealedEntry, StateRecord, digest_of
from rotator.redact import Secret
from tests.core.parts import EPOCH_S, NOW, at, jwt, token_set
from tests.effort import tried
from tests.rotation.world import provider

if TYPE_CHECKING:
    from datetime import datetime

TOKENS = ["rt-1", "rt-2", "rt-3"]
DIGESTS = [digest_of(Secret(token)) for token in TOKENS]


def mostly(usual: st.SearchStrategy[Any], rare: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Nine times in ten the usual: a situation that is strange all over ends at the first check."""
    return st.integers(0, 9).flatmap(lambda drawn: rare if drawn == 9 else usual)


instants = st.integers(-10_000, 10_000).map(at)
maybe = st.none() | instants
digests = mostly(st.just(DIGESTS[0]), st.sampled_from(DIGESTS))
names = st.sampled_from(["me", "other"])
places = st.sampled_from(["state", "file:a", "file:b"])
versions = st.sampled_from(["1", "2", "3"])
wild = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=1)
times = mostly(
    st.integers(EPOCH_S - 10_000, EPOCH_S + 10_000), wild | st.datetimes().map(lambda moment: f"{moment.isoformat()}Z")
)
contents = st.fixed_dictionaries(
    {"refresh_token": mostly(st.just(TOKENS[0]), st.sampled_from(TOKENS) | wild)},
    optional={
        "access_token": st.sampled_from(["at", "at-new", jwt(exp=EPOCH_S + 5), 7]),
        "expires_at": times,
        "issued_at": times,
        "expires_in": st.integers(0, 10_000) | wild,
    },
).map(Document)
claims = st.builds(
    Claim, digests, st.just("r"), instants, names, places, st.integers(1, 4),
    st.sampled_from(["open", "settled", "rejected"]), st.booleans(), st.booleans(), st.none() | st.just("e"), maybe,
)  # fmt: skip
leases = st.builds(Lease, names, st.integers(1, 9), instants)
holds = st.builds(Hold, digests, instants, instants, st.sampled_from(["in_doubt", "x"]), person=st.booleans())
history = st.lists(st.builds(Done, st.just("r"), instants, versions, versions, maybe), max_size=2).map(tuple)
records = st.builds(
    StateRecord, st.just("i"), st.lists(claims, max_size=3, unique_by=lambda claim: claim.digest).map(tuple),
    mostly(st.none(), leases), st.integers(0, 9), mostly(st.none(), holds), st.none(), history,
)  # fmt: skip
received = st.none() | st.builds(
    token_set, refresh_token=st.none() | st.sampled_from(TOKENS).map(Secret),
    access_token=st.sampled_from(["at", "at-new"]).map(Secret),
)  # fmt: skip


@st.composite
def entries(draw: st.DrawFn) -> Waiting:
    tokens, sent_at = draw(received), draw(instants)
    kind: Any = "tokens" if tokens else "reply"
    return Waiting(SealedEntry("i", draw(digests), kind, "r", "c", sent_at, "sealed"), tokens, sent_at)


providers = st.builds(
    provider,
    replay=st.builds(Replay, st.sampled_from(["never", "safe", "until_successor_used", "window"]), st.floats(0, 1e4)),
    on_doubt=st.sampled_from(["wait_then_replay", "operator"]),
    timeout_s=st.floats(1, 100),
    default_lifetime_s=st.none() | st.floats(0, 1e5),
    earliest_refresh_s=st.floats(0, 1e4),
    refresh_before_expiry_s=st.none() | st.floats(1, 1e5),
    refresh_token_idle_s=st.none() | st.floats(1, 1e6),
)
stores = st.builds(Versioned, st.just("i"), versions, maybe, mostly(contents, st.just(Malformed("it is empty"))))
situations = st.builds(
    Situation,
    credential=st.builds(Credential, st.just("c"), providers, st.just("main"), st.just("s")),
    stored=stores,
    record=records,
    provider=st.builds(ProviderRecord, st.just("p"), mostly(st.none(), instants)),
    waiting=mostly(st.just(()), st.lists(entries(), max_size=2).map(tuple)),
    now=instants,
    holder=names,
    place=places,
    escrow_shared=st.booleans(),
    horizon_s=st.floats(0, 1e4),
    force=st.booleans(),
    shared_with=mostly(st.none(), st.just("other")),
)
much = tried(300)


def presented(situation: Situation) -> Claim | None:
    content = situation.stored.content
    token = content.fields.get("refresh_token") if isinstance(content, Document) else None
    return situation.record.claim_on(digest_of(Secret(token))) if isinstance(token, str) else None


@much
@given(situations)
def test_every_situation_has_a_decision_with_a_reason_and_an_outcome(situation: Situation) -> None:
    """Deciding never raises; each decision carries its reason and is told as an outcome."""
    decision = decide(situation)
    assert isinstance(decision, get_args(Decision))
    assert decision.reason
    assert outcomes.of_decision("c", decision).name == "c"


@much
@given(situations)
def test_only_an_unclaimed_token_or_one_in_doubt_is_ever_due(situation: Situation) -> None:
    """Promise 1: a settled or rejected token is never due, and an open one only as one more try that is left."""
    decision = decide(situation)
    if not isinstance(decision, Due):
        return
    claim = presented(situation)
    assert decision.again == (claim is not None)
    if claim:
        assert claim.outcome == "open"
        assert claim.tries < 2 or situation.credential.provider.replay.kind == "safe"
        safe = situation.credential.provider.replay.kind == "safe"
        within_sight = situation.escrow_shared or claim.place == situation.place
        assert safe or claim.permitted or within_sight or ended(situation, decision.deadline)


def ended(situation: Situation, deadline: datetime | None) -> bool:
    return deadline is None or deadline <= situation.now


@much
@given(situations)
def test_nothing_is_due_against_a_pause_a_cooldown_a_lease_or_a_successor(situation: Situation) -> None:
    """Promises 2 and 5: what stands in the way of a refresh is never passed by."""
    decision = decide(situation)
    if not isinstance(decision, Due):
        return
    assert situation.shared_with is None
    assert situation.provider.cooldown_until is None or situation.provider.cooldown_until <= situation.now
    assert situation.record.held_by_other(situation.holder, situation.now) is None
    digest = digest_of(decision.tokens.refresh_token)
    hold = situation.record.hold
    assert not hold or hold.digest != digest or min(hold.until, hold.floor) <= situation.now
    assert all(one.tokens is None or one.entry.parent != digest for one in situation.waiting)


@much
@given(situations)
def test_a_decision_depends_on_nothing_but_the_situation(situation: Situation) -> None:
    """Deciding twice says the same, and a lease is named by its holder."""
    decision = decide(situation)
    assert decide(situation) == decision
    if isinstance(decision, Held):
        assert decision.holder != situation.holder
        assert decision.until > situation.now
    assert NOW.tzinfo
