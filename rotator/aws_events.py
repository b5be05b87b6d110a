"""What the AWS Lambda handler does with its events.

Configuration comes from the file that `ROTATOR_CONFIG` names, or from the YAML in `ROTATOR_CONFIG_YAML`. It is read,
and clients are made, once per sandbox of Lambda. Three kinds of event are understood:

- a schedule (EventBridge, or an empty event): one pass over all credentials; `{"horizon": "15m", "names": […]}` in the
  event, or in its `detail`, narrows it;
- an SQS batch whose bodies are credential names: one pass over these; messages whose credential is to be looked at
  again are reported as partial batch failures
  (docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html);
- a step of a Secrets Manager rotation: see `rotator.aws_rotation_function`.

A schedule with `{"fan_out": true}` rotates nothing: it sends what is due to the queue of ROTATOR_QUEUE_URL, for workers
to take in batches (`rotator.aws_fan_out`).

A pass starts nothing new when the function's time runs out; what is left is deferred to the next event. Let the
function's timeout be well above the providers' `timeout` and AFTER_THE_ANSWER_S together.
"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rotator import outcomes
from rotator.adapters import new_meters, new_traces
from rotator.aws_fan_out import Order, discovered, orders, send
from rotator.collecting import paused
from rotator.config.durations import parse_duration
from rotator.config.load import load_config
from rotator.config.store_settings import AwsSecretsManagerStore
from rotator.errors import ConfigError, Problem
from rotator.passes import Watchers
from rotator.reports import pass_report
from rotator.wiring import Surroundings, build, with_discovered

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from rotator.errors import RotatorError
    from rotator.last_pass import LastPass
    from rotator.model import Credential
    from rotator.outcomes import Outcome
    from rotator.telling_passes import PassTelling
    from rotator.wiring import App

HORIZON = "15m"
"""When the event names no horizon: EventBridge schedules of a quarter of an hour and below."""

AFTER_THE_ANSWER_S = 15.0
"""What is left of the function's time when the last answer may come: for escrow, write back, and the report. So a
provider is asked only while its whole `timeout` and this much is left: a reply that the function's end cuts off is a
doubt."""

TELL_WITHIN_S = 15.0
TELL_BEFORE_S = 2.0
"""How long the telling of cases may take, and what it leaves of the function's time for the answer."""
AFTER_THE_REPORT_S = 1.0
"""What is left of the function's time for its answer, when metrics are pushed or traces sent."""

FLUSH_S = 2.0
"""How long an event waits for the collector of traces, at most."""

