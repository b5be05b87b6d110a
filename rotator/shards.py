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
    from collections.abc import Mapping

    from rotator.model import Credential

MOST = 10_000
"""More shards than anybody has machines for; each credential is hashed once per shard."""

AUTO = "auto"
"""Stands for the number that an orchestrator gave the process."""

INDICES = ("JOB_COMPLETION_INDEX", "ROTATOR_SHARD_INDEX")
"""Environment variables that hold it: the first is set by Kubernetes for the pods of an Indexed Job
(kubernetes.io/docs/concepts/workloads/controllers/job, "Completion mode"), the second is for whoever has another."""

_FORM = re.compile(rf"([0-9]{{1,5}}|{AUTO})/([0-9]{{1,5}})")


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `number`, counted from 0, of `of` parts."""

    number: int
    of: int

    @classmethod
    def read(cls, text: str, env: Mapping[str, str]) -> Shard:
        """Read `i/n`, or `auto/n`: the number is that of the environment then, modulo n.

        Modulo, so that twice as many pods as shards are two for each shard.

        Raises:
            ValueError: It is none; the text says what is.
        """
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise ValueError("is not a shard: write NUMBER/COUNT, counted from 0, such as 0/3, 1/3 and 2/3, or auto/3")
        of = int(match[2])
        if not 1 <= of <= MOST:
            raise ValueError(f"is not a shard: the count must be at least 1 and at most {MOST}")
        if match[1] == AUTO:
            return cls(_index(env) % of, of)
        number = int(match[1])
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


def _index(env: Mapping[str, str]) -> int:
    for name in INDICES:
        index = env.get(name, "").strip()
        if re.fullmatch(r"[0-9]{1,9}", index):
            return int(index)
        if index:
            raise ValueError(f"needs a number, counted from 0, in {name}, which holds something else")
    raise ValueError(f"needs {INDICES[0]}, as an Indexed Job of Kubernetes sets it, or {INDICES[1]}; neither is set")


def _weight(number: int, place: bytes) -> bytes:
    return hashlib.blake2b(place, digest_size=8, salt=number.to_bytes(8)).digest()
