"""Rates that are impossible on their face: what no schedule keeps fresh, told before any token is read.

Only where the configuration itself says how long tokens live (`default_lifetime`), or where a limit gives each
credential its turn once in days. What the documents say is for `check --live` and `rotator plan`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rotator.advice import of_budget, rate, span
from rotator.errors import Problem
from rotator.forecast import DAY_S, BudgetUse, Kind
from rotator.ledger import provider_key
from rotator.schedule import margin_s

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rotator.config.findings import Origin, Path
    from rotator.model import Credential, Provider

SEE_MORE = "rotator plan goes by the documents that are stored"


@dataclass(slots=True)
class _Users:
    """The credentials that share a budget, and how often those of known lifetimes need it."""

    path: Path
    use: BudgetUse
    untold: bool = False

    def add(self, credential: Credential) -> None:
        """Count one more."""
        use, lifetime_s = self.use, credential.provider.default_lifetime_s
        if lifetime_s is None:
            self.untold = True
            self.use = replace(use, credentials=use.credentials + 1)
            return
        self.use = replace(
            use,
            credentials=use.credentials + 1,
            needs_per_s=use.needs_per_s + 1 / lifetime_s,
            wants_per_s=use.wants_per_s + 1 / (lifetime_s - margin_s(lifetime_s, credential)),
        )


def impossible_rates(
    credentials: Sequence[Credential], origin: Origin, *, writes: Mapping[str, float] | None = None
) -> list[Problem]:
    """Return a problem for each limit, and each lifetime, with which tokens will end before their refresh.

    Args:
        writes: The spacing of rotations that a store's writes allow, of each store with a limit.
    """
    budgets = [*_lanes(credentials).values(), *_stores(credentials, writes or {}).values()]
    told: dict[Path, list[str]] = {}
    for provider in {one.provider.name: one.provider for one in credentials}.values():
        lifetime_s, rest_s = provider.default_lifetime_s, provider.earliest_refresh_s
        if lifetime_s is not None and rest_s >= lifetime_s:
            what = f"a token lives for {span(lifetime_s)} (default_lifetime): each ends before it may be refreshed"
            told["providers", provider.name, "earliest_refresh"] = [what]
    for users in sorted(budgets, key=lambda users: users.use.load, reverse=True):
        told.setdefault(users.path, []).extend(_said(users))
    return [
        Problem(origin.where(path), said[0] + (f" (and {len(said) - 1} more)" if len(said) > 1 else ""), SEE_MORE)
        for path, said in told.items()
        if said
    ]


def _said(users: _Users) -> Iterator[str]:
    use = users.use
    turn_s = use.credentials * use.interval_s
    if users.untold and turn_s > DAY_S:
        unit, limit = ("requests", "rate_limit") if use.kind == "provider" else ("rotations", "write_quota")
        yield (
            f"{use.label}: {limit} lets {rate(1 / use.interval_s, unit)} through, so that each of its "
            f"{use.credentials:,} credentials has its turn every {span(turn_s)}: tokens that live shorter end"
        )
    yield from of_budget(use, None)


def _lanes(credentials: Sequence[Credential]) -> dict[str, _Users]:
    """Return the users of each provider and client with a limit: the strictest that any entry states counts for all."""
    found: dict[str, _Users] = {}
    for one in sorted(credentials, key=lambda one: _interval_s(one.provider), reverse=True):
        # A client id that stands in a document is not known here: such a credential counts alone.
        key = provider_key(one.provider.token_endpoint, one.client_id or f"of {one.name}")
        if key not in found:
            if one.provider.rate_limit is None:
                continue
            label = f"{one.provider.name}|{one.client_id or ''}"
            path = ("providers", one.provider.name, "rate_limit")
            found[key] = _Users(path, _unused("provider", label, one.provider.rate_limit.interval_s))
        found[key].add(one)
    return found


def _interval_s(provider: Provider) -> float:
    return provider.rate_limit.interval_s if provider.rate_limit else 0.0


def _stores(credentials: Sequence[Credential], writes: Mapping[str, float]) -> dict[str, _Users]:
    found: dict[str, _Users] = {}
    for one in credentials:
        if one.store in writes:
            use = _unused("store", one.store, writes[one.store])
            found.setdefault(one.store, _Users(("stores", one.store), use)).add(one)
    return found


def _unused(kind: Kind, label: str, interval_s: float) -> BudgetUse:
    return BudgetUse(kind, label, interval_s, 0, 0.0, 0.0)
