"""The `discover` section: references checked, and made into the rules that `rotator.discovery` goes by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rotator.config import checks, grants
from rotator.config.findings import Finding, Path
from rotator.config.grants import standing
from rotator.config.sources import ReadSecret, reader
from rotator.discovery import Rule
from rotator.plugins import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rotator.config.model import DiscoverySettings, Settings
    from rotator.config.providers import Merged
    from rotator.config.secret_sources import SecretSource
    from rotator.redact import Secret


def examined(settings: Settings, merged: Mapping[str, Merged], env: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what is wrong with the section that no single key can tell."""
    stores = settings.named("stores")
    for index, entry in enumerate(settings.discover):
        path: Path = ("discover", index)
        if entry.store is None and len(stores) > 1:
            yield Finding((*path, "store"), "is missing", f"name one of the stores: {', '.join(sorted(stores))}")
        if entry.store is not None and not settings.knows("stores", entry.store):
            yield Finding((*path, "store"), f"there is no store {entry.store!r}", suggestion(entry.store, stores))
        if entry.provider is not None and not settings.knows("providers", entry.provider):
            hint = suggestion(entry.provider, settings.named("providers"))
            yield Finding((*path, "provider"), f"there is no provider {entry.provider!r}", hint)
        yield from checks.sources((*path, "client_secret"), entry.client_secret, env, settings)
        named = [entry.provider] if entry.provider else merged
        for one in (merged[name] for name in named if name in merged):
            yield from grants.needs(path, entry.grant, one.provider, signs=one.private_key is not None)


def rules(
    settings: Settings, merged: Mapping[str, Merged], env: Mapping[str, str], read_secret: ReadSecret
) -> list[Rule]:
    """Return the rules of settings in which nothing is wrong."""

    def source(where: Path, chosen: SecretSource | None) -> Callable[[], Secret | None]:
        if chosen is None:
            return lambda: None
        return reader(chosen, where=settings.origin.where(where), env=env, read_secret=read_secret)

    keys = {name: source(("providers", name, "private_key"), one.private_key) for name, one in merged.items()}
    return [
        Rule(
            name=_name(index, entry),
            store=entry.store or settings.named("stores")[0],
            prefix=entry.prefix,
            labels=entry.labels,
            provider=standing(merged[entry.provider].provider, entry.grant) if entry.provider else None,
            provider_label=entry.provider_label or "",
            providers={name: standing(one.provider, entry.grant) for name, one in merged.items()},
            client_id=entry.client_id,
            client_secret=source(("discover", index, "client_secret"), entry.client_secret),
            private_keys=keys,
            scope=entry.scope,
            refresh_before_expiry_s=entry.refresh_before_expiry,
        )
        for index, entry in enumerate(settings.discover)
    ]


def _name(index: int, entry: DiscoverySettings) -> str:
    """Return a name that changes with what is looked for: what was found by another rule is not this one's."""
    labels = ", ".join(f"{name}={value}" for name, value in sorted(entry.labels.items()))
    return f"discover[{index}] ({'; '.join(filter(None, (entry.prefix, labels, entry.provider_label)))})"
