"""Reading and writing the credential document."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.documents import document_text, instant, jwt_claims, merged, parse_document, seconds, stored_tokens
from rotator.model import Document, Malformed, StoredTokens, Versioned
from rotator.redact import Secret
from tests.core.parts import EPOCH_S, NOW, RT, at, fields, jwt, stored, token_set
from tests.effort import tried
from tests.rotation.world import provider

much = tried(200)
texts = st.text(max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(scalars, lambda deep: st.lists(deep, max_size=3) | st.dictionaries(texts, deep, max_size=3))
OURS = ["access_token", "refresh_token", "token_type", "scope", "id_token", "expires_in", "issued_at", "expires_at"]
instants = st.one_of(
    st.integers(), st.floats(), texts, st.booleans(), st.none(), st.integers().map(str),
    st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5))])).map(datetime.isoformat),
    st.datetimes().map(datetime.isoformat),
)  # fmt: skip
documents = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("access_token", "refresh_token"), texts | values | st.just(jwt(exp=EPOCH_S))),
        **dict.fromkeys(("expires_at", "expires_in", "issued_at"), instants | values),
        **dict.fromkeys(("scope", "client_id", "client_secret", "id_token", "note"), values),
    },
)


def expiry(created_at: datetime | None = None, default_s: float | None = None, **changes: Any) -> datetime | None:
    tokens = stored_tokens(stored(fields(**changes), created_at=created_at), provider(default_lifetime_s=default_s))
    assert isinstance(tokens, StoredTokens)
    return tokens.expires_at


# ------------------------------------------------------------------------------------------------------ parsing


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "it is binary, not text"),
        (b"\xff\xfe", "it is binary, not text"),
        ("", "it is empty"),
        (b" \n\t", "it is empty"),
        ("{", "it is not JSON"),
        ("{'a': 1}", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("9" * 5000, "it is not JSON"),
        ("null", "it is not a JSON object"),
        ('"text"', "it is not a JSON object"),
        ("[{}]", "it is not a JSON object"),
        ('{"a": 1, "a": 1}', "a name stands in it twice"),
        ('{"deep": {"a": 1, "a": 2}}', "a name stands in it twice"),
    ],
)
def test_what_is_no_document_is_told_apart(content: str | bytes | None, problem: str) -> None:
    """Each way of not being a document has its own problem text."""
    assert parse_document(content) == Malformed(problem)


def test_bytes_are_read_as_utf_8() -> None:
    """A document may come as bytes."""
    assert parse_document('{"note": "ü"}'.encode()) == Document({"note": "ü"})


def test_the_text_is_compact_and_keeps_the_order_and_the_letters() -> None:
    """Names stay in their order and letters outside ASCII stay readable."""
    assert document_text(Document({"z": "ü", "a": [1, None]})) == '{"z":"ü","a":[1,null]}'


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_a_constant_that_is_no_json_is_not_written_back(constant: str) -> None:
    """What rotator writes is JSON for every reader: a document with NaN in it is refused before a token is spent."""
    assert parse_document(f'{{"refresh_token": "a", "x": {constant}}}') == Malformed("it is not JSON")


@pytest.mark.parametrize("number", ["0.10000000000000000001", "1e400", "-1e400", "1e-400", "123456789012345678.9"])
def test_a_number_that_would_change_is_refused(number: str) -> None:
    """Promise 3: a foreign number beyond a double's reach would come back changed, so nothing is written at all."""
    found = parse_document(f'{{"refresh_token": "a", "x": [{number}]}}')
    assert found == Malformed("it holds a number that would not be written back as it is")


@pytest.mark.parametrize("number", ["0", "-0.0", "0.1", "1.50", "1E5", "1e22", "12345678901234567890123"])
def test_a_number_that_stays_what_it_is_is_kept(number: str) -> None:
    """Integers of any length, and every number that a double holds, come back with the same value."""
    document = parse_document(f'{{"refresh_token": "a", "x": {number}}}')
    assert isinstance(document, Document)
    assert parse_document(document_text(document)) == document


@pytest.mark.parametrize("number", ["1e-99999999999999999999", "0e99999999999999999999", "1.0e-99999999999999999999"])
def test_a_number_with_an_endless_exponent_is_no_error(number: str) -> None:
    """However far the exponent, the content is a document or is not one."""
    assert isinstance(parse_document(f'{{"refresh_token": "a", "x": {number}}}'), Document | Malformed)


def test_half_a_surrogate_pair_in_a_foreign_field_can_be_written_back() -> None:
    """JSON may hold half a pair, escaped; the text that is written back is text for every store."""
    text = '{"refresh_token":"a","note":"cut \\ud83d"}'
    document = parse_document(text)
    assert isinstance(document, Document)
    written = document_text(document)
    assert parse_document(written.encode()) == document


