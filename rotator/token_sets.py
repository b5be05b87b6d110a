"""Reading a reply's body, strictly, and the token set in it (RFC 6749 section 5.1). Pure.

Whatever is not surely understood is not guessed at: the refresh token that was presented is spent by then, and a
wrong successor in the store would be worse than a reply that an operator has to read.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qsl

from rotator.documents import DISTANT_S, jwt_claims
from rotator.http_messages import values_of
from rotator.model import Refreshed, TokenSet
from rotator.oauth import longest_first, scopes
from rotator.redact import Secret, without

if TYPE_CHECKING:
    from rotator.http_messages import Headers, HttpReply
    from rotator.model import Provider, RefreshRequest

LONGEST_LIFETIME_S = 10 * 365 * 86_400.0
"""No access token lives for ten years: a larger number is a mistake, and must not put off the refresh for ever."""

REFRESH_LIFETIMES = ("refresh_token_expires_in", "refresh_expires_in", "x_refresh_token_expires_in")
"""GitHub and others, Keycloak, Intuit."""

MOST_FORM_FIELDS = 200

SHORTEST_TOKEN = 16
"""Characters. A shorter secret may stand in a scope by chance: 128 bits of entropy (RFC 6749 section 10.10) take 22."""

_DIGITS = re.compile(r"\s*[0-9]{1,18}(\.[0-9]{1,18})?\s*")
_CHARSET = re.compile(r""";\s*charset\s*=\s*"?([^\s;"]+)""", re.IGNORECASE)
_VSCHAR = re.compile(r"[\x20-\x7e]+")  # RFC 6749 appendix A.12

Members = Mapping[str, Any]


# ------------------------------------------------------------------------------------------------------ reading


def members_of(reply: HttpReply, *, form: bool = False) -> Members | None:
    """Return the members of the body's JSON object; None when it cannot be read without doubt.

    A cut or compressed body, bytes that are not UTF-8, a name that stands twice (RFC 6749 section 3.2), NaN, Infinity
    and depths beyond the parser's all count as unreadable. The content type is not asked for: JSON is sent as
    `text/plain` and `text/html`, and what is no JSON object fails by itself.

    Args:
        form: A form-encoded body is read as well.
    """
    if not reply.complete or _is_compressed(reply.headers):
        return None
    text = _text(reply)
    if text is None:
        return None
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant, parse_int=_integer)
    except RecursionError:
        return None
    except ValueError:
        return _form_members(text, reply.headers) if form else None
    return value if isinstance(value, _Object) and not value.repeats else None


class _Object(dict[str, Any]):
    repeats = False


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    # Noted and judged at the top only: a repetition deep inside a vendor's own member changes no token.
    members = _Object(pairs)
    members.repeats = len(members) != len(pairs)
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _integer(digits: str) -> float:
    # int() refuses 4300 digits with an error that would make the whole reply unreadable.
    return int(digits) if len(digits) <= 18 else float(digits)  # noqa: PLR2004 - 64 bits


def _is_compressed(headers: Headers) -> bool:
    return any(value.lower() not in {"", "identity"} for value in values_of(headers, "content-encoding"))


def _text(reply: HttpReply) -> str | None:
    """Decode the body as UTF-8 (RFC 8259 section 8.1), a byte order mark ignored."""
    try:
        text = reply.body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    declared = _declared_charset(reply.headers)
    return text if declared in {"", "utf-8", "utf8"} or text.isascii() else None


def _declared_charset(headers: Headers) -> str:
    found = _CHARSET.search(" ".join(values_of(headers, "content-type")))
    return found[1].lower() if found else ""


def _form_members(text: str, headers: Headers) -> Members | None:
    # Unlike JSON a form does not show where it ends, so that a connection that broke would look like a shorter token.
    if not values_of(headers, "content-length") and not values_of(headers, "transfer-encoding"):
        return None
    try:
        pairs = parse_qsl(
            text.strip(), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=MOST_FORM_FIELDS
        )
    except ValueError:
        return None
    members = dict(pairs)
    return members if len(members) == len(pairs) else None


# ------------------------------------------------------------------------------------------------------ tokens


@dataclass
class _Findings:
    """What is remarkable about a token set: `problems` forbid publishing the access token, `warnings` do not."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def carries_tokens(members: Members, presented: Secret | None) -> bool:
    """Return whether tokens are in there that nobody has yet, whatever else the reply says."""
    for name in ("access_token", "refresh_token"):
        value = members.get(name)
        if isinstance(value, str) and value and not (presented and value == presented.reveal()):
            return True
    return False


