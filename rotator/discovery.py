"""Credentials that are found in a store instead of being configured one by one. Pure but for the asking.

A rule says where to look and which provider the secrets that are found belong to. What a listing shows is not taken
at its word: one that suddenly shows nothing must not forget the fleet, and one that suddenly shows ten times as much
is likelier a label in the wrong place than ten times as many logins of rotator's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rotator.errors import Defect, RotatorError
from rotator.model import Credential, Found
from rotator.progress import many, unwatched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rotator.model import Provider
    from rotator.ports import SecretStore
    from rotator.progress import Progress
    from rotator.redact import Secret

FEW = 10
"""Changes of so few secrets are believed, whatever share of the rule's secrets they are."""

GROWTH = 3
"""More than so many times as many secrets as before are taken in only when a person reloads the configuration."""

ABSENCES = 2
"""A secret is dropped when so many listings in a row do not show it: a listing may lag."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@:-]{0,127}")


@dataclass(frozen=True, slots=True)
class Rule:
    """Where to look for secrets, and what to make of them.

    Args:
        name: For messages.
        labels: A secret must carry them; an empty value stands for any.
        provider: Of all that is found; None when a label names it.
        provider_label: The label whose value is the name of one of `providers`.
        client_id: Likewise of all that is found, as are the others below; None is the document's.
        private_keys: By provider's name, where its clients sign.
    """

    name: str
    store: str
    prefix: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    provider: Provider | None = None
    provider_label: str = ""
    providers: Mapping[str, Provider] = field(default_factory=dict)
    client_id: str | None = None
    client_secret: Callable[[], Secret | None] = field(default=lambda: None, compare=False)
    private_keys: Mapping[str, Callable[[], Secret | None]] = field(default_factory=dict, compare=False)
    scope: str | None = None
    refresh_before_expiry_s: float | None = None

    @property
    def asked(self) -> dict[str, str]:
        """The labels that the store is asked for."""
        named = {self.provider_label: ""} if self.provider_label else {}
        return {**named, **self.labels}

    def credential(self, found: Found) -> Credential | str:
        """Return the credential for a secret, or why there is none. Its name is the secret's."""
        if not _NAME.fullmatch(found.secret):
            return f"{found.secret[:128]!r} cannot be the name of a credential"
        provider = self.provider or self.providers.get(found.labels.get(self.provider_label, ""))
        if provider is None:
            return f"{found.secret}: its label {self.provider_label} names no provider of the configuration"
        return Credential(
            name=found.secret,
            provider=provider,
            store=self.store,
            secret=found.secret,
            client_id=self.client_id,
            client_secret=self.client_secret,
            private_key=self.private_keys.get(provider.name, _no_key),
            scope=self.scope,
            refresh_before_expiry_s=self.refresh_before_expiry_s,
        )

    def named(self, secret: str, provider: str | None) -> Credential | None:
        """Return the credential of a secret that the rule has found before, as its name and provider tell; None if not.

        For who is told what is due and asks no store for it (`rotator.aws_fan_out`).
        """
        if not secret.startswith(self.prefix) or (self.provider is not None and provider != self.provider.name):
            return None
        labels = {self.provider_label: provider} if self.provider_label and provider else {}
        credential = self.credential(Found(secret, "", None, labels))
        return None if isinstance(credential, str) else credential


@dataclass(frozen=True, slots=True)
class Listing:
    """What a rule found.

    Args:
        found: None when the store could not be listed, for the reason in `error`.
    """

    rule: Rule
    found: Mapping[str, Found] | None
    error: RotatorError | None = None


def _no_key() -> None:
    """One for all: a function of its own for each of 100,000 credentials is 15 MB."""


def ask(rule: Rule, stores: Mapping[str, SecretStore]) -> Listing:
    """List what a rule finds now; raises nothing."""
    try:
        return Listing(rule, stores[rule.store].find(rule.prefix, rule.asked))
    except RotatorError as error:
        return Listing(rule, None, error)
    except Exception as error:  # noqa: BLE001 - a defect in one store must not stop the work on the others
        return Listing(rule, None, Defect.of(error))