@much
@given(st.text() | st.binary() | values.map(json.dumps))
def test_parsing_raises_nothing_and_never_quotes(content: str | bytes) -> None:
    """Whatever a secret holds, parsing returns a document or one of a few fixed problem texts."""
    found = parse_document(content)
    assert isinstance(found, Document) or found.problem in {
        "it is binary, not text",
        "it is empty",
        "it is not JSON",
        "it is not a JSON object",
        "a name stands in it twice",
        "it holds a number that would not be written back as it is",
    }


@much
@given(st.dictionaries(texts, values, max_size=5))
def test_a_document_comes_back_as_it_was_written(content: dict[str, Any]) -> None:
    """Writing and reading are inverse, whatever the fields hold."""
    assert parse_document(document_text(Document(content))) == Document(content)


@much
@given(st.dictionaries(st.sampled_from(["a", "access_token"]), st.text(min_size=6).map("value-{}".format), min_size=1))
def test_a_documents_repr_shows_no_value(content: dict[str, Any]) -> None:
    """Promise 7: the repr of a document is made of its field names alone."""
    document = Document(content)
    assert repr(document) == f"Document({', '.join(sorted(content))})"
    assert "value-" not in repr(Versioned("i", "1", NOW, document))


# ------------------------------------------------------------------------------------------------------ reading


def test_expires_at_counts_before_everything_else() -> None:
    """A stated `expires_at` wins over `expires_in`, a JWT's `exp` and the default lifetime."""
    changes = {"expires_in": 60, "access_token": jwt(exp=EPOCH_S + 7)}
    assert expiry(expires_at=EPOCH_S + 10, default_s=99.0, **changes) == at(10)


@pytest.mark.parametrize(
    "value",
    [
        EPOCH_S + 10,
        float(EPOCH_S + 10),
        str(EPOCH_S + 10),
        "2026-01-01T00:00:10Z",
        "2026-01-01T00:00:10.000+00:00",
        "2026-01-01T02:00:10+02:00",
        " 2026-01-01T00:00:10Z\n",
    ],
)
def test_expires_at_is_epoch_seconds_or_rfc_3339(value: object) -> None:
    """Each form of one instant is read as that instant, in UTC."""
    found = expiry(expires_at=value)
    assert found == at(10)
    assert found is not None
    assert found.tzinfo is UTC


@pytest.mark.parametrize("value", ["2026-01-01t00:00:10z", "2026-01-01T00:00:10z"])
def test_rfc_3339_may_be_in_small_letters(value: str) -> None:
    """RFC 3339 section 5.6: `t` and `z` may be lower case."""
    assert instant(value) == at(10)


@pytest.mark.parametrize(
    "nonsense",
    [
        0, -1, -EPOCH_S, EPOCH_S * 1000, True, False, "", "soon", "2026-01-01T00:00:10", "2026-01-01", "inf", "nan",
        float("nan"), float("inf"), 10**400, [EPOCH_S], {"at": EPOCH_S}, "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z",
    ],
)  # fmt: skip
def test_a_nonsensical_instant_is_unknown(nonsense: object) -> None:
    """Milliseconds, booleans, past the ends of time, local times and other types are no instants."""
    assert instant(nonsense) is None
    assert expiry(expires_at=nonsense, issued_at=None) is None
    assert expiry(expires_at=nonsense, expires_in=60) == at(60)


@pytest.mark.parametrize("nonsense", [-1, -0.5, True, False, "", "an hour", float("nan"), "inf", 1e12, 10**400, [60]])
def test_a_nonsensical_lifetime_is_unknown(nonsense: object) -> None:
    """Negative, endless, boolean and other lifetimes are none, and do not stand for the token's life."""
    assert seconds(nonsense) is None
    assert expiry(expires_at=None, expires_in=nonsense) is None
    assert expiry(expires_at=None, expires_in=nonsense, default_s=30.0) == at(30)


@pytest.mark.parametrize("value", [90, 90.0, "90", " 90 "])
def test_expires_in_counts_from_issued_at(value: object) -> None:
    """Without `expires_at`, the lifetime is counted from `issued_at`, in either of its forms."""
    assert expiry(expires_at=None, expires_in=value) == at(90)
    assert expiry(expires_at=None, expires_in=value, issued_at="2026-01-01T00:00:10Z") == at(100)