_LOCK = threading.Lock()
_APPS: dict[str, App] = {}
_CLIENTS: dict[str, Any] = {}


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Handle an event.

    Returns:
        For a schedule the report of the pass, as `once --json` prints it, and in `undiscovered` why rules of discovery
        could not be followed, if that is so; for an SQS batch `batchItemFailures`.

    Raises:
        ConfigError: The configuration cannot be used, or the event names what is not configured.
    """
    app = _app(os.environ)
    traces = app.surroundings.traces
    if traces is None:
        return _handled(app, event, context)
    try:
        return _handled(app, event, context)
    finally:  # Lambda holds the process still until the next event
        left_s = _left_s(context, AFTER_THE_REPORT_S)
        traces.flush(FLUSH_S if left_s is None else min(FLUSH_S, left_s))


def _handled(app: App, event: Any, context: Any) -> dict[str, Any]:
    if not isinstance(event, dict):
        raise _problem("event", "is no JSON object", "send {} for one pass over all credentials")
    records = event.get("Records", ())
    if isinstance(records, list):
        return _batch(app, records, context)
    if records != ():
        raise _problem("event.Records", "is no list of messages", "send an SQS batch, or {} for a pass over all")
    if "Step" in event or "ClientRequestToken" in event:
        return _rotation_step(app, event, context)
    app, _, missing = with_discovered(app)
    return _schedule(app, event, context, missing)


def _app(env: Mapping[str, str]) -> App:
    with _LOCK:
        if "app" not in _APPS:
            text = env.get("ROTATOR_CONFIG_YAML")
            path = env.get("ROTATOR_CONFIG", "config/rotator.yaml")
            with paused():
                settings = load_config(f"{text}\n" if text else path, env, mode="lambda")
                surroundings = Surroundings.real(env)
                if settings.metrics and settings.metrics.push:
                    surroundings = replace(surroundings, meters=new_meters(surroundings.clock))
                if settings.traces:
                    traces = new_traces(settings.traces, "lambda", surroundings.clock)
                    surroundings = replace(surroundings, traces=traces)
                _APPS["app"] = build(settings, "lambda", surroundings)
        return _APPS["app"]


def _schedule(app: App, event: Mapping[str, Any], context: Any, missing: list[RotatorError]) -> dict[str, Any]:
    detail = event.get("detail")
    asked = {**event, **detail} if isinstance(detail, dict) else event
    try:
        horizon_s = parse_duration(asked.get("horizon", HORIZON), zero=True)
    except ValueError as error:
        raise _problem("event.horizon", str(error), "write 15m, or a number of seconds") from None
    names = asked.get("names")
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise _problem("event.names", "is no list of credential names", "leave it out for all")
    credentials = app.credentials if names is None else [app.credential(name) for name in names]
    if asked.get("fan_out"):
        report = _fan_out(credentials, app, context, horizon_s)
        return {**report, "undiscovered": [str(error) for error in missing]} if missing else report
    left = _last_pass(app, complete=not missing) if names is None else None
    results = _run(app, credentials, context, horizon_s, left=left)
    report = pass_report(results)
    if left:
        left.ended(outcomes.exit_code(results), most_s=_left_s(context, AFTER_THE_REPORT_S))
    return {**report, "undiscovered": [str(error) for error in missing]} if missing else report


def _last_pass(app: App, *, complete: bool) -> LastPass | None:
    """Return what takes down how a pass over all goes, where metrics are to be pushed of it."""
    if app.surroundings.meters is None:
        return None
    from rotator.last_pass import last_pass  # noqa: PLC0415 - on use

    return last_pass(app, _warn, complete=complete)


def _batch(app: App, records: Iterable[Any], context: Any) -> dict[str, Any]:
    """Rotate the credentials that the messages name; report those that are to be delivered again."""
    read = [(record, _order_of(record)) for record in records]
    plain = {order.credential for _, order in read if order.version is None}
    if any(name for name in plain):
        app = with_discovered(app)[0]  # what nobody compared is looked up, and compared with all others
    configured = {credential.name: credential for credential in app.credentials}
    chosen: dict[str, Credential] = {}
    messages: dict[str, list[str]] = {}
    compared: dict[str, str] = {}
    failures: list[str] = []
    for message, order in read:
        # One that is no message has no id to be reported by; an empty id has Lambda deliver the whole batch again.
        message_id = str(message.get("messageId", "")) if isinstance(message, dict) else ""
        credential = configured.get(order.credential) or discovered(app.rules, order)
        if credential is None:
            failures.append(message_id)  # after its last delivery it ends in the dead-letter queue
            continue
        chosen[credential.name] = credential
        messages.setdefault(credential.name, []).append(message_id)
        if order.version is not None and order.credential not in plain:
            compared[credential.name] = order.version
    results = _run(app, list(chosen.values()), context, parse_duration(HORIZON), compared)
    for outcome in results:
        # What has changed is the next schedule's: it is compared with the others again.
        if isinstance(outcome, outcomes.Deferred | outcomes.Failed) and getattr(outcome, "reason", "") != "changed":
            failures += messages[outcome.name]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failures]}


def _order_of(message: Any) -> Order:
    """Return what a message asks for; what is none names nobody."""
    try:
        return Order.read(str(message.get("body", ""))) if isinstance(message, dict) else Order("")
    except ValueError:
        return Order("")


def _fan_out(credentials: list[Credential], app: App, context: Any, horizon_s: float) -> dict[str, Any]:
    url = os.environ.get("ROTATOR_QUEUE_URL")
    if not url:
        raise _problem("event.fan_out", "there is no queue", "set ROTATOR_QUEUE_URL to the URL of an SQS queue")
    ends_at = _answers_by(app, context)
    found, problems, left = orders(app, credentials, horizon_s, until=ends_at)
    sent, not_sent = send(_queue_client(), url, found)
    return {"sent": sent, "not_sent": not_sent, "not_looked_at": left, "problems": problems}


def _rotation_step(app: App, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Do a step of a Secrets Manager rotation."""
    from rotator import aws_session  # noqa: PLC0415 - on use
    from rotator.aws_rotation_function import Step, handle  # noqa: PLC0415 - likewise

    step = Step.read(event)
    app = with_discovered(app)[0]  # also to compare it with all others
    credential = next((one for one in app.credentials if one.secret in step.names()), None)
    entry = app.settings.stores[credential.store] if credential else None
    if credential is None or not isinstance(entry, AwsSecretsManagerStore):
        raise _problem("event.SecretId", "is no secret of a configured credential", "name it under credentials")
    key = f"secretsmanager {credential.store}"
    with _LOCK:
        if key not in _CLIENTS:
            _CLIENTS[key] = aws_session.client("secretsmanager", region=entry.region, endpoint_url=entry.endpoint_url)
    handle(app, _CLIENTS[key], credential, step, answers_by=_answers_by(app, context))
    return {}