def gathered(
    rules: Sequence[Rule],
    stores: Mapping[str, SecretStore],
    configured: Iterable[Credential],
    progress: Progress = unwatched,
) -> tuple[list[Credential], list[str], list[RotatorError]]:
    """Return what the rules find now, for a run that has no yesterday: credentials, notes, and what failed."""
    census = Census(configured)
    notes: list[str] = []
    errors: list[RotatorError] = []
    for number, rule in enumerate(rules):
        progress(f"finding credentials by {many(len(rules), 'rule')}", number, len(rules))
        listing = ask(rule, stores)
        notes += census.take(listing, confirmed=True)[1]
        errors += [listing.error] if listing.error else []
    return census.credentials, notes, errors


@dataclass(slots=True)
class Census:
    """What each rule's listings came to. For one thread.

    Args:
        configured: What is configured by itself. It goes before what is found.
        found: By rule, what was found and taken in.
    """

    configured: Iterable[Credential] = ()
    found: dict[str, dict[str, Credential]] = field(default_factory=dict)
    _absent: dict[str, dict[str, int]] = field(default_factory=dict)
    _taken: set[tuple[str, str]] = field(default_factory=set)
    _names: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for credential in self.configured:
            self._taken.add((credential.store, credential.secret))
            self._names.add(credential.name)

    @property
    def credentials(self) -> list[Credential]:
        """All that was found and taken in; of two rules that find one secret, the first one's."""
        by_name: dict[str, Credential] = {}
        for known in self.found.values():
            for name, credential in known.items():
                by_name.setdefault(name, credential)
        return list(by_name.values())

    def take(self, listing: Listing, *, confirmed: bool = False) -> tuple[bool, list[str]]:
        """Take over a listing.

        Args:
            confirmed: A person has just started or reloaded: what is there is what is meant, but for nothing at all.

        Returns:
            Whether anything changed, and what a person should know.
        """
        rule = listing.rule
        known = self.found.setdefault(rule.name, {})
        if listing.found is None:
            return False, [f"{rule.name} cannot be looked up, what was found before stays: {listing.error}"]
        found, notes = self._usable(rule, listing.found)
        gone, new = known.keys() - found.keys(), found.keys() - known.keys()
        if known and not found:
            return False, [*notes, f"{rule.name} finds nothing any more: all {len(known)} stay"]
        if not confirmed and len(gone) > max(FEW, len(known) // 2):
            notes.append(f"{rule.name} misses {len(gone)} of {len(known)}: they stay until a reload")
            gone = set()
        if not confirmed and known and len(found) > max(len(known) + FEW, GROWTH * len(known)):
            notes.append(f"{rule.name} finds {len(found)} after {len(known)}: new ones wait for a reload")
            new = set()
        changed = {name for name in found.keys() & known.keys() if found[name] != known[name]}
        dropped = gone if confirmed else self._absent_long_enough(rule, gone)
        for name in new | changed:
            known[name] = found[name]
        for name in dropped:
            del known[name]
        return bool(new or changed or dropped), notes

    def _usable(self, rule: Rule, found: Mapping[str, Found]) -> tuple[dict[str, Credential], list[str]]:
        credentials, notes = {}, []
        for one in found.values():
            known_as = (one.secret, one.identity, one.identity.rpartition("-")[0])
            if one.secret in self._names or any((rule.store, name) in self._taken for name in known_as):
                continue
            credential = rule.credential(one)
            if isinstance(credential, str):
                notes.append(f"{rule.name}: {credential}")
            else:
                credentials[credential.name] = credential
        return credentials, notes

    def _absent_long_enough(self, rule: Rule, gone: set[str]) -> set[str]:
        before = self._absent.get(rule.name, {})
        counts = {name: before.get(name, 0) + 1 for name in gone}
        self._absent[rule.name] = counts
        return {name for name, times in counts.items() if times >= ABSENCES}
