"""Which addresses a secret may be sent to: https, or http to this machine only."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from rotator.addresses import is_loopback

_PLAIN = re.compile(r"[!-\[\]-~]+")
"""Printable ASCII without space and backslash (RFC 3986 section 2): what parsers read differently is refused."""


def endpoint_fault(url: str, *, query: bool = False) -> tuple[str, str] | None:
    """Return what is wrong with an endpoint's URL and how to mend it, or None. Never quotes the URL.

    Args:
        url: What the configuration gives.
        query: Whether a query may stand in it. A token endpoint keeps its query (RFC 6749 section 3.2).
    """
    parts = _split(url)
    if parts is None or parts.scheme not in {"http", "https"}:
        return "is not a URL", "write https://host/path"
    if "@" in parts.netloc:
        return "must not carry a user name or password", "credentials have settings of their own"
    if "#" in url:
        return "must not have a fragment", "leave out `#` and what follows (RFC 6749 section 3.2)"
    if "?" in url and not query:
        return "must not have a query", "leave out `?` and what follows"
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        return "http:// would send secrets in the clear", "use https://; http:// is for loopback addresses only"
    return None


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        usable = bool(_PLAIN.fullmatch(url) and parts.hostname) and parts.port != 0
    except ValueError:  # the parser's message quotes the URL
        return None
    return parts if usable else None
