"""A provider's entry laid over its profile: the `Provider` that requests are made from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from pydantic import ValidationError

from rotator.config.faults import findings_of
from rotator.config.findings import Finding, Path
from rotator.config.grants import reserved
from rotator.config.profile_files import find_profile, is_file
from rotator.config.provider_settings import ProviderFields, ProviderSettings, ReplayWindow
from rotator.errors import PluginError
from rotator.limits import RateLimit
from rotator.model import AnswerRule, Provider, Replay
from rotator.plugins import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rotator.config.secret_sources import SecretSource
    from rotator.errors import Problem
    from rotator.profiles import Profile


ITS_SERVERS = ("issuer", "authorization_endpoint", "device_authorization_endpoint", "revocation_endpoint")
"""Addresses that belong to a profile's own token endpoint. Where an entry names another one, a login or a revocation
must not send its codes and tokens to the server that the entry left."""


@dataclass(frozen=True, slots=True)
class Merged:
    """A provider, and the source of the key that signs its assertions."""

    provider: Provider
    private_key: SecretSource | None


def merge(
    name: str, entry: ProviderSettings, env: Mapping[str, str] = MappingProxyType({})
) -> tuple[Merged | None, list[Finding]]:
    """Lay a provider's entry over its profile.

    Args:
        name: The provider's name in the configuration.
        entry: Its settings. What it names, even as null, goes before what the profile states.
        env: Where `${VAR}` in a profile of one's own is looked up.

    Returns:
        The provider, or None when something is wrong; and what is wrong.
    """
    path: Path = ("providers", name)
    try:
        found = find_profile(entry.profile, env)
    except PluginError as error:
        return None, _in_profile(path, error.problems, entry.profile)
    profile = found.profile
    texts, findings = _variables(profile, entry, path)
    stated, lacking = profile.filled_in(texts)
    try:
        base = ProviderFields.model_validate(stated)
    except ValidationError as error:
        wrong = findings_of(error, ProviderFields)
        if found.origin:
            return None, [*findings, *_in_profile(path, found.origin.problems(wrong), entry.profile)]
        faults = [f"{'.'.join(map(str, f.path))} {f.what}" for f in wrong]
        what = f"profile {entry.profile!r} is not valid: {'; '.join(faults)}"
        return None, [*findings, Finding((*path, "profile"), what, "mend the profile")]
    overrides = {key: getattr(entry, key) for key in entry.model_fields_set & ProviderFields.model_fields.keys()}
    if "token_endpoint" in overrides:
        overrides = dict.fromkeys(ITS_SERVERS) | overrides
    fields = base.model_copy(update=overrides)
    findings += reserved((*path, "token_parameters"), fields.token_parameters)
    findings += _gaps(profile, fields, lacking.keys() - overrides.keys(), lacking, path)
    if findings:
        return None, findings
    return Merged(_provider(name, entry.profile, fields), fields.private_key), []


def _in_profile(path: Path, problems: Iterable[Problem], name: str) -> list[Finding]:
    """Return what is wrong with an entry's profile; what is wrong with a line of a file is told at that line."""
    at: Path = (*path, "profile")
    return [
        Finding(at, problem.what, problem.hint, elsewhere=problem.where)
        if is_file(name) and problem.where != name
        else Finding(at, f"{problem.where}: {problem.what}", problem.hint)
        for problem in problems
    ]


def _variables(profile: Profile, entry: ProviderSettings, path: Path) -> tuple[dict[str, str], list[Finding]]:
    """Return the text of each variable that the entry gives, and what is wrong with its other keys."""
    texts = profile.defaults
    findings: list[Finding] = []
    known = {*profile.variables, *ProviderSettings.model_fields}
    for key, value in entry.others.items():
        variable = profile.variables.get(key)
        if variable is None:
            findings.append(Finding((*path, key), "unknown key", suggestion(key, known)))
        elif (text := variable.text_for(value)) is None:
            findings.append(Finding((*path, key), variable.fault, variable.hint))
            texts.pop(key, None)
        else:
            texts[key] = text
    return texts, findings


def _gaps(
    profile: Profile, fields: ProviderFields, open_fields: set[str], lacking: dict[str, str], path: Path
) -> list[Finding]:
    """Return what is still missing: the endpoint, and what an assertion of private_key_jwt is made for.

    The audience is asked for only where an assertion is sent: a provider whose endpoint is overridden, a sandbox say,
    need not name a tenant for nothing.
    """
    needed = {"token_endpoint"} | ({"audience"} if fields.client_auth == "private_key_jwt" else set())
    findings = [
        Finding((*path, variable), "is missing", profile.variables[variable].hint)
        for variable in sorted({lacking[field] for field in needed & open_fields})
    ]
    if fields.token_endpoint is None and "token_endpoint" not in open_fields:
        hint = "give the URL that takes refresh_token grants, such as https://id.example.com/oauth2/token"
        findings.append(Finding((*path, "token_endpoint"), "is missing", hint))
    return findings


def _provider(name: str, profile: str, fields: ProviderFields) -> Provider:
    endpoint = fields.token_endpoint or ""
    replay, limit = fields.replay, fields.rate_limit
    return Provider(
        name=name,
        profile=profile,
        token_endpoint=endpoint,
        body=fields.body,
        client_auth=fields.client_auth,
        basic_encoding=fields.basic_encoding,
        timeout_s=fields.timeout,
        key_id=fields.key_id,
        algorithm=fields.algorithm,
        audience=fields.audience or (endpoint if fields.client_auth == "private_key_jwt" else None),
        replay=Replay("window", replay.window) if isinstance(replay, ReplayWindow) else Replay(replay),
        on_doubt=fields.on_doubt,
        old_access_token=fields.old_access_token,
        default_lifetime_s=fields.default_lifetime,
        earliest_refresh_s=fields.earliest_refresh,
        refresh_before_expiry_s=fields.refresh_before_expiry,
        refresh_token_idle_s=fields.refresh_token_idle,
        refresh_token_absolute_s=fields.refresh_token_absolute,
        error_members=fields.error_members,
        description_members=fields.description_members,
        rules=tuple(
            AnswerRule(
                then=rule.then,
                status=rule.status,
                code=rule.code,
                description=re.compile(rule.description) if rule.description is not None else None,
            )
            for rule in fields.rules
        ),
        form_reply=fields.form_reply,
        secret_optional=fields.secret_optional,
        default_token_type=fields.default_token_type,
        bearer_types=fields.bearer_types,
        rate_limit=RateLimit(limit.requests, limit.per) if limit else None,
        issuer=fields.issuer,
        authorization_endpoint=fields.authorization_endpoint,
        device_authorization_endpoint=fields.device_authorization_endpoint,
        revocation_endpoint=fields.revocation_endpoint,
        login_scope=fields.login_scope,
        login_parameters=tuple(fields.login_parameters.items()),
        assertion_claims=tuple(fields.assertion_claims.items()),
        token_parameters=tuple(fields.token_parameters.items()),
    )
