"""A provider in words: what to write for it, how its refresh tokens behave, how to log in. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, assert_never

from rotator.addresses import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rotator.model import Provider, Replay
    from rotator.profiles import Profile
    from rotator.profiles.schema import Rotates, Variable

EXAMPLE_ENDPOINT = "https://id.example.com/oauth2/token"
"""Stands for what a profile leaves to the entry."""


@dataclass(frozen=True, slots=True)
class Explained:
    """What there is to tell of a provider.

    Args:
        name: Of the profile, or of the provider in the configuration.
        provider: As the entry makes it; of a profile alone, with its examples.
        overridden: Of a provider in the configuration: the fields that its entry names, with what the profile says.
        configured: It stands in the configuration.
    """

    name: str
    profile: Profile
    provider: Provider
    overridden: Mapping[str, Any] = field(default_factory=dict)
    configured: bool = False


# ----------------------------------------------------------------------------------------------------- in a line


def rotates(value: Rotates) -> str:
    """Return what a refresh does to the refresh token, in a word or two."""
    return {"always": "replaced", "never": "kept", "sometimes": "now and then"}.get(value, value)


def replay(value: Replay) -> str:
    """Return when a refresh token may be presented again, in a word or two."""
    return duration(value.window_s) if value.kind == "window" else value.kind.replace("_", " ")


def life(provider: Provider) -> str:
    """Return how long a refresh token lives, as far as that is a number."""
    parts = []
    if provider.refresh_token_idle_s:
        parts.append(f"{duration(provider.refresh_token_idle_s)} idle")
    if provider.refresh_token_absolute_s:
        parts.append(f"{duration(provider.refresh_token_absolute_s)} in all")
    return ", ".join(parts) or "-"


def duration(seconds: float) -> str:
    """Return a duration as the configuration writes it: `30s`, `10m`, `12h`, `90d`."""
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:g}s"


# ----------------------------------------------------------------------------------------------------- in a page


def page(one: Explained) -> Iterator[str]:
    """Yield the lines of all there is to tell."""
    yield f"{one.name}: {one.profile.summary}" if one.profile.summary else one.name
    if one.configured:
        yield f"  profile {one.provider.profile}; token endpoint {shown(one.provider.token_endpoint)}"
    sections = {
        "It overrides": [f"{key}: {value}" for key, value in overrides(one)],
        "What to write": [] if one.configured else snippet(one).splitlines(),
        "Refresh tokens": list(refresh_tokens(one)),
        "Access tokens": list(access_tokens(one.provider)),
        "To log in": list(login(one)),
        "To know": [*one.profile.notes, *limits(one.provider)],
        "Sources": [*one.profile.sources],
    }
    for title, lines in sections.items():
        if lines:
            yield ""
            yield title
            yield from (f"  {line}".rstrip() for line in lines)


def snippet(one: Explained) -> str:
    """Return what to write into a configuration, ready but for the names; comments say what each variable is."""
    lines = ["providers:", f"  {_name(one)}:", f"    profile: {one.profile.name}"]
    if "token_endpoint" not in one.profile.fields:
        lines.append(f"    token_endpoint: {EXAMPLE_ENDPOINT}")
    lines += [_variable(key, variable) for key, variable in one.profile.variables.items()]
    secret = f"{{env: {_name(one).upper().replace('-', '_')}_CLIENT_SECRET}}"
    optional = "   # leave it out for a public client" if one.provider.secret_optional else ""
    lines += [
        "credentials:",
        "  - name: example",
        f"    provider: {_name(one)}",
        "    client_id: your-client-id",
        f"    client_secret: {secret}{optional}",
    ]
    return "\n".join(lines) + "\n"


def _name(one: Explained) -> str:
    """Return a name for the provider's entry; a profile that is a file gives its own."""
    return one.profile.name.rpartition("/")[2].partition(".")[0] or "acme"


def _variable(key: str, variable: Variable) -> str:
    value = variable.default or variable.example or next(iter(variable.of), "…")
    line = f"{key}: {value}"
    about = f"{variable.about}: one of {', '.join(variable.of)}" if variable.of else variable.about
    return (
        f"    {'# ' if variable.default else ''}{line}   # {about}{'; this is the default' if variable.default else ''}"
    )


def refresh_tokens(one: Explained) -> Iterator[str]:
    """Yield how refresh tokens behave: rotation, replay, life."""
    provider = one.provider
    yield {
        "always": "Each refresh brings a new refresh token, and the one before is history.",
        "never": "A refresh brings no refresh token: the one there is stays.",
        "by setting": "Whether a refresh replaces the refresh token is a setting of the tenant or the client.",
        "sometimes": "A refresh replaces the refresh token now and then: the newest one counts.",
        "unknown": "Whether a refresh replaces the refresh token is not documented: whatever comes is kept.",
    }[one.profile.rotates]
    yield _after_a_lost_reply(provider)
    if one.profile.refresh_token_life:
        yield f"Its life: {one.profile.refresh_token_life}."
    if provider.refresh_token_idle_s:
        yield f"rotator sees to it that none goes unused for {duration(provider.refresh_token_idle_s)}."
    if provider.refresh_token_absolute_s:
        yield f"rotator warns before the {duration(provider.refresh_token_absolute_s)} of a grant are over."
    if not (provider.refresh_token_idle_s or provider.refresh_token_absolute_s):
        yield "State refresh_token_idle and refresh_token_absolute where you know them, and rotator warns in time."


