"""Which credentials share one grant: two documents with one refresh token are a double spend in waiting."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rotator.documents import stored_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rotator.model import Credential, Versioned
    from rotator.observe import Observed
    from rotator.records import StateRecord


_DIGEST = 8
_ENTRY = _DIGEST + 4
"""Bytes of a digest, and of an entry: a digest and its holder's number. Among a million tokens two share 64 bits by
chance once in forty million fleets."""

_BUCKETS = 1 << 14


class GrantIndex:
    """Digests of the refresh tokens that documents hold, or that records say were spent, by credential.

    A fleet of 100,000 has millions of spent tokens. A dict of digests with sets of names took a quarter of a kilobyte
    for each; here each takes twelve bytes, in one of 16,384 byte arrays. With more of these the arrays themselves were
    most of it in smaller fleets; with fewer, looking through one takes longer than all else that a look does.
    """

    def __init__(self) -> None:
        self._buckets: list[bytearray | None] = [None] * _BUCKETS
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        self._newest = bytearray()

    def add(self, credential: Credential, stored: Versioned, record: StateRecord) -> None:
        """Enter what was read of a credential: the token in its document, and those that were presented for it."""
        self.enter(credential.name, stored_digest(stored, credential.provider), packed(record.digests))

    def enter(self, name: str, newest: str, spent: bytes) -> None:
        """Enter the digest of a credential's token, empty for none, and those `packed` of the tokens presented for it.

        A token that its document held before and that was never presented is free again: somebody took it out.
        """
        number = self._number(name)
        before = self._newest_of(number)
        if any(before):
            self._leave(before, number)
        for begin in range(0, len(spent), _DIGEST):
            self._enter(spent[begin : begin + _DIGEST], number)
        self.rotated(name, newest)

    def rotated(self, name: str, digest: str) -> None:
        """Enter the digest of the token that a credential's document holds now; the one before counts as spent."""
        number = self._number(name)
        short = _short(digest) if digest else bytes(_DIGEST)
        self._newest[number * _DIGEST : (number + 1) * _DIGEST] = short
        if digest:
            self._enter(short, number)

    def forget(self, name: str) -> None:
        """Forget the token that a credential's document holds: it is rotated no more, and may move to another secret.

        What it spent stays spent.
        """
        number = self._numbers.get(name)
        if number is not None:
            self._leave(self._newest_of(number), number)
            self.rotated(name, "")

    def sharer(self, name: str) -> str | None:
        """Return another credential that holds, or has spent, the token in this one's document."""
        number = self._numbers.get(name)
        if number is None:
            return None
        newest = self._newest_of(number)
        if not any(newest):
            return None
        others = (self._names[holder] for holder in self._holders(newest) if holder != number)
        return min(others, default=None)

    def _number(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self._names)
            self._names.append(name)
            self._newest += bytes(_DIGEST)
        return number

    def _newest_of(self, number: int) -> bytes:
        return bytes(self._newest[number * _DIGEST : (number + 1) * _DIGEST])

    def _enter(self, short: bytes, number: int) -> None:
        entry = short + number.to_bytes(4)
        bucket = self._bucket(short)
        if bucket is None:
            self._buckets[_bucket_of(short)] = bytearray(entry)
        elif _position(bucket, entry) < 0:
            bucket += entry

    def _leave(self, short: bytes, number: int) -> None:
        bucket = self._bucket(short)
        position = _position(bucket, short + number.to_bytes(4)) if bucket else -1
        if bucket and position >= 0:
            del bucket[position : position + _ENTRY]

    def _holders(self, short: bytes) -> Iterator[int]:
        bucket = self._bucket(short) or bytearray()
        position = _position(bucket, short)
        while position >= 0:
            yield int.from_bytes(bucket[position + _DIGEST : position + _ENTRY])
            position = _position(bucket, short, position + _ENTRY)

    def _bucket(self, short: bytes) -> bytearray | None:
        return self._buckets[_bucket_of(short)]

    def judged(self, observed: Observed) -> Observed:
        """Enter what was observed, and return it with the sharer noted in it."""
        situation = observed.situation
        self.add(situation.credential, situation.stored, situation.record)
        return self.marked(observed)

    def marked(self, observed: Observed) -> Observed:
        """Return what was observed, with the sharer noted in it."""
        situation = observed.situation
        other = self.sharer(situation.credential.name)
        if other is None:
            return observed
        return replace(observed, situation=replace(situation, shared_with=other))


def packed(digests: Iterable[str]) -> bytes:
    """Return digests in the little room that the index takes for each."""
    return b"".join(map(_short, digests))


def _bucket_of(short: bytes) -> int:
    return int.from_bytes(short[:2]) % _BUCKETS


def _short(digest: str) -> bytes:
    return bytes.fromhex(digest[: 2 * _DIGEST])


def _position(bucket: bytearray, entry: bytes, begin: int = 0) -> int:
    """Return where an entry begins that begins like this, from an entry's begin on; -1 where none does."""
    position = bucket.find(entry, begin)
    while position >= 0 and position % _ENTRY:
        position = bucket.find(entry, position + 1)
    return position
