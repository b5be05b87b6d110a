"""Which of several processes sees to which credentials: rendezvous hashing (Thaler and Ravishankar, 1998). Pure.

Each credential goes to the shard whose hash together with its place is the highest. With one shard more, those move
whose highest hash is the new shard's: about one in n + 1, all of them to the new one. A remainder of one hash was
rejected: with one shard more, nearly all credentials would move.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rotator.model import Credential

MOST = 10_000
"""More shards than anybody has machines for; each credential is hashed once per shard."""

_FORM = re.compile(r"([0-9]{1,5})/([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `number`, counted from 0, of `of` parts."""

    number: int
    of: int

    @classmethod
    def read(cls, text: str) -> Shard:
        """Read `i/n`.

        Raises:
            ValueError: It is none; the text says what is.
        """
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise ValueError("is not a shard: write NUMBER/COUNT, counted from 0, such as 0/3, 1/3 and 2/3")
        number, of = int(match[1]), int(match[2])
        if not 1 <= of <= MOST:
            raise ValueError(f"is not a shard: the count must be at least 1 and at most {MOST}")
        if number >= of:
            raise ValueError(f"is not a shard: of {of} the last one is {of - 1}/{of}, for they are counted from 0")
        return cls(number, of)

    def holds(self, credential: Credential) -> bool:
        """Return whether a credential belongs to this shard, the same in every process and on every day.

        By the place of its secret and not by its name: who renames a credential moves nothing.
        """
        place = f"{credential.store}\n{credential.secret}".encode()
        return self.of == 1 or max(range(self.of), key=lambda number: _weight(number, place)) == self.number


WHOLE = Shard(0, 1)
"""A process alone."""


def _weight(number: int, place: bytes) -> bytes:
    return hashlib.blake2b(place, digest_size=8, salt=number.to_bytes(8)).digest()
