"""Audit events in other people's formats: CloudEvents 1.0 and OCSF 1.9.0; and back, to be told. Pure.

Each mapping takes an event as rotator's own line has it, with nothing but JSON in it: secrets are masked, and instants
are text by then. Nothing is lost: what a format has no place for stands in CloudEvents' `data` or OCSF's `unmapped`.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from rotator import __version__
from rotator.audit.story import deed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Format = Literal["rotator", "cloudevents", "ocsf"]

TYPE_PREFIX = "rotator."
"""Before an event's name in CloudEvents' `type`."""

OCSF_VERSION = "1.9.0"
ENTITY_MANAGEMENT = 3004
"""The one class of all events: a credential is an entity that rotator manages. `Account Change` is about users and
deprecated, `Authentication` about sessions, `API Activity` about single calls: each would say what did not happen."""

IDENTITY_AND_ACCESS = 3
OTHER = 99
CREDENTIAL_TYPE = "OAuth Credential"

READ, UPDATE = 2, 3
SUCCESS, FAILURE = 1, 2
INFORMATIONAL, LOW, MEDIUM, HIGH = 1, 2, 3, 4
ACTIVITIES = {1: "Create", READ: "Read", UPDATE: "Update"}
STATUSES = {SUCCESS: "Success", FAILURE: "Failure"}
SEVERITIES = {INFORMATIONAL: "Informational", LOW: "Low", MEDIUM: "Medium", HIGH: "High"}

MEANING = {
    "rotation.started": (UPDATE, OTHER, INFORMATIONAL),
    "rotation.succeeded": (UPDATE, SUCCESS, INFORMATIONAL),
    "rotation.failed": (UPDATE, FAILURE, HIGH),
    "rotation.in_doubt": (UPDATE, OTHER, MEDIUM),
    "rotation.deferred": (UPDATE, OTHER, LOW),
    "escrow.replayed": (UPDATE, SUCCESS, INFORMATIONAL),
    "credential.reauthorization_required": (OTHER, FAILURE, HIGH),
    "credential.resolved": (UPDATE, SUCCESS, INFORMATIONAL),
    "credential.seeded": (UPDATE, SUCCESS, INFORMATIONAL),
    "credential.read": (READ, SUCCESS, INFORMATIONAL),
    "refresh_token.expiring": (OTHER, OTHER, MEDIUM),
}
"""Activity, status and severity by event, as OCSF's ids. `OTHER` is what has no id there; its name is the event's."""

_MAPPED = {"reason": "status_code", "error": "status_detail", "duration_ms": "duration"}
"""Details that OCSF has attributes of its own for."""

_ENVELOPE = ("event", "ts", "event_id", "credential", "actor", "rotation_id")


def cloudevent(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event as a CloudEvent in structured mode (CloudEvents 1.0.2, JSON format 1.0.2)."""
    actor = event["actor"]
    return {
        "specversion": "1.0",
        "id": event["event_id"],
        "source": "/rotator/" + "/".join(quote(str(actor.get(part, "")), safe="") for part in ("host", "instance")),
        "type": TYPE_PREFIX + event["event"],
        "subject": event["credential"],
        "time": event["ts"],
        "datacontenttype": "application/json",
        "data": {name: value for name, value in event.items() if name not in {"event", "ts", "event_id"}},
    }


def ocsf(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event as OCSF's Entity Management; `unmapped` comes last, for the chain stands in it."""
    name, actor = event["event"], event["actor"]
    activity_id, status_id, severity_id = MEANING[name]
    version = event.get("version_after", event.get("version_before"))
    process = {"name": "rotator", "pid": actor.get("pid"), "uid": actor.get("instance")}
    found = {
        "metadata": {
            "version": OCSF_VERSION,
            "product": {"name": "rotator", "vendor_name": "rotator", "version": __version__},
            "uid": event["event_id"],
            "event_code": name,
            "original_time": event["ts"],
            "correlation_uid": event.get("rotation_id"),
        },
        "time": _milliseconds(event["ts"]),
        "category_uid": IDENTITY_AND_ACCESS,
        "category_name": "Identity & Access Management",
        "class_uid": ENTITY_MANAGEMENT,
        "class_name": "Entity Management",
        "activity_id": activity_id,
        "activity_name": ACTIVITIES.get(activity_id, name),
        "type_uid": 100 * ENTITY_MANAGEMENT + activity_id,
        "severity_id": severity_id,
        "severity": SEVERITIES[severity_id],
        "status_id": status_id,
        "status": STATUSES.get(status_id, name),
        "message": deed(event),
        "actor": {"process": _without_none(process)},
        "src_endpoint": {"hostname": actor["host"]} if actor.get("host") else None,
        "entity": {"name": event["credential"], "type_id": OTHER, "type": CREDENTIAL_TYPE, "version": version},
        **{theirs: event.get(ours) for ours, theirs in _MAPPED.items()},
    }
    rest = {key: value for key, value in event.items() if key not in {*_ENVELOPE, *_MAPPED}}
    if "mode" in actor:
        rest["mode"] = actor["mode"]
    found["metadata"], found["entity"] = _without_none(found["metadata"]), _without_none(found["entity"])
    return _without_none(found) | {"unmapped": rest}


MAPPINGS: Mapping[Format, Callable[[Mapping[str, Any]], dict[str, Any]]] = {"cloudevents": cloudevent, "ocsf": ocsf}
"""From rotator's own format to the others."""


def plain(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an event of any of the formats as rotator's own has it; what is of none comes back as it is."""
    data, unmapped = event.get("data"), event.get("unmapped")
    if "specversion" in event and isinstance(data, dict):
        kind = str(event.get("type", "")).removeprefix(TYPE_PREFIX)
        return {"event": kind, "ts": event.get("time"), "event_id": event.get("id"), **data}
    if "class_uid" not in event or not isinstance(unmapped, dict):
        return event
    metadata, entity, source = (_mapping(event.get(key)) for key in ("metadata", "entity", "src_endpoint"))
    process = _mapping(_mapping(event.get("actor")).get("process"))
    actor = {
        "host": source.get("hostname"),
        "pid": process.get("pid"),
        "mode": unmapped.get("mode"),
        "instance": process.get("uid"),
    }
    found = {
        "event": metadata.get("event_code"),
        "ts": metadata.get("original_time"),
        "event_id": metadata.get("uid"),
        "credential": entity.get("name"),
        "actor": _without_none(actor),
        "rotation_id": metadata.get("correlation_uid"),
        **{ours: event.get(theirs) for ours, theirs in _MAPPED.items()},
    }
    return _without_none(found) | {key: value for key, value in unmapped.items() if key not in {"mode", "chain"}}


def _milliseconds(instant: str) -> int:
    return int(datetime.fromisoformat(instant).timestamp() * 1000)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
