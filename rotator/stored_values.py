"""Kinds of values in what rotator stores, as pydantic checks them when they come back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, with_config


def _instant(read: datetime) -> datetime:
    instant = read.astimezone(UTC)
    if not 1970 <= instant.year < 2200:  # noqa: PLR2004 - a window or a lifetime more must not lead out of the calendar
        raise ValueError("no instant of ours")
    return instant


Instant = Annotated[AwareDatetime, AfterValidator(_instant)]
"""An aware UTC instant; what is read from a store is checked to be one."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
"""As `rotator.records.digest_of` writes it: in another form it would be no token's."""

Tries = Annotated[int, Field(ge=1)]

stored = with_config(ConfigDict(extra="forbid"))
"""Decorates what is stored. A name that nobody knows may be that of the claims: it must not be overlooked."""