def refreshed(
    members: Members, headers: Headers, request: RefreshRequest, masks: tuple[Secret, ...]
) -> Refreshed | str:
    """Return the token set of a successful reply, or what keeps it from being one.

    Unknown members are ignored and nothing is assumed about lengths (RFC 6749 section 5.1). Foreign text in warnings
    and problems is free of `masks`.
    """
    access_token, refresh_token, id_token = map(members.get, ("access_token", "refresh_token", "id_token"))
    if not isinstance(access_token, str) or not access_token:
        return "it holds no access_token"
    if refresh_token is not None and not isinstance(refresh_token, str):
        return "its refresh_token is no text"
    findings = _Findings()
    if refresh_token and request.provider.stands:
        refresh_token = None  # nobody would present it (RFC 6749 section 4.4.3: it should not be there)
    if id_token is not None and not isinstance(id_token, str):
        findings.warnings.append("the id_token is no text and was left out")
        id_token = None
    received = tuple(Secret(text) for text in (access_token, refresh_token, id_token) if text)
    hidden = longest_first(*masks, *received)
    tokens = TokenSet(
        access_token=Secret(access_token),
        refresh_token=Secret(refresh_token) if refresh_token else None,
        token_type=_token_type(members, request.provider, findings),
        scope=_scope(members, request, hidden, findings),
        id_token=Secret(id_token) if id_token else None,
        expires_in_s=_expires_in_s(members, findings),
        refresh_expires_in_s=None if request.provider.stands else _refresh_expires_in_s(members),
    )
    if not _is_unicode(access_token, refresh_token, id_token, tokens.token_type, tokens.scope):
        return "it holds half a surrogate pair, which is no text"
    _check_characters(access_token, refresh_token, findings)
    _check_subject(tokens.id_token, request.id_token, findings)
    if not any("no-store" in value.lower() for value in values_of(headers, "cache-control")):
        findings.warnings.append("the reply is not marked Cache-Control: no-store")
    if findings.problems:
        problem = without("; ".join(findings.problems), hidden)
        tokens = replace(tokens, token_type=without(tokens.token_type, hidden), extra_problem=problem)
    return Refreshed(tokens, tuple(without(warning, hidden) for warning in findings.warnings))


def _is_unicode(*texts: str | None) -> bool:
    try:
        "".join(text or "" for text in texts).encode()
    except UnicodeEncodeError:
        return False
    return True


def _token_type(members: Members, provider: Provider, findings: _Findings) -> str:
    """Return the type as sent, or the configured default; anything but Bearer and the configured ones is a problem."""
    sent = members.get("token_type")
    default = provider.default_token_type
    if sent is None or sent == "":
        if default:
            findings.warnings.append(f"the reply names no token_type; {default} is assumed")
            return default
        findings.problems.append("the reply names no token_type (set default_token_type: Bearer if it means that)")
        return ""
    usable = {"bearer", (default or "").lower(), *(name.lower() for name in provider.bearer_types)}
    if isinstance(sent, str) and sent.lower() in usable:
        return sent
    findings.problems.append(f"the token_type {sent if isinstance(sent, str) else 'is no text and'} is not supported")
    return sent if isinstance(sent, str) else ""


