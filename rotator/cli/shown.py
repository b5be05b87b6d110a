"""Results as text and as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, assert_never

from rotator import outcomes
from rotator.reports import instant, pass_report

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rotator.outcomes import Outcome
    from rotator.status import Row


def pass_json(results: Iterable[Outcome]) -> str:
    """Return what `once --json` prints."""
    return json.dumps(pass_report(results), ensure_ascii=False)


def is_due(outcome: Outcome) -> bool:
    """Return whether a pass that only looks found something to do."""
    return isinstance(outcome, outcomes.Deferred) and outcome.reason == "due"


def outcome_line(outcome: Outcome, *, dry_run: bool = False) -> str:
    """Return one outcome as a line for people."""
    if dry_run and isinstance(outcome, outcomes.Deferred) and is_due(outcome):
        return f"{outcome.name}: would be rotated: {outcome.error}"
    match outcome:
        case outcomes.Rotated(name=name, expires_at=expires_at, version=version, warnings=warnings):
            lines = [f"{name}: rotated, expires {instant(expires_at) or 'at an unknown time'} (version {version})"]
            return "\n".join([*lines, *(f"    warning: {warning}" for warning in warnings)])
        case outcomes.Fresh(name=name, until=until):
            return f"{name}: fresh until {instant(until)}"
        case outcomes.Deferred(name=name, reason=reason, retry_at=retry_at, error=error):
            again = f", again at {instant(retry_at)}" if retry_at else ""
            return f"{name}: deferred ({reason}){again}{': ' + error if error else ''}"
        case outcomes.Failed(name=name, reason=reason, error=error, action=action):
            todo = f"\n    → {action}" if action else ""
            return f"{name}: needs a person ({reason}): {error}{todo}"
        case _:
            assert_never(outcome)


def status_json(rows: Sequence[Row]) -> str:
    """Return what `status --json` prints."""
    shown = [
        {
            "name": row.name,
            "provider": row.provider,
            "store": row.store,
            "state": row.state,
            "expires_at": instant(row.expires_at),
            "next_refresh_at": instant(row.next_refresh_at),
            "last_rotated_at": instant(row.last_rotated_at),
            "reason": row.reason,
            "action": row.action,
        }
        for row in rows
    ]
    return json.dumps({"credentials": shown}, ensure_ascii=False)
