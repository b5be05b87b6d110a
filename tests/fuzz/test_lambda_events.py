"""Lambda events that are anything: a report, or a ConfigError that names what is wrong with the event."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator import aws_events
from rotator.errors import ConfigError
from tests.effort import tried
from tests.fuzz.apps import local_app
from tests.fuzz.leaks import INSIDE, PROCESS, assert_secret
from tests.fuzz.mutations import HOSTILE, mutated_json

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS: list[dict[str, Any]] = [
    {},
    {"version": "0", "source": "aws.events", "detail-type": "Scheduled Event", "detail": {}, "resources": ["arn:x"]},
    {"horizon": "15m", "names": ["one"]},
    {"detail": {"horizon": 900, "names": []}},
    {
        "Records": [
            {"messageId": "m-1", "body": "one", "eventSource": "aws:sqs", "attributes": {"SenderId": INSIDE}},
            {"messageId": "m-2", "body": INSIDE, "receiptHandle": INSIDE},
        ]
    },
    {"Step": "createSecret", "SecretId": "arn:x", "ClientRequestToken": INSIDE},
]
REPORT = {"rotated", "fresh", "deferred", "failed"}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A handler whose one credential was never seeded, so that nothing is sent."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aws_events, "_APPS", {"app": local_app(tmp_path_factory.mktemp("lambda"))})
        yield


def handled(event: Any) -> dict[str, Any] | None:
    """Handle an event; None when it is refused."""
    try:
        answer = aws_events.handler(event, None)
    except ConfigError as error:
        assert_secret(error, INSIDE, PROCESS)
        return None
    assert_secret(answer, PROCESS)
    assert json.dumps(answer)
    return answer


@tried(150, cost=3)
@given(mutated_json(EVENTS, whole=True))
def test_a_damaged_event_is_answered_or_refused(deployed: None, event: Any) -> None:
    """Any JSON that somebody invokes the function with gets a report, a list of failures, or a ConfigError."""
    answer = handled(event)
    if answer is not None:
        assert answer.keys() in ({"batchItemFailures"}, REPORT), answer


@tried(60, cost=3)
@given(mutated_json([EVENTS[4]]))
def test_a_message_that_cannot_be_read_is_delivered_again(deployed: None, event: Any) -> None:
    """No message of a batch is taken for done unless its credential was seen to; here none can be."""
    records = event.get("Records")
    answer = handled(event)
    if answer is not None and "batchItemFailures" in answer and isinstance(records, list):
        assert len(answer["batchItemFailures"]) == len(records)


@tried(60)
@given(st.one_of(st.sampled_from(HOSTILE), st.recursive(st.none() | st.text(), st.lists)))
def test_an_event_of_any_kind_is_answered_or_refused(deployed: None, event: Any) -> None:
    """An event that is no object is refused."""
    if not isinstance(event, dict):
        assert handled(event) is None


@pytest.mark.parametrize("horizon", [10**400, "9" * 400, 1e400, float("nan"), "-1s", "100y", [], {"a": 1}])
def test_a_horizon_that_is_none_is_refused(deployed: None, horizon: Any) -> None:
    """No number is too large to be refused in words."""
    assert handled({"horizon": horizon}) is None