def _expires_in_s(members: Members, findings: _Findings) -> float | None:
    sent = members.get("expires_in")
    if sent is None:
        return None
    lifetime_s = seconds(sent)
    if lifetime_s is None:
        findings.warnings.append("expires_in is no usable number of seconds and was left out")
        return None
    if lifetime_s > LONGEST_LIFETIME_S:
        findings.warnings.append("expires_in is above ten years and was cut to that")
    return min(lifetime_s, LONGEST_LIFETIME_S)


def _refresh_expires_in_s(members: Members) -> float | None:
    found = (seconds(members.get(name)) for name in REFRESH_LIFETIMES)
    # Keycloak sends 0 for an offline token, which has no end; nor has one that ends in centuries, out of the calendar.
    return next((lifetime_s for lifetime_s in found if lifetime_s and lifetime_s < DISTANT_S), None)


def seconds(value: object) -> float | None:
    """Read a number of seconds: an integer or float, or its digits in a text; not negative, not a boolean."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return float(value) if _DIGITS.fullmatch(value) else None
    if not isinstance(value, int | float) or value < 0:
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _scope(members: Members, request: RefreshRequest, hidden: tuple[Secret, ...], findings: _Findings) -> str | None:
    """Return the granted scope; a missing one is what was asked for, else the original (RFC 6749 section 5.1).

    A warning that begins with `scope` says that the new token can do less than it has to.
    """
    expected = request.scope or request.granted_scope
    sent = members.get("scope")
    if isinstance(sent, list) and all(isinstance(one, str) for one in sent):
        sent = " ".join(sent)  # Twitch sends a list
    if sent is None or sent == "":
        return expected
    if not isinstance(sent, str):
        findings.warnings.append("the scope is no text and was left out")
        return expected
    if any(len(secret.reveal()) >= SHORTEST_TOKEN and secret.reveal() in sent for secret in hidden):
        findings.warnings.append("the scope repeats a secret and was left out")
        return expected
    missing, extra = scopes(expected) - scopes(sent), scopes(sent) - scopes(expected)
    if missing:
        findings.warnings.append(f"scope is narrower than required, degraded: {' '.join(sorted(missing))} is missing")
    if extra and expected:
        findings.warnings.append(f"the scope is wider than asked for: {' '.join(sorted(extra))}")
    return sent


def _check_characters(access_token: str, refresh_token: str | None, findings: _Findings) -> None:
    if not _VSCHAR.fullmatch(access_token):
        findings.problems.append("the access token holds characters outside RFC 6749 appendix A.12 (%x20-7E)")
    if refresh_token and not _VSCHAR.fullmatch(refresh_token):
        # Kept as it came: it is presented in an encoded body, where no character can do harm.
        findings.warnings.append("the refresh token holds characters outside RFC 6749 appendix A.17 (%x20-7E)")


def _check_subject(new: Secret | None, previous: Secret | None, findings: _Findings) -> None:
    """Compare the new ID token with the one of the last answer (OpenID Connect Core 1.0 section 12.2).

    Signatures are not checked: the token came over the verified connection to the token endpoint, which section
    3.1.3.7 accepts in their place.
    """
    if not new:
        return
    after = jwt_claims(new)
    if not after:
        findings.warnings.append("the id_token cannot be read and was not compared")
        return
    if not previous:
        return
    before = jwt_claims(previous)
    if not before:
        findings.warnings.append("the stored id_token cannot be read, so the new one was not compared")
        return
    changed = [name for name in ("iss", "sub") if after.get(name) != before.get(name)]
    if _audience(after) != _audience(before):
        changed.append("aud")
    if after.get("azp") is not None and after.get("azp") != before.get("azp"):
        changed.append("azp")
    if changed:
        findings.problems.append(f"wrong subject: the id_token differs from the last one in {', '.join(changed)}")
    for name in ("auth_time", "nonce"):
        if after.get(name) is not None and after.get(name) != before.get(name):
            findings.warnings.append(f"the id_token has another {name} than the last one")


def _audience(claims: Mapping[str, Any]) -> frozenset[str]:
    audience = claims.get("aud")
    return frozenset(map(repr, audience if isinstance(audience, list) else [audience]))