def test_expires_in_alone_counts_from_when_the_store_made_the_version() -> None:
    """With only `expires_in`, the version's creation time is the issue time; `issued_at` wins where both are there."""
    assert expiry(at(5), expires_at=None, expires_in=90, issued_at=None) == at(95)
    assert expiry(at(5), expires_at=None, expires_in=90) == at(90)
    assert expiry(at(5), expires_at=None, expires_in=90, issued_at="nonsense") == at(95)
    assert expiry(None, expires_at=None, expires_in=90, issued_at=None) is None


def test_a_lifetime_of_zero_is_over_at_once() -> None:
    """`expires_in: 0` is a lifetime, not an unknown one."""
    assert expiry(expires_at=None, expires_in=0) == NOW


def test_a_jwt_tells_its_own_end() -> None:
    """With neither of the two, the `exp` of an access token that is a JWT counts, before the default lifetime."""
    token = jwt(exp=EPOCH_S + 77, sub="x")
    assert expiry(expires_at=None, access_token=token, default_s=30.0) == at(77)


@pytest.mark.parametrize(
    "token",
    [
        "opaque", "a.b.c", "a.b", "..", jwt(exp=True), jwt(exp=-1), jwt(exp=EPOCH_S * 1000), jwt(sub="x"),
        "a.W10.c", "a.bnVsbA.c", "ä.ö.ü", "a." + "W1tb" * 30_000 + ".c",
    ],
)  # fmt: skip
def test_an_access_token_that_says_nothing_falls_back_to_the_default(token: str) -> None:
    """A token that is no JWT, or one without a usable `exp`, leaves the default lifetime; without one, unknown."""
    assert expiry(expires_at=None, access_token=token, default_s=30.0) == at(30)
    assert expiry(expires_at=None, access_token=token) is None


def test_the_default_lifetime_needs_an_issue_time() -> None:
    """A default lifetime that cannot be counted from anything leaves the expiry unknown."""
    assert expiry(expires_at=None, issued_at=None, default_s=30.0) is None
    assert expiry(at(1), expires_at=None, issued_at=None, default_s=30.0) == at(31)


def test_a_document_without_access_token_is_due_now() -> None:
    """Without an access token there is no expiry, whatever else is stated: unknown counts as due now."""
    assert expiry(access_token=None) is None
    assert expiry(access_token="") is None
    assert expiry(access_token=17) is None


@pytest.mark.parametrize("token", ["a\nb", "a\x00", "\ud83d", "a\u200b"])
def test_a_refresh_token_of_strange_characters_is_read_as_it_is(token: str) -> None:
    """What a provider gave out is presented as it came: refusing it would lose the grant."""
    found = stored_tokens(stored(fields(refresh_token=token)), provider())
    assert isinstance(found, StoredTokens)
    assert found.refresh_token == Secret(token)


@pytest.mark.parametrize("token", [None, "", 17, ["rt"], {"rt": 1}, True])
def test_a_document_without_refresh_token_is_malformed(token: object) -> None:
    """A refresh token is a text that is not empty; nothing else will do."""
    found = stored_tokens(stored(fields(refresh_token=token)), provider())
    assert found == Malformed("it has no refresh_token")


def test_what_is_malformed_stays_so() -> None:
    """A secret that was no document has no tokens, for the same reason."""
    content = Malformed("it is empty")
    assert stored_tokens(Versioned("i", "1", NOW, content), provider()) is content


def test_every_field_is_read() -> None:
    """Tokens and secrets come out masked, the rest as text; a wrong type counts as absent."""
    given_ = fields(scope="a b", client_id="c", client_secret="s", id_token="i")
    tokens = stored_tokens(stored(given_), provider())
    assert tokens == StoredTokens(Secret(RT), Secret("at-old"), NOW, at(3600), "a b", "c", Secret("s"), Secret("i"))
    assert all(text not in repr(tokens) for text in (RT, "at-old", "'s'"))
    wrong = stored_tokens(stored(fields(scope=1, client_id=[], client_secret={}, id_token=True)), provider())
    assert isinstance(wrong, StoredTokens)
    assert (wrong.scope, wrong.client_id, wrong.client_secret, wrong.id_token) == (None,) * 4


@much
@given(documents, st.none() | st.just(NOW), st.none() | st.floats(0, 1e6))
def test_reading_raises_nothing(content: dict[str, Any], created_at: datetime | None, default_s: float | None) -> None:
    """Whatever the fields hold, the tokens are read or the document is called malformed; instants are in UTC."""
    found = stored_tokens(stored(content, created_at=created_at), provider(default_lifetime_s=default_s))
    if isinstance(found, StoredTokens):
        assert found.expires_at is None or found.expires_at.tzinfo is UTC
        assert found.access_token or found.expires_at is None


