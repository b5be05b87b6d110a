"""Reading what others wrote, against Python's own readers; and merging beside somebody who edits."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rotator.documents import DISTANT_S, instant, jwt_claims, merged, parse_document, seconds
from rotator.http_messages import HttpReply
from rotator.model import Document, Malformed
from rotator.pacing import http_date
from rotator.redact import Secret
from rotator.token_sets import members_of
from rotator.token_sets import seconds as reply_seconds
from tests.core.parts import NOW, at, jwt, token_set
from tests.effort import tried
from tests.rotation.world import provider

law = tried(200)

texts = st.text(max_size=8)
exact = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | texts
values = st.recursive(exact, lambda deep: st.lists(deep, max_size=3) | st.dictionaries(texts, deep, max_size=3))
objects = st.dictionaries(texts, values, max_size=4)
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
whole_seconds = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)).map(lambda one: one.replace(microsecond=0))  # noqa: DTZ001 - given a zone below
layouts = st.sampled_from([{"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}, {}])


def reply(body: bytes) -> HttpReply:
    return HttpReply(200, (), body, complete=True, sent_at=NOW, received_at=NOW)


@law
@given(objects, layouts)
def test_every_layout_of_an_object_is_read_like_python_reads_it(content: dict[str, Any], layout: Any) -> None:
    """A document and a reply are the object that was written, however it is laid out."""
    text = json.dumps(content, **layout)
    assert parse_document(text) == Document(content)
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert parse_document(text.encode()) == Document(content)
        assert members_of(reply(text.encode())) == content


@law
@given(st.text() | values.map(json.dumps) | st.binary())
def test_nothing_is_read_that_python_does_not_read(content: str | bytes) -> None:
    """Whatever passes for a document or a reply is an object for a plain reader of JSON too, with the same members."""
    found = parse_document(content)
    raw = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    if isinstance(found, Document):
        assert json.loads(raw.decode("utf-8", "surrogatepass")) == found.fields
    members = members_of(reply(raw))
    if members is not None:
        assert json.loads(raw.decode("utf-8-sig")) == members


@law
@given(objects.filter(bool), st.data())
def test_a_name_that_stands_twice_is_never_chosen_from(content: dict[str, Any], data: st.DataObject) -> None:
    """RFC 6749 section 3.2: with two values under one name, neither is believed."""
    name = data.draw(st.sampled_from(sorted(content)))
    twice = json.dumps(content)[:-1] + f", {json.dumps(name)}: {json.dumps(data.draw(values))}}}"
    assert isinstance(parse_document(twice), Malformed)
    assert members_of(reply(twice.encode())) is None


@law
@given(objects, st.integers(1, 40))
def test_an_object_that_is_cut_is_never_read(content: dict[str, Any], cut: int) -> None:
    """The beginning of an object is no object."""
    text = json.dumps(content)
    beginning = text[: max(1, len(text) - cut)]
    assert isinstance(parse_document(beginning), Malformed)
    assert members_of(reply(beginning.encode())) is None


# --------------------------------------------------------------------------------------------------------- time


@law
@given(whole_seconds, offsets, st.sampled_from(["T", "t", " "]))
def test_an_instant_reads_back_in_every_form(moment: datetime, offset: timezone, between: str) -> None:
    """RFC 3339 with any offset, epoch seconds as number or digits, and each form of an HTTP date are one instant."""
    here = moment.replace(tzinfo=UTC)
    epoch_s = int(here.timestamp())
    written = here.astimezone(offset).isoformat().replace("T", between)
    z = f"{here:%Y-%m-%d}{between}{here:%H:%M:%S}{'z' if between == 't' else 'Z'}"
    forms: list[Any] = [written, z, epoch_s, float(epoch_s), str(epoch_s), f" {epoch_s} "]
    assert {instant(form) for form in forms} == {here}
    assert http_date(format_datetime(here, usegmt=True)) == here
    assert http_date(f"{here:%a %b} {here.day:2} {here:%H:%M:%S %Y}") == here
    if 1970 <= here.year < 2069:  # two digits of a year
        assert http_date(f"{here:%A, %d-%b-%y %H:%M:%S} GMT") == here


@law
@given(st.none() | st.booleans() | st.integers() | st.floats() | texts | st.lists(st.integers(), max_size=1))
def test_lifetimes_and_instants_are_bounded_or_unknown(value: Any) -> None:
    """A token never seems to live for ever: what is read is finite, and what is nonsense is unknown."""
    for read in (seconds, reply_seconds):
        found = read(value)
        assert found is None or 0 <= found < float("inf")
    lifetime_s, moment = seconds(value), instant(value)
    assert lifetime_s is None or lifetime_s < DISTANT_S
    assert moment is None or abs((moment - NOW).total_seconds()) < 100 * DISTANT_S
    if isinstance(value, bool):
        assert (lifetime_s, moment, reply_seconds(value)) == (None, None, None)


@law
@given(objects)
def test_the_claims_of_a_jwt_are_those_that_were_put_in(claims: dict[str, Any]) -> None:
    """Unverified, and as they were."""
    assert jwt_claims(Secret(jwt(**{"exp": 5, **claims}))) == {"exp": 5, **claims}


# ------------------------------------------------------------------------------------------------------ merging

foreign = st.dictionaries(texts.map("x-{}".format), values, max_size=3)
received = st.builds(
    token_set,
    refresh_token=st.none() | st.sampled_from(["rt-new", "rt-2"]).map(Secret),
    scope=st.none() | st.just("a b"),
    expires_in_s=st.none() | st.floats(0, 1e6),
    extra_problem=st.none() | st.just("wrong subject"),
)


@law
@given(foreign, foreign, received)
def test_an_edit_and_a_merge_pass_each_other(before: Any, edit: Any, tokens: Any) -> None:
    """Promise 3: merging into what somebody edited meanwhile is the same as their editing of what was merged."""
    document = {"refresh_token": "rt-old", "access_token": "at-old", "expires_at": 5, **before}

    def merge(fields: dict[str, Any]) -> dict[str, Any]:
        return dict(merged(Document(fields), tokens, sent_at=at(60), provider=provider()).fields)

    assert merge({**document, **edit}) == {**merge(document), **edit}


@law
@given(foreign, received)
def test_merging_twice_is_merging_once(before: Any, tokens: Any) -> None:
    """A write-back that is repeated after a crash finds nothing to write; and no refresh token is ever lost by it."""
    document = Document({"refresh_token": "rt-old", **before})
    once = merged(document, tokens, sent_at=at(60), provider=provider())
    assert merged(once, tokens, sent_at=at(60), provider=provider()) == once
    assert once.fields["refresh_token"] == (tokens.refresh_token.reveal() if tokens.refresh_token else "rt-old")
    assert document.fields == {"refresh_token": "rt-old", **before}
