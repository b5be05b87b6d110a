"""Reading and writing the credential document: the JSON object inside a secret. Pure."""

from __future__ import annotations

import base64
import binascii
import json
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, get_args

from rotator.model import Document, GrantType, Malformed, StoredTokens, Versioned
from rotator.records import digest_of, digest_of_text
from rotator.redact import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rotator.model import Provider, TokenSet

DISTANT_S = 100 * 365 * 86_400
"""Instants further than a century past the epoch's own century are milliseconds or nonsense; both count as unknown,
for unknown means due now and a token that seems to live for ever would never be refreshed."""

DEEPEST = 100
"""Levels of a document. What the parser's own bound just lets in may be beyond the encoder's, which runs on a deeper
stack, and when the refresh token is spent."""

EMPTY = "it is empty"

LATEST = datetime.fromtimestamp(0, UTC) + timedelta(seconds=2 * DISTANT_S)


def parse_document(text: str | bytes | None) -> Document | Malformed:
    """Return the document in a secret's content, or why there is none. The problem never quotes the content."""
    if text is None:
        return Malformed("it is binary, not text")
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError:
            return Malformed("it is binary, not text")
    if not text.strip():
        return Malformed(EMPTY)
    try:
        value = json.loads(text, object_pairs_hook=_no_duplicates, parse_float=number_of, parse_constant=_no_number)
    except _DuplicateNameError:
        return Malformed("a name stands in it twice")
    except (ValueError, RecursionError):
        return Malformed("it is not JSON")
    if not isinstance(value, dict):
        return Malformed("it is not a JSON object")
    return document_of(value)


def document_of(fields: Mapping[str, Any]) -> Document | Malformed:
    """Return the document with these fields, as some parser read them, or why they could not be written back."""
    # Layer by layer and without recursion, for the depth is what is in question.
    layer: list[Any] = [fields]
    for _ in range(DEEPEST + 1):
        if any(isinstance(one, ChangedNumber) for one in layer):
            return Malformed("it holds a number that would not be written back as it is")
        if any(isinstance(one, float) and not math.isfinite(one) for one in layer):
            return Malformed("it holds a number that is not JSON")
        inside = (one for one in layer if isinstance(one, dict | list))
        layer = [inner for one in inside for inner in (one.values() if isinstance(one, dict) else one)]
        if not layer:
            return Document(fields)
    return Malformed(f"it has more than {DEEPEST} levels")


class _DuplicateNameError(ValueError):
    """Which of the two would be meant cannot be known."""


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _DuplicateNameError
    return fields


class ChangedNumber(float):
    """A number beyond what a double holds; rotator promises to leave foreign fields as they are."""


def number_of(text: str) -> float:
    """Return a number with a fraction or an exponent; as ChangedNumber where its digits are lost. For JSON parsers."""
    number = float(text)
    try:
        same = math.isfinite(number) and Decimal(text) == Decimal(repr(number))
    except ArithmeticError:  # an exponent beyond what decimals hold
        same = False
    return number if same else ChangedNumber(number)


def _no_number(_: str) -> float:
    raise ValueError("NaN and Infinity are not JSON")


def document_text(document: Document) -> str:
    """Return the compact JSON text of a document, names in their order; always encodable as UTF-8."""
    text = json.dumps(dict(document.fields), ensure_ascii=False, separators=(",", ":"))
    if any("\ud800" <= character <= "\udfff" for character in text):
        return json.dumps(dict(document.fields), separators=(",", ":"))  # lone surrogates stay escaped
    return text


# ----------------------------------------------------------------------------------------------------- reading


def stored_tokens(stored: Versioned, provider: Provider) -> StoredTokens | Malformed:
    """Return what a stored document says about its tokens.

    The lifetime is taken, in this order, from `expires_at`; from `expires_in` and `issued_at` (else the version's
    creation time); from the `exp` of an access token that is a JWT; from the profile's default. None of them is an
    unknown expiry, which counts as due now.
    """
    if isinstance(stored.content, Malformed):
        return stored.content
    fields = stored.content.fields
    refresh_token = None if provider.stands else _secret(fields, "refresh_token")
    if refresh_token is None and not provider.stands:
        return Malformed("it has no refresh_token")
    access_token = _secret(fields, "access_token")
    issued_at = instant(fields.get("issued_at")) or stored.created_at
    return StoredTokens(
        refresh_token=refresh_token,
        access_token=access_token,
        issued_at=issued_at,
        expires_at=_expiry(fields, access_token, issued_at, provider) if access_token else None,
        scope=_text(fields, "scope"),
        client_id=_text(fields, "client_id"),
        client_secret=_secret(fields, "client_secret"),
        id_token=_secret(fields, "id_token"),
        standing=standing_grant(stored, provider) if provider.stands else "",
    )


def standing_grant(stored: Versioned, provider: Provider) -> str:
    """Return the name under which a grant without a refresh token is claimed: one for each secret.

    To everything that follows it looks like a refresh token that the provider keeps: each rotation claims it, settles
    and gives it back. The access token as the key was rejected: one that somebody puts back would look spent.
    """
    return _standing(provider.grant, stored.identity)