def _after_a_lost_reply(provider: Provider) -> str:
    late = (
        "it is left to an operator (rotator resolve NAME --replay)"
        if provider.on_doubt == "operator"
        else "the access token stays in place, and shortly before its end the refresh token is presented one last time"
    )
    match provider.replay.kind:
        case "safe":
            return "After a lost reply it is presented again: that does no harm here."
        case "until_successor_used":
            return "After a lost reply it is presented once more: it is good until its successor is used."
        case "window":
            window = duration(provider.replay.window_s)
            return f"After a lost reply it is presented once more within {window} of the first time; later, {late}."
        case "never":
            return f"After a lost reply it is not simply presented again: {late}."
        case _:
            assert_never(provider.replay.kind)


def access_tokens(provider: Provider) -> Iterator[str]:
    """Yield what becomes of access tokens."""
    yield {
        "kept": "A refresh leaves the access token before as it is.",
        "revoked": "A refresh ends the access token before: whoever holds it has to read the credential again.",
        "unknown": "What a refresh does to the access token before is not documented.",
    }[provider.old_access_token]
    if provider.default_lifetime_s:
        yield f"Where an answer names no lifetime, {duration(provider.default_lifetime_s)} is assumed."


def ways_in(provider: Provider) -> tuple[str, ...]:
    """Return how a person can log in: `browser`, `device`, `put`."""
    browser = ("browser",) if provider.authorization_endpoint or provider.issuer else ()
    device = ("device",) if provider.device_authorization_endpoint else ()
    return (*browser, *device, "put")


def login(one: Explained) -> Iterator[str]:
    """Yield the commands that bring a token set in."""
    ways = ways_in(one.provider)
    if "browser" in ways:
        yield "rotator login NAME --port PORT   in a browser; register http://127.0.0.1:PORT/callback with the client"
    if "device" in ways:
        yield "rotator login NAME --device      by a code that is entered on any other device"
    yield "rotator put NAME FILE            with a token response that you got in another way"
    if one.provider.login_scope and len(ways) > 1:
        yield f"scope, unless the credential names one: {one.provider.login_scope}"


def limits(provider: Provider) -> Iterator[str]:
    """Yield what paces requests."""
    limit = provider.rate_limit
    if limit is None:
        yield "No budget is assumed: state your part as rate_limit. Retry-After and its relatives are obeyed anyway."
    else:
        yield f"At most {limit.requests:g} requests in {duration(limit.per_s)}, all replicas together."


def overrides(one: Explained) -> Iterator[tuple[str, str]]:
    """Yield each field that the entry names, with its value and what the profile says."""
    for key, said in one.overridden.items():
        value = getattr(one.provider, key, None)
        if value is None:
            value = getattr(one.provider, f"{key}_s", None)
        of_profile = f" (the profile: {_shown(said)})" if said is not None else ""
        yield key, f"{_shown(value, key)}{of_profile}"


def _shown(value: Any, key: str = "") -> str:
    """Return a value as it would be written; of an address, what is no secret."""
    if key == "private_key":
        return "stated"
    if key == "rules":
        return f"{len(value)}"
    if hasattr(value, "kind"):
        return replay(value) if value.kind != "window" else f"{{window: {duration(value.window_s)}}}"
    if hasattr(value, "per_s"):
        return f"{{requests: {value.requests:g}, per: {duration(value.per_s)}}}"
    if isinstance(value, float):
        return duration(value)
    if isinstance(value, dict) and set(value) == {"window"}:
        return f"{{window: {value['window']}}}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return shown(value) if "://" in value else value
    if isinstance(value, tuple | list):
        return f"[{', '.join(_shown(item) for item in value)}]" if value else "[]"
    return "null" if value is None else str(value)


# ------------------------------------------------------------------------------------------------------ for programs


def facts(one: Explained) -> dict[str, Any]:
    """Return what `rotator providers --json` says of a provider."""
    provider, template = one.provider, one.profile.fields.get("token_endpoint")
    return {
        "name": one.name,
        "profile": one.profile.name,
        "summary": one.profile.summary,
        "configured": one.configured,
        "overridden": dict(overrides(one)),
        "variables": [
            {"name": key, "is": variable.kind, "about": variable.about, "example": variable.example,
             "default": variable.default, "choices": [*variable.of]}
            for key, variable in one.profile.variables.items()
        ],
        "token_endpoint": shown(provider.token_endpoint) if one.configured else template,
        "client_auth": provider.client_auth,
        "body": provider.body,
        "rotates": one.profile.rotates,
        "replay": {"kind": provider.replay.kind, "window_s": provider.replay.window_s or None},
        "on_doubt": provider.on_doubt,
        "old_access_token": provider.old_access_token,
        "default_lifetime_s": provider.default_lifetime_s,
        "refresh_token": {
            "idle_s": provider.refresh_token_idle_s,
            "absolute_s": provider.refresh_token_absolute_s,
            "life": one.profile.refresh_token_life,
        },
        "login": list(ways_in(provider)),
        "notes": [*one.profile.notes],
        "sources": [*one.profile.sources],
    }  # fmt: skip
