"""What the configuration says of metrics of runs that end, and of traces."""

from __future__ import annotations

from typing import Any

import pytest

from tests.config.right_config import load, problems, put


def push(**keys: Any) -> Any:
    return put("metrics", {"push": keys})


def test_a_push_is_right_with_an_address_alone() -> None:
    """The rest has defaults; so has a collector of traces."""
    settings = load(push(url="https://push.example/base"))
    assert settings.metrics is not None
    assert settings.metrics.push is not None
    assert (settings.metrics.push.job, settings.metrics.push.timeout) == ("rotator", 5.0)
    traces = load(put("traces", {"type": "otlp"})).traces
    assert traces is not None
    assert traces.endpoint is None


def test_plain_http_is_for_this_machine_or_where_it_is_asked_for() -> None:
    """Metrics are no secret, so that it may be asked for; with a secret it may not."""
    far = "http://pushgateway.monitoring:9091"
    assert load(push(url="http://127.0.0.1:9091")).metrics
    assert load(push(url=far, plaintext=True)).metrics
    [(where, what, hint)] = problems(push(url=far))
    assert (where, what) == ("metrics.push.url", "http:// can be read on its way")
    assert "plaintext: true" in hint
    [(where, what, _)] = problems(push(url=far, plaintext=True, token={"env": "CLIENT_SECRET"}))
    assert (where, what) == ("metrics.push.url", "would send its secret in the clear")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (put("metrics", {}), ("metrics", "says nowhere to leave metrics")),
        (put("metrics", {"textfile": "rotator.txt"}), ("metrics.textfile", "would be read by nobody")),
        (push(url="https://user:word@h"), ("metrics.push.url", "must not carry a user name or password")),
        (push(url="push.example"), ("metrics.push.url", "is not a URL")),
        (push(url="http://h?x", plaintext=True), ("metrics.push.url", "must not have a query")),
        (push(url="https://h", username="u"), ("metrics.push", "needs username and password together")),
        (
            push(url="https://h", token={"env": "A"}, username="u", password={"env": "B"}),
            ("metrics.push", "needs one of token and password"),
        ),
        (push(url="https://h", token="canary"), ("metrics.push.token", "a secret must not stand in the configuration")),
        (push(url="https://h", timeout="2m"), ("metrics.push.timeout", "Input should be less than or equal to 60")),
        (put("traces", {"type": "zipkin"}), ("traces.type", "is not a known type")),
        (put("traces", {"endpoint": "http://collector:4318", "type": "otlp"}), ("traces.endpoint", "http:// would")),
    ],
)
def test_what_cannot_be_meant_is_told(change: Any, problem: tuple[str, str]) -> None:
    """By key, without quoting what may be a secret."""
    [(where, what, _)] = problems(change)
    assert where == problem[0]
    assert what.startswith(problem[1])
    assert "canary" not in what
