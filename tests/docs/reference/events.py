"""docs/reference/events.md, from the names of the events and the calls that record them."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from rotator.audit.events import AuditEvent, EventName
from tests.docs.pages import ROOT
from tests.docs.reference.markdown import code, table

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = """# Audit events

JSON lines, one event each. Every event has `event`, `ts` (RFC 3339, UTC), `event_id`, `credential`, `provider`, `store`
and `actor` (host, pid, mode, instance). Those of one rotation share a `rotation_id`. Tokens appear as keyed digests
only. In a file each line also has its `chain`. What the trail promises, and how to read it: [audit.md](../audit.md).
"""

MEANINGS = {
    "rotation.started": "a refresh token is about to be presented; durable before the request leaves",
    "rotation.succeeded": "the new tokens are in the store, and the claim is settled",
    "rotation.failed": "not refreshed, and a person is needed; `reason` and `error` say why",
    "rotation.in_doubt": "the refresh token may be spent, and its answer is lost",
    "rotation.deferred": "put off until `retry_at`; nobody is needed",
    "escrow.replayed": "tokens that had waited in escrow were written back, or found to be written",
    "credential.reauthorization_required": "the grant is dead: told once, then left alone until somebody logs in again",
    "credential.resolved": "an operator's word: `reason` is `replay`, `discard`, `clear` or `revoke`",
    "credential.seeded": "a document was put, by `rotator put` or `rotator login`",
    "credential.read": "`rotator token` read the access token",
    "refresh_token.expiring": "the refresh token itself ends soon, at `expires_at`",
}

FIELDS = {
    "attempt": "how often this refresh token was presented, this time included",
    "refresh_token_digest": "HMAC-SHA-256 of the refresh token, 16 hex digits, keyed from the seal key",
    "version_before": "the document's version that was read",
    "version_after": "the version that was written",
    "expires_at": "when the access token ends; of `refresh_token.expiring`, the refresh token",
    "duration_ms": "since the request was sent",
    "reason": "why, as one word",
    "error": "what went wrong, in words; secrets in it are masked",
    "retry_at": "when it is tried again",
}

COMMON = frozenset({"rotation_id"})
OF_AN_ATTEMPT = frozenset({"attempt", "refresh_token_digest", "version_before", "duration_ms"})
"""What `rotator.attempt.Teller` adds."""


def page() -> str:
    """Return the page."""
    recorded = fields_by_event()
    names = [*EventName.__args__]
    rows = [
        (code(name), MEANINGS.get(name, ""), ", ".join(code(field) for field in sorted(recorded.get(name, ()))))
        for name in names
    ]
    every = sorted(set().union(*recorded.values()))
    fields = [(code(field), FIELDS.get(field, "")) for field in every]
    first = table(("event", "means", "fields, where they apply"), rows)
    return f"{HEAD}\n{first}\n\n## Fields\n\n{table(('field', 'means'), fields)}"


def undescribed() -> list[str]:
    """Return the events and fields that this module says nothing of."""
    fields = set().union(*fields_by_event().values())
    return [*(name for name in EventName.__args__ if name not in MEANINGS), *sorted(fields - FIELDS.keys())]


def fields_by_event() -> dict[str, set[str]]:
    """Return the fields that the code gives to each event, beside the common ones."""
    found: dict[str, set[str]] = {}
    for module in sorted((ROOT / "rotator").rglob("*.py")):
        if "testing" in module.parts or "cli" in module.parts:
            continue
        tree = ast.parse(module.read_text(encoding="utf-8"))
        for call, name in _recordings(tree):
            fields = {keyword.arg for keyword in call.keywords if keyword.arg}
            fields |= _spread(tree, call)
            if isinstance(call.func, ast.Attribute) and call.func.attr == "tell":
                fields |= OF_AN_ATTEMPT
            found.setdefault(name, set()).update(fields - COMMON)
    assert AuditEvent.__doc__
    return found


def _recordings(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Yield the calls that name an event."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for argument in node.args:
                if isinstance(argument, ast.Constant) and argument.value in EventName.__args__:
                    yield node, str(argument.value)


def _spread(tree: ast.AST, call: ast.Call) -> set[str]:
    """Return the keys of a mapping that a call spreads: those that the same module assigns to its name."""
    spread = {keyword.value.id for keyword in call.keywords if not keyword.arg and isinstance(keyword.value, ast.Name)}
    keys: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict(keys=found)) if name in spread:
                keys |= {str(key.value) for key in found if isinstance(key, ast.Constant)}
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Dict(keys=found)) if name in spread:
                keys |= {str(key.value) for key in found if isinstance(key, ast.Constant)}
            case ast.Assign(targets=[ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=key))]) if (
                name in spread
            ):
                keys.add(str(key))
    return keys
