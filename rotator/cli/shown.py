"""Results as text and as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, assert_never

from click import ClickException

from rotator import outcomes
from rotator.documents import stored_tokens
from rotator.errors import ConfigError, RotatorError, slug
from rotator.model import Malformed
from rotator.reports import instant, pass_report

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rotator.live_check import Finding
    from rotator.model import Credential, Versioned
    from rotator.outcomes import Outcome
    from rotator.status import Row


def json_text(report: Any) -> str:
    """Return a report as one line of JSON; instants in it are RFC 3339 in UTC, to the second."""
    return json.dumps(report, ensure_ascii=False, default=instant)


def error_json(error: BaseException, code: int) -> str:
    """Return what a command with `--json` prints when an error ends it."""
    told: dict[str, Any] = {"kind": slug(type(error)), "message": "", "hint": "", "exit_code": int(code)}
    if isinstance(error, ConfigError):
        problems = [{"where": one.where, "what": one.what, "hint": one.hint} for one in error.problems]
        told |= {"message": "; ".join(f"{one.where}: {one.what}" for one in error.problems), "problems": problems}
    elif isinstance(error, RotatorError):
        told |= {"message": error.message, "hint": error.hint}
    elif isinstance(error, ClickException):
        told |= {"message": error.format_message()}
    else:
        told |= {"kind": "interrupted", "message": "interrupted, or answered with no"}
    return json_text({"error": told})


def check_json(source: str, credentials: int, findings: Sequence[Finding], *, live: bool) -> str:
    """Return what `check --json` prints about a configuration that can be used."""
    listed = [
        {
            "where": one.problem.where,
            "what": one.problem.what,
            "hint": one.problem.hint,
            "severity": "warning" if one.warning else "error",
            "temporary": one.temporary,
        }
        for one in findings
    ]
    well = all(one.warning for one in findings)
    return json_text({"source": source, "credentials": credentials, "live": live, "well": well, "findings": listed})


def pass_json(results: Iterable[Outcome]) -> str:
    """Return what `once --json` prints."""
    return json_text(pass_report(results))


def stored_json(credential: Credential, written: Versioned) -> str:
    """Return what `put --json` and `login --json` print."""
    tokens = stored_tokens(written, credential.provider)
    expires_at = None if isinstance(tokens, Malformed) else tokens.expires_at
    return json_text({"name": credential.name, "version": written.version, "expires_at": expires_at})


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
            see = f"\n    → what can be done: rotator explain {name}" if reason == "in_doubt" else ""
            return f"{name}: deferred ({reason}){again}{': ' + error if error else ''}{see}"
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
            "expires_at": row.expires_at,
            "next_refresh_at": row.next_refresh_at,
            "last_rotated_at": row.last_rotated_at,
            "reason": row.reason,
            "action": row.action,
        }
        for row in rows
    ]
    return json_text({"credentials": shown})