@much
@given(texts | values.map(lambda value: jwt(exp=value)) | st.just("a.b.c"))
def test_reading_a_jwt_raises_nothing(token: str) -> None:
    """Any text is a JWT with claims or one without."""
    assert isinstance(jwt_claims(Secret(token)), dict)


# ------------------------------------------------------------------------------------------------------ writing


def merge(tokens: Any, default_s: float | None = None, **changes: Any) -> dict[str, Any]:
    document = Document(fields(**changes))
    sent_at = at(60.75)
    return dict(merged(document, tokens, sent_at=sent_at, provider=provider(default_lifetime_s=default_s)).fields)


def test_a_merge_writes_every_field_of_the_contract() -> None:
    """The token fields are replaced and the lifetime is in whole seconds from the sending."""
    tokens = token_set(scope="a b", id_token=Secret("id-new"), expires_in_s=90.9)
    after = merge(tokens, note="mine", expires_in=5, client_secret="cs")
    assert after == {
        "access_token": "at-new",
        "refresh_token": "rt-new",
        "token_type": "Bearer",
        "scope": "a b",
        "id_token": "id-new",
        "issued_at": EPOCH_S + 60,
        "expires_in": 90,
        "expires_at": EPOCH_S + 150,
        "note": "mine",
        "client_secret": "cs",
    }
    assert all(type(after[name]) is int for name in ("issued_at", "expires_in", "expires_at"))


def test_a_reply_that_omits_refresh_token_scope_and_id_token_keeps_the_stored_ones() -> None:
    """RFC 6749 sections 5.1 and 6: what the answer does not name stays as it is."""
    after = merge(token_set(refresh_token=None), scope="old", id_token="id-old")
    assert (after["refresh_token"], after["scope"], after["id_token"]) == (RT, "old", "id-old")
    assert after["access_token"] == "at-new"


def test_tokens_that_must_not_be_published_leave_only_the_refresh_token() -> None:
    """With a problem about the access token, the refresh token is the only field that changes."""
    before = fields(note="mine", scope="old")
    after = merge(token_set(extra_problem="wrong subject", scope="new"), note="mine", scope="old")
    assert after == {**before, "refresh_token": "rt-new"}
    assert merge(token_set(extra_problem="wrong subject", refresh_token=None)) == fields()


def test_an_unknown_lifetime_drops_the_old_tokens_expiry() -> None:
    """The expiry of the token that is replaced does not stand for the new one."""
    after = merge(token_set(expires_in_s=None), expires_in=3600)
    assert "expires_in" not in after
    assert "expires_at" not in after
    assert after["issued_at"] == EPOCH_S + 60


def test_a_lifetime_the_answer_does_not_name_comes_from_the_jwt_or_the_default() -> None:
    """Without `expires_in` the JWT's `exp` counts, then the default; an `exp` in the past is a lifetime of zero."""
    token = Secret(jwt(exp=EPOCH_S + 100))
    assert merge(token_set(expires_in_s=None, access_token=token), default_s=7.0)["expires_at"] == EPOCH_S + 100
    assert merge(token_set(expires_in_s=None), default_s=7.0)["expires_in"] == 7
    past = merge(token_set(expires_in_s=None, access_token=Secret(jwt(exp=EPOCH_S))))
    assert (past["expires_in"], past["expires_at"]) == (0, EPOCH_S + 60)


def test_the_document_that_goes_in_is_not_changed() -> None:
    """A merge returns a new document."""
    document = Document(fields())
    merged(document, token_set(), sent_at=NOW, provider=provider())
    assert document.fields == fields()


@much
@given(
    st.dictionaries(texts, values, max_size=5),
    st.none() | st.text(min_size=1),
    st.none() | st.floats(0, 3e8),
    st.none() | st.just("problem"),
)
def test_a_merge_keeps_every_foreign_field_and_reads_back(
    content: dict[str, Any], refresh: str | None, lifetime_s: float | None, problem: str | None
) -> None:
    """Promise 3: fields that are not rotator's stay as they were, and what was written is read again."""
    tokens = token_set(
        refresh_token=Secret(refresh) if refresh else None, expires_in_s=lifetime_s, extra_problem=problem
    )
    before = Document({**content, "refresh_token": "rt"})
    after = merged(before, tokens, sent_at=NOW, provider=provider())
    for name, value in before.fields.items():
        assert name in OURS or after.fields[name] == value
    read = stored_tokens(Versioned("i", "1", NOW, after), provider())
    assert isinstance(read, StoredTokens)
    assert read.refresh_token.reveal() == (refresh or "rt")
    if problem is None:
        assert read.expires_at == (None if lifetime_s is None else at(int(lifetime_s)))