def _queue_client() -> Any:
    from rotator import aws_session  # noqa: PLC0415 - on use

    with _LOCK:
        if "sqs" not in _CLIENTS:
            _CLIENTS["sqs"] = aws_session.client("sqs")
        return _CLIENTS["sqs"]


def _run(
    app: App,
    credentials: list[Credential],
    context: Any,
    horizon_s: float,
    compared: Mapping[str, str] | None = None,
    left: LastPass | None = None,
) -> list[Outcome]:
    # What was compared with all others already is not compared once more: that would read the whole fleet for ten.
    apart = compared and all(credential.name in compared for credential in credentials)
    telling = _telling(app)
    watchers = Watchers([one for one in (left, telling) if one])
    results = app.passes.run(
        credentials,
        horizon_s=horizon_s,
        answers_by=_answers_by(app, context),
        among=() if apart else app.credentials,
        compared=compared,
        seen=watchers.seen,
        tell=watchers.done,
    )
    if telling:
        telling.finish(results, within_s=_time_to_tell_s(context), last=False)
    return results


def _telling(app: App) -> PassTelling | None:
    """Return what tells of a pass; None where nobody is told."""
    if app.told is None:
        return None
    from rotator.telling_passes import PassTelling, warned  # noqa: PLC0415 - on use

    return PassTelling(app, warned)


def _time_to_tell_s(context: Any) -> float:
    left_s = _left_s(context, TELL_BEFORE_S)
    return TELL_WITHIN_S if left_s is None else min(TELL_WITHIN_S, left_s)


def _answers_by(app: App, context: Any) -> datetime | None:
    left_s = _left_s(context, AFTER_THE_ANSWER_S)
    return None if left_s is None else app.surroundings.clock.now() + timedelta(seconds=left_s)


def _left_s(context: Any, for_others_s: float) -> float | None:
    """Return how long the function may still run, less what others need; None is unknown."""
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    return None if remaining is None else remaining() / 1000 - for_others_s


def _warn(text: str) -> None:
    sys.stderr.write(f"rotator: {text}\n")


def _problem(where: str, what: str, hint: str) -> ConfigError:
    return ConfigError([Problem(where, what, hint)])
