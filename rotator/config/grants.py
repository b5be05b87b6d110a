"""A credential's `grant`: what has to stand beside it, and the provider as that credential's requests see it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rotator.config.findings import Finding, Path
from rotator.model import Replay

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rotator.config.model import CredentialSettings
    from rotator.config.providers import Merged
    from rotator.model import GrantType, Provider

ITS_OWN = frozenset(
    {
        *("grant_type", "assertion", "refresh_token", "scope"),
        *("client_id", "client_secret", "client_assertion", "client_assertion_type"),
    }
)
"""Parameters of a token request that rotator sets, and `token_parameters` cannot."""

_USED_BY: Mapping[str, tuple[GrantType, ...]] = {
    "subject": ("jwt_bearer",),
    "assertion_claims": ("jwt_bearer",),
    "token_parameters": ("client_credentials", "jwt_bearer"),
}


def examined(path: Path, credential: CredentialSettings, merged: Merged) -> Iterator[Finding]:
    """Yield what does not fit a credential's grant."""
    grant, provider = credential.grant, merged.provider
    for key, grants in _USED_BY.items():
        if getattr(credential, key) and grant not in grants:
            what = f"is never used: the grant is {grant}"
            yield Finding((*path, key), what, f"leave it out, or set grant: {' or '.join(grants)}")
    yield from reserved((*path, "token_parameters"), credential.token_parameters)
    yield from needs(path, grant, provider, signs=bool(credential.private_key or merged.private_key))


def needs(path: Path, grant: GrantType, provider: Provider, *, signs: bool) -> Iterator[Finding]:
    """Yield what a grant lacks.

    Args:
        signs: Whether a private key is configured.
    """
    if grant == "jwt_bearer" and not signs:
        hint = "add private_key: {env: NAME}, {file: PATH} or {store: …, secret: …, field: …} here or at the provider"
        yield Finding((*path, "private_key"), "is missing: grant: jwt_bearer signs its assertions", hint)
    if grant == "client_credentials" and provider.client_auth == "none":
        what = f"is of clients that authenticate, and provider {provider.name} has client_auth: none"
        yield Finding((*path, "grant"), what, "correct client_auth (RFC 6749 section 4.4)")


def reserved(path: Path, parameters: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the parameters that cannot be set by hand."""
    for name in sorted(ITS_OWN & parameters.keys()):
        yield Finding(
            (*path, name), "is set by rotator itself", "leave it out; scope and client have keys of their own"
        )


@dataclass(slots=True)
class Granted:
    """Providers as the requests of single credentials see them; equal ones are one: fleets have few."""

    _made: dict[tuple[object, ...], Provider] = field(default_factory=dict)

    def of(self, provider: Provider, credential: CredentialSettings) -> Provider:
        """Return the provider with what a credential states itself laid over it."""
        signing = (credential.key_id, credential.algorithm, credential.audience)
        if credential.grant == "refresh_token" and not any(signing):
            return provider
        parameters = (*provider.token_parameters, *credential.token_parameters.items())
        claims = (*provider.assertion_claims, *credential.assertion_claims.items())
        key = (provider.name, *signing, credential.grant, credential.subject, parameters, claims)
        if key not in self._made:
            own = replace(
                provider,
                key_id=credential.key_id or provider.key_id,
                algorithm=credential.algorithm or provider.algorithm,
                audience=credential.audience or provider.audience,
                subject=credential.subject,
                token_parameters=tuple(dict(parameters).items()),
                assertion_claims=tuple(dict(claims).items()),
            )
            self._made[key] = standing(own, credential.grant)
        return self._made[key]


def standing(provider: Provider, grant: GrantType) -> Provider:
    """Return the provider under a grant. What a profile says of refresh tokens holds for that grant alone."""
    if grant == "refresh_token":
        return provider
    return replace(
        provider, grant=grant, replay=Replay("safe"), refresh_token_idle_s=None, refresh_token_absolute_s=None
    )
