"""The result of a pass as one JSON object: printed by `once --json`, returned by the Lambda."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, assert_never

from rotator import outcomes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rotator.outcomes import Outcome


def instant(value: datetime | None) -> str | None:
    """Return RFC 3339 in UTC, to the second."""
    return None if value is None else value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def pass_report(results: Iterable[Outcome]) -> dict[str, Any]:
    """Return `{"rotated": […], "fresh": N, "deferred": […], "failed": […]}`, each list by name."""
    report: dict[str, Any] = {"rotated": [], "fresh": 0, "deferred": [], "failed": []}
    for outcome in sorted(results, key=lambda one: one.name):
        match outcome:
            case outcomes.Rotated(name=name, expires_at=expires_at, version=version):
                report["rotated"].append({"name": name, "expires_at": instant(expires_at), "version": version})
            case outcomes.Fresh():
                report["fresh"] += 1
            case outcomes.Deferred(name=name, reason=reason, retry_at=retry_at):
                report["deferred"].append({"name": name, "reason": reason, "retry_at": instant(retry_at)})
            case outcomes.Failed(name=name, reason=reason, error=error, action=action):
                report["failed"].append({"name": name, "reason": reason, "error": error, "action": action})
            case _:
                assert_never(outcome)
    return report
