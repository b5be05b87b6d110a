"""Addresses of servers: in the one form that keys and identities use, and in the form that may be shown. Pure."""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from urllib.parse import SplitResult

_DEFAULT_PORTS = {"https": 443, "http": 80}
_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
_UNRESERVED = re.compile("[A-Za-z0-9._~-]")


@functools.lru_cache(maxsize=1024)
def normal(url: str) -> str:
    """Return the one form of all spellings of an address (RFC 3986 section 6.2); what is no URL stays as it is.

    For keys only. What is sent, and what a client assertion names as its audience, stays as it was written, for servers
    compare texts.
    """
    try:
        parts = urlsplit(url)
        base = origin(parts)
    except ValueError:
        return url
    if not parts.hostname:
        return url
    path = _ESCAPE.sub(_escape, parts.path) or "/"
    return f"{base}{path}?{parts.query}" if parts.query else f"{base}{path}"


def origin(parts: SplitResult) -> str:
    """Return scheme, host and port in one form: lower case, no dot at the end of the name, no default port.

    Raises:
        ValueError: The port is none.
    """
    host = (parts.hostname or "").rstrip(".")
    if ":" in host:
        try:
            host = f"[{ipaddress.ip_address(host).compressed}]"
        except ValueError:
            host = f"[{host}]"
    port = "" if parts.port in {None, _DEFAULT_PORTS.get(parts.scheme)} else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def shown(url: str) -> str:
    """Return an address that is fit to be shown: of a query, which may hold an API key, only that there is one."""
    before, mark, query = url.partition("?")
    return f"{before}{mark}…" if query else url


def _escape(escape: re.Match[str]) -> str:
    character = chr(int(escape[0][1:], 16))
    return character if _UNRESERVED.fullmatch(character) else escape[0].upper()


def is_loopback(host: str) -> bool:
    """Return whether a host, without brackets, is this machine by its name or address (RFC 6761 section 6.3)."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
