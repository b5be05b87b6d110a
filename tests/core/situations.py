"""A situation, and what may stand in it, for the tests of the decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rotator.policy import Situation, Waiting
from rotator.records import Done, Lease, ProviderRecord, SealedEntry, StateRecord
from tests.core.parts import DIGEST, NOW, at, stored, token_set
from tests.rotation.world import credential, provider

if TYPE_CHECKING:
    from datetime import datetime

DUE_AT = 3600 - 60
"""A minute before the end: due, and in the last quarter of the margin of 360 s."""
EARLY = 3600 - 300
"""Five minutes before the end: due, and before the last quarter."""


def situation(now_s: float = DUE_AT, *, rules: dict[str, Any] | None = None, **changes: Any) -> Situation:
    """Return a situation `now_s` after `NOW`; `rules` change the provider, the record's fields go by name."""
    record = StateRecord("memory:main#payroll")
    of_record = {name: changes.pop(name) for name in ("presented", "lease", "hold", "history") if name in changes}
    given: dict[str, Any] = {
        "credential": credential(provider=provider(**(rules or {}))),
        "stored": stored(),
        "record": replace(record, **of_record),
        "provider": ProviderRecord("provider/p"),
        "waiting": (),
        "now": at(now_s),
        "holder": "me",
        "place": "state",
        "escrow_shared": True,
        **changes,
    }
    return Situation(**given)


def waiting(parent: str = DIGEST, *, kind: str = "tokens", sent_at: datetime = NOW, **tokens: Any) -> Waiting:
    entry = SealedEntry("memory:main#payroll", parent, kind, "r-0", "payroll", sent_at, "sealed")  # type: ignore[arg-type]
    return Waiting(entry, token_set(**tokens) if kind == "tokens" else None, sent_at)


OTHERS_LEASE = Lease("other", 3, at(4000))
DONE = Done("r-9", at(DUE_AT - 60), "6", "7")
