"""A received token set on its way into the store: sealed for the escrow, merged into the document. No state here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import NoneType
from typing import TYPE_CHECKING, Any

from rotator.documents import instant, merged, presented_digest, seconds, stated_issue, stored_tokens
from rotator.errors import (
    EscrowCorrupt,
    SealBroken,
    StoreRejected,
    StoreUnavailable,
    StoreWriteInDoubt,
    VersionConflict,
)
from rotator.model import Document, Malformed, TokenSet, Versioned
from rotator.policy import Waiting
from rotator.records import SealedEntry, digest_of
from rotator.redact import Secret, as_bytes

if TYPE_CHECKING:
    from datetime import datetime

    from rotator.model import Credential
    from rotator.ports import Clock, Randomness, Seal, SecretStore
    from rotator.retrying import Retrier

WRITES = 10
"""Lost races in a row before the write is left to a later pass: readers edit a document now and then, not ten times
in the seconds that these attempts take."""

LONGEST_PAUSE_S = 4.0

REPLY_KEPT = 48 * 1024
"""Bytes of an unreadable reply that are kept, counted as they are sealed: several times a token response, and small
enough for several of them beside a record in a DynamoDB item (400 KiB). Sealing adds a third."""


@dataclass(frozen=True, slots=True)
class Received:
    """A token set that arrived for a credential.

    Args:
        parent: Digest of the refresh token that was presented.
    """

    tokens: TokenSet
    sent_at: datetime
    parent: str
    rotation_id: str

    @property
    def successor(self) -> str:
        """Digest of the refresh token that is good from now on."""
        return digest_of(self.tokens.refresh_token) if self.tokens.refresh_token else self.parent

    @property
    def rotated(self) -> bool:
        """Whether the refresh token changed. A server may answer with the very one that was presented."""
        return self.successor != self.parent


# ----------------------------------------------------------------------------------------------------- escrow


def sealed_tokens(received: Received, seal: Seal, identity: str, credential: str) -> SealedEntry:
    """Return the escrow entry of a received token set.

    Raises:
        ConfigError: The seal key cannot be loaded.
    """
    tokens = received.tokens
    plain = {
        "access_token": tokens.access_token.reveal(),
        "refresh_token": tokens.refresh_token.reveal() if tokens.refresh_token else None,
        "token_type": tokens.token_type,
        "scope": tokens.scope,
        "id_token": tokens.id_token.reveal() if tokens.id_token else None,
        "expires_in_s": tokens.expires_in_s,
        "refresh_expires_in_s": tokens.refresh_expires_in_s,
        "extra_problem": tokens.extra_problem,
    }
    text = json.dumps({"tokens": plain, "sent_at": received.sent_at.isoformat()})
    sealed = seal.seal(text.encode(), _context(identity, received.parent))
    return SealedEntry(identity, received.parent, "tokens", received.rotation_id, credential, received.sent_at, sealed)


def sealed_reply(body: Secret, entry: SealedEntry, seal: Seal) -> SealedEntry:
    """Return `entry` holding what arrived of a reply that could not be read.

    Raises:
        ConfigError: The seal key cannot be loaded.
    """
    text = json.dumps({"body": _beginning(body.reveal()), "sent_at": entry.at.isoformat()}, ensure_ascii=False)
    sealed = seal.seal(as_bytes(text), _context(entry.identity, entry.parent))
    return SealedEntry(entry.identity, entry.parent, "reply", entry.rotation_id, entry.credential, entry.at, sealed)


def _beginning(text: str) -> str:
    """Return as much of a text as REPLY_KEPT holds in JSON: a control character takes six bytes there."""
    size = 0
    for at, character in enumerate(text):
        size += len(as_bytes(json.dumps(character, ensure_ascii=False))) - len('""')
        if size > REPLY_KEPT:
            return text[:at]
    return text


def opened(entry: SealedEntry, seal: Seal) -> Waiting:
    """Open an escrow entry.

    Raises:
        EscrowCorrupt: It does not open, or holds something else.
        ConfigError: The seal key cannot be loaded.
    """
    try:
        plain = json.loads(seal.open(entry.sealed, _context(entry.identity, entry.parent)))
        if plain.keys() != {_CONTENT[entry.kind], "sent_at"}:
            # The kind is not sealed: tokens must not pass for a reply.
            raise ValueError("another kind of content")
        sent_at = instant(_of(str, plain["sent_at"]))
        if sent_at is None:
            raise ValueError("no instant")
        tokens = _tokens(plain["tokens"]) if entry.kind == "tokens" else None
    except (SealBroken, ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise EscrowCorrupt(
            f"the escrow entry of {entry.credential} from {entry.at.isoformat()} cannot be opened: "
            f"{type(error).__name__}",
            hint="use the seal key that it was sealed with, or restore the entry from a backup",
        ) from None
    return Waiting(entry, tokens, sent_at)


_CONTENT = {"tokens": "tokens", "reply": "body"}


def _tokens(plain: dict[str, Any]) -> TokenSet:
    text, number = (str, NoneType), (int, float, NoneType)
    refresh_token, id_token = _of(text, plain["refresh_token"]), _of(text, plain["id_token"])
    return TokenSet(
        access_token=Secret(_of(str, plain["access_token"])),
        refresh_token=Secret(refresh_token) if refresh_token else None,
        token_type=_of(str, plain["token_type"]),
        scope=_of(text, plain["scope"]),
        id_token=Secret(id_token) if id_token else None,
        expires_in_s=_of(number, plain["expires_in_s"]),
        refresh_expires_in_s=_of(number, plain["refresh_expires_in_s"]),
        extra_problem=_of(text, plain["extra_problem"]),
    )


def _of(kind: type | tuple[type, ...], value: Any) -> Any:
    """Return a value of one of these types; a number is a sane lifetime."""
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError("another type")
    if isinstance(value, int | float) and seconds(value) is None:
        raise ValueError("no lifetime")
    return value


def _context(identity: str, parent: str) -> str:
    return f"escrow|{identity}|{parent}"


# ----------------------------------------------------------------------------------------------- into the store


@dataclass(frozen=True, slots=True)
class WriteBack:
    """Writes a received token set into the document, whatever happens to the document meanwhile."""

    clock: Clock
    randomness: Randomness
    retrier: Retrier

    def run(
        self,
        store: SecretStore,
        credential: Credential,
        base: Versioned,
        received: Received,
        spent: frozenset[str] = frozenset(),
    ) -> Versioned:
        """Merge and compare-and-swap until the store shows the received tokens, or a person's.

        On a conflict the document is read again and only our fields are merged into it. When its refresh token is
        neither the presented one nor its successor, a person put it there and it stays.

        Args:
            spent: Digests of tokens that were presented before. A document that shows one is an old copy that somebody
                saved, or a stale read, and not a new login.

        Returns:
            The version that is current: ours, or the person's.

        Raises:
            StoreError: The tokens are not in the store; they stay in escrow.
        """
        current = base
        for attempt in range(WRITES):
            if not isinstance(current.content, Document):
                raise _no_longer_a_document(credential, current)
            document = merged(current.content, received.tokens, sent_at=received.sent_at, provider=credential.provider)
            if document == current.content:
                return current
            try:
                return self._swap(store, credential, document, current, received)
            except (VersionConflict, StoreWriteInDoubt):
                current = self.retrier.call(lambda: store.read(credential.secret))
            if self._older(current, base):
                self._pause(attempt)  # a stale read tells nothing about who wrote
                current = base
            elif not self._still_ours(current, credential, received, spent):
                return current
            elif current.version == base.version:
                self._pause(attempt)
        raise StoreUnavailable(f"the secret of {credential.name} could not be written: it changes without end")

    def _swap(
        self, store: SecretStore, credential: Credential, document: Document, current: Versioned, received: Received
    ) -> Versioned:
        return self.retrier.call(
            lambda: store.compare_and_swap(
                credential.secret, document, expected=current.version, write_id=received.rotation_id
            )
        )

    def _still_ours(
        self, current: Versioned, credential: Credential, received: Received, spent: frozenset[str]
    ) -> bool:
        """Return whether the document still has to be written."""
        tokens = stored_tokens(current, credential.provider)
        if isinstance(tokens, Malformed):
            raise _no_longer_a_document(credential, current)
        stored = presented_digest(tokens)
        if received.rotated:
            # Anything else was written by our own lost write, or by a person.
            return stored == received.parent or stored in spent
        if stored != received.parent or tokens.access_token == received.tokens.access_token:
            return False
        # A provider that keeps the refresh token: another replica may have brought a newer access token meanwhile.
        issued_at = stated_issue(current)
        return issued_at is None or issued_at <= received.sent_at

    @staticmethod
    def _older(current: Versioned, base: Versioned) -> bool:
        return (
            current.version != base.version
            and current.created_at is not None
            and base.created_at is not None
            and current.created_at < base.created_at
        )

    def _pause(self, attempt: int) -> None:
        ceiling = min(LONGEST_PAUSE_S, 0.1 * 2.0**attempt)
        self.clock.sleep(self.randomness.uniform(ceiling / 2, ceiling))


def _no_longer_a_document(credential: Credential, current: Versioned) -> StoreRejected:
    tokens = stored_tokens(current, credential.provider)
    problem = tokens.problem if isinstance(tokens, Malformed) else "unknown"
    return StoreRejected(
        f"the secret of {credential.name} was changed meanwhile and cannot be used: {problem}",
        hint=f"the new tokens wait in escrow; restore the document, then run rotator escrow replay, "
        f"or log in again: {credential.login}",
    )