def standing_digests(identity: str) -> frozenset[str]:
    """Return the digests under which a secret's standing grants are claimed, whichever it has: no refresh token's."""
    grants = (grant for grant in get_args(GrantType) if grant != "refresh_token")
    return frozenset(digest_of_text(_standing(grant, identity)) for grant in grants)


def _standing(grant: str, identity: str) -> str:
    return f"the standing grant {grant} of {identity}"


def presented_digest(tokens: StoredTokens) -> str:
    """Return what claims, pauses and escrow entries go by: the digest of the refresh token, or of the grant."""
    return digest_of(tokens.refresh_token) if tokens.refresh_token else digest_of_text(tokens.standing)


def stored_digest(stored: Versioned, provider: Provider) -> str:
    """Return the digest of what the next request for a document presents; empty when it can present nothing."""
    if not isinstance(stored.content, Document):
        return ""
    if provider.stands:
        return digest_of_text(standing_grant(stored, provider))
    token = _secret(stored.content.fields, "refresh_token")
    return digest_of(token) if token else ""


def _expiry(fields: Any, access_token: Secret, issued_at: datetime | None, provider: Provider) -> datetime | None:
    stated = instant(fields.get("expires_at"))
    if stated:
        return stated
    expires_in_s = seconds(fields.get("expires_in"))
    if expires_in_s is not None and issued_at:
        return _after(issued_at, expires_in_s)
    from_jwt = instant(jwt_claims(access_token).get("exp"))
    if from_jwt:
        return from_jwt
    if provider.default_lifetime_s is not None and issued_at:
        return _after(issued_at, provider.default_lifetime_s)
    return None


def _after(issued_at: datetime, lifetime_s: float) -> datetime | None:
    try:
        return issued_at + timedelta(seconds=lifetime_s)
    except OverflowError:  # a store that says that the version was made in the year 9999
        return None


def _text(fields: Any, name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) and value else None


def _secret(fields: Any, name: str) -> Secret | None:
    text = _text(fields, name)
    return Secret(text) if text else None


def instant(value: object) -> datetime | None:
    """Read an instant: epoch seconds as number or digits, or RFC 3339; anything else is unknown."""
    number = _number(value)
    if number is not None:
        return datetime.fromtimestamp(number, UTC) if 0 < number < 2 * DISTANT_S else None
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip().upper())  # RFC 3339 section 5.6 allows small letters
    except ValueError:
        return None
    if moment.tzinfo is None or not 1 < moment.year < LATEST.year:
        return None  # a local time of an unknown place, or beyond reach
    return moment.astimezone(UTC)


def stated_issue(stored: Versioned) -> datetime | None:
    """Return when the document itself says that its tokens were issued; None when it does not."""
    return instant(stored.content.fields.get("issued_at")) if isinstance(stored.content, Document) else None


def seconds(value: object) -> float | None:
    """Read a lifetime in seconds: a number or digits, neither negative nor longer than a century."""
    number = _number(value)
    return number if number is not None and 0 <= number < DISTANT_S else None


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def jwt_claims(token: Secret) -> dict[str, Any]:
    """Return the claims of a token that is a JWT, unverified; empty when it is none (RFC 7519 section 3)."""
    parts = token.reveal().split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, claims, signature
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


# ----------------------------------------------------------------------------------------------------- writing

OWN_FIELDS = frozenset(
    {"access_token", "refresh_token", "token_type", "scope", "id_token", "expires_in", "issued_at", "expires_at"}
)
"""The fields that tell of one token set; all others stay as they were."""


def merged(document: Document, tokens: TokenSet, *, sent_at: datetime, provider: Provider) -> Document:
    """Return the document with the received tokens in it; every other field stays as it was.

    `expires_at` counts from when the request was sent: the provider counts from when it generated the answer, which
    is later, so the stored instant is never too late. Tokens that must not be published leave only the refresh token,
    for its predecessor is spent.
    """
    fields = dict(document.fields)
    if tokens.refresh_token:
        fields["refresh_token"] = tokens.refresh_token.reveal()
    if tokens.extra_problem:
        return Document(fields)
    fields["access_token"] = tokens.access_token.reveal()
    fields["token_type"] = tokens.token_type
    if tokens.scope:
        fields["scope"] = tokens.scope
    if tokens.id_token:
        fields["id_token"] = tokens.id_token.reveal()
    issued_at = int(sent_at.timestamp())
    fields["issued_at"] = issued_at
    lifetime_s = _lifetime_s(tokens, issued_at, provider)
    if lifetime_s is None:
        # The old token's expiry says nothing about the new one.
        fields.pop("expires_in", None)
        fields.pop("expires_at", None)
    else:
        fields["expires_in"] = lifetime_s
        fields["expires_at"] = issued_at + lifetime_s
    return Document(fields)


def _lifetime_s(tokens: TokenSet, issued_at: int, provider: Provider) -> int | None:
    if tokens.expires_in_s is not None:
        return int(tokens.expires_in_s)
    expires_at = instant(jwt_claims(tokens.access_token).get("exp"))
    if expires_at:
        return max(0, int(expires_at.timestamp()) - issued_at)
    return None if provider.default_lifetime_s is None else int(provider.default_lifetime_s)
