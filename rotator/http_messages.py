"""One token request and its reply, as values. What they hold is secret: shown by address, status and size only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rotator.addresses import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from rotator.redact import Secret

Headers = tuple[tuple[str, str], ...]
"""Pairs and no mapping: a header that is repeated must be seen twice."""


@dataclass(frozen=True, slots=True, repr=False)
class HttpRequest:
    """A request that is ready to be sent.

    Args:
        method: A refresh is a POST, always.
        headers: All but `Host` and `Content-Length`, which the transport adds.
        echoes: What a server could quote from this request and nobody may see, in every spelling that was sent.
        called: What errors call the address, where that is a secret; empty for the address itself.
    """

    url: str
    headers: Mapping[str, str]
    body: bytes
    echoes: tuple[Secret, ...] = ()
    method: Literal["POST", "GET", "PUT"] = "POST"
    called: str = ""

    def __repr__(self) -> str:
        return f"HttpRequest({self.method} {self.called or shown(self.url)}, {len(self.body)} bytes)"


@dataclass(frozen=True, slots=True, repr=False)
class HttpReply:
    """What came back.

    Args:
        complete: The message arrived whole (RFC 9112 section 8); False when it was cut, too long or too slow.
        sent_at: When the first byte of the request was handed over.
        received_at: When the last byte of the reply was there.
    """

    status: int
    headers: Headers
    body: bytes
    complete: bool
    sent_at: datetime
    received_at: datetime

    @property
    def success(self) -> bool:
        """Whether the status is a 2xx."""
        return 200 <= self.status < 300  # noqa: PLR2004 - the class of statuses

    def __repr__(self) -> str:
        return f"HttpReply({self.status}, {len(self.body)} bytes{'' if self.complete else ', cut'})"


def values_of(headers: Headers, name: str) -> tuple[str, ...]:
    """Return the values of every header of that name, in order; names are case-insensitive."""
    return tuple(value.strip() for header, value in headers if header.lower() == name)
