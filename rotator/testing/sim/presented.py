"""What the checks keep of each request that reached the provider, and what they raise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rotator.testing.sim.scenario import LIFETIME_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rotator.testing.sim.schedule import Process

TIMEOUT_S = 30.0
"""Of the requests in every world."""

LAST_TRY_S = 0.25 * 0.1 * LIFETIME_S + 5.0
"""The last try comes in the last quarter of the margin, a tenth of the lifetime; with something for the clocks."""


def claims_in(body: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the claims in a stored record by their digests; one that is stored as its digest alone is settled."""
    presented = body.get("presented", ())
    told = ({"digest": one, "outcome": "settled"} if isinstance(one, str) else one for one in presented)
    return {claim["digest"]: claim for claim in told}


class Violation(BaseException):
    """A promise is broken. No `except Exception` of the code under test holds it up.

    Args:
        promise: Its number in the list of promises; 0 for what the design demands beyond them.
    """

    def __init__(self, promise: int, what: str) -> None:
        super().__init__(f"promise {promise}: {what}" if promise else what)
        self.promise = promise


@dataclass(slots=True)
class Presentation:
    """A refresh token arrived at the provider.

    Args:
        ends_s: When the access token beside it ends.
        successor: The refresh token that it was answered with, if any; `access`: the access token.
        out: The process that sent it waits for the answer.
        handed: The answer reached the process.
        keeping: The process went on to make the answer durable.
        kept: The answer became durable, in an escrow or in the store.
    """

    at_s: float
    ends_s: float
    process: Process
    successor: str | None = None
    access: str = ""
    out: bool = True
    answered: bool = False
    handed: bool = False
    keeping: bool = False
    kept: bool = False
