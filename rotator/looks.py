"""Looking at many credentials in the background, store by store: at the start, and at what has changed.

Each store has threads of its own, so that one that hangs holds up no other's credentials. What is found is told in
the owner's thread.
"""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from rotator import policy
from rotator.discovery import Listing, ask
from rotator.documents import standing_digests, stored_digest, stored_tokens
from rotator.errors import Defect, RotatorError
from rotator.grants import packed
from rotator.ledger import SecretLedger, secret_key
from rotator.model import Listed, Malformed, TokenTimes
from rotator.observe import Observed, ProviderReads, key_of_client
from rotator.passes import chunk_of, cut, planned_of
from rotator.records import StateRecord, is_settled
from rotator.schedule import timing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from rotator.discovery import Rule
    from rotator.model import Credential
    from rotator.model import Found as FoundSecret
    from rotator.observe import Observer

THREADS = 8
"""Per store. More bring no more: one process reads and decides at the speed of one core."""

MOST_FOUND = 16
ROOM_S = 1.0
"""So many chunks wait to be fetched, then the threads wait: they read faster than the fleet takes in, and a fleet's
worth of findings in memory is several times the fleet."""

PROVIDERS_YOUNG_S = 30.0
"""A look plans; what is due is looked at again before it is sent."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a look at a credential found.

    Args:
        version: Of the document.
        lane: The provider's and client's key.
        deadline: When the access token ends, if that is known.
        look_at: When to look again; None is now.
        refresh_at: When its refresh falls due, if that is what it waits for.
        newest: The digest of the refresh token in the document, empty for none.
        spent: The digests of those that were presented for it (`rotator.grants.packed`).
        grant_ends_at: When that in the document ends, where the provider says so.
        issued_at: When the access token was issued, if that is known.
        rotated_at: When rotator rotated it last.
        grant_since: When the refresh token's present life began, where its end is known.
    """

    credential: Credential
    version: str
    lane: str
    deadline: datetime | None
    look_at: datetime | None
    refresh_at: datetime | None
    newest: str
    spent: bytes
    grant_ends_at: datetime | None = None
    issued_at: datetime | None = None
    rotated_at: datetime | None = None
    grant_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Unseen:
    """A credential could not be read."""

    credential: Credential
    error: RotatorError


@dataclass(frozen=True, slots=True)
class Swept:
    """A store's listing, or a rule's, was gone through.

    Args:
        name: Of the store or of the rule.
        changed: Those whose version is not the one that is known.
        took_s: How long it took.
        error: Why it failed, if it did.
    """

    name: str
    changed: tuple[Credential, ...] = ()
    took_s: float = 0.0
    error: RotatorError | None = None


Found = Sight | Unseen | Swept | Listing


@dataclass(slots=True)
class Looks:
    """For one thread; only the looking is done in others.

    Args:
        notify: Called from a worker's thread whenever something was found.
        waiting: How many credentials were asked for and not told yet.
    """

    observer: Observer
    notify: Callable[[], None]
    waiting: int = 0
    _pools: dict[str, ThreadPoolExecutor] = field(default_factory=dict)
    _found: SimpleQueue[list[Found]] = field(default_factory=SimpleQueue)
    _providers: ProviderReads | None = None
    _stopped: bool = False
    _room: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MOST_FOUND))

    def look(
        self, credentials: Iterable[Credential], *, listed: bool = False, listing: Mapping[str, Listed] | None = None
    ) -> None:
        """Look at credentials; each is told by `found`, once.

        Args:
            listed: Go through the store's listing first, and read only what rotator did not write itself last.
            listing: The listing, where it is known already.
        """
        by_store: dict[str, list[Credential]] = {}
        for credential in credentials:
            by_store.setdefault(credential.store, []).append(credential)
        for store, members in by_store.items():
            self.waiting += len(members)
            if listing is not None and all(one.secret in listing for one in members):
                self._submit_chunks(store, members, listing)
            elif listed:
                self._submit(store, partial(self._by_listing, store, members), partial(_unseen, members))
            else:
                self._submit_chunks(store, members, {})

    def sweep(self, store: str, known: Callable[[], Iterable[tuple[Credential, str]]]) -> None:
        """List the versions of a store's secrets and tell, by `found`, whose is not the one that is known.

        Args:
            known: Returns the store's credentials with the versions that are known; called in a worker's thread.
        """

        def swept() -> list[Found]:
            began_s = self.observer.clock.monotonic_s()
            pairs = list(known())
            versions = self.observer.stores[store].versions([credential.secret for credential, _ in pairs])
            return [Swept(store, _changed(pairs, versions), self.observer.clock.monotonic_s() - began_s)]

        self._submit(store, swept, lambda error: [Swept(store, error=error)])

    def discover(self, rule: Rule, known: Callable[[], Iterable[tuple[Credential, str]]]) -> None:
        """List what a rule finds and tell it, by `found`, and whose version is not the one that is known.

        Args:
            known: As for `sweep`.
        """

        def listed() -> list[Found]:
            began_s = self.observer.clock.monotonic_s()
            pairs = list(known())
            listing = ask(rule, self.observer.stores)
            took_s = self.observer.clock.monotonic_s() - began_s
            return [listing, Swept(rule.name, _changed(pairs, listing.found or {}), took_s)]

        self._submit(rule.store, listed, lambda error: [Swept(rule.name, error=error)])

    def found(self) -> list[Found]:
        """Return what was found since the last call."""
        results: list[Found] = []
        while True:
            try:
                results += self._found.get_nowait()
                self._room.release()
            except Empty:
                self.waiting -= sum(1 for one in results if isinstance(one, Sight | Unseen))
                return results

    def begin_no_more(self) -> None:
        """Leave what has not begun; what is being read goes on."""
        self._stopped = True

    def stop(self) -> None:
        """Begin nothing more, and wait for what is being read."""
        self.begin_no_more()
        for pool in self._pools.values():
            pool.shutdown(wait=True, cancel_futures=True)

    # ----------------------------------------------------------------------------------------- in the workers

    def _submit(
        self, store: str, work: Callable[[], list[Found]], failed: Callable[[RotatorError], list[Found]]
    ) -> None:
        """Let a thread of the store do the work; what it raises is told as well, for somebody waits for the answer."""
        if store not in self._pools:
            self._pools[store] = ThreadPoolExecutor(THREADS, thread_name_prefix=f"look-{store}")

        def run() -> None:
            if self._stopped:
                return
            try:
                found = work()
            except RotatorError as error:
                found = failed(error)
            except Exception as error:  # noqa: BLE001 - a defect in one store must not stop the work on the others
                found = failed(Defect.of(error))
            while not self._room.acquire(timeout=ROOM_S):
                if self._stopped:
                    return
            self._found.put(found)
            self.notify()

        self._pools[store].submit(run)

    def _submit_chunks(self, store: str, members: Sequence[Credential], listing: Mapping[str, Listed]) -> None:
        for chunk in cut(members, chunk_of(self.observer, store)):
            # Its own part of the listing: what was looked at makes room for what is remembered of it.
            part = {one.secret: listing[one.secret] for one in chunk if one.secret in listing}
            self._submit(store, partial(self._sights, chunk, part), partial(_unseen, chunk))

    def _by_listing(self, store: str, members: Sequence[Credential]) -> list[Found]:
        """List the store, if that is cheaper than reading it, and go on in chunks."""
        listing: Mapping[str, Listed] = {}
        adapter = self.observer.stores[store]
        try:
            if adapter.batch > 1 and len(members) > 1:
                listing = adapter.versions([credential.secret for credential in members])
        except RotatorError:
            listing = {}  # not allowed, say: then every secret is read
        if not self._stopped:
            self._submit_chunks(store, members, listing)
        return []

    def _sights(self, credentials: Sequence[Credential], listing: Mapping[str, Listed]) -> list[Found]:
        known = self._from_records(credentials, listing)
        unknown = [credential for credential in credentials if credential.name not in known]
        return [*known.values(), *self._read(unknown)]

    def _read(self, credentials: Sequence[Credential]) -> list[Found]:
        if not credentials:
            return []
        if self._providers is None:
            self._providers = ProviderReads(self.observer.cooldowns, self.observer.clock, PROVIDERS_YOUNG_S)
        observed = self.observer.observe_many(credentials, self._providers)
        return [_found(*pair) for pair in zip(credentials, observed, strict=True)]

    def _from_records(self, credentials: Sequence[Credential], listing: Mapping[str, Listed]) -> dict[str, Sight]:
        """Return what the state records alone tell: of secrets that stand as rotator wrote them last.

        Raises:
            StoreError: The state cannot be read.
        """
        listed = [(one, listing[one.secret]) for one in credentials if one.secret in listing and one.client_id]
        if not listed:
            return {}
        observer = self.observer
        keys = [secret_key(found.identity) for _, found in listed]
        records = observer.retrier.call(lambda: observer.state.read_many(keys))
        sights = {}
        for credential, found in listed:
            with contextlib.suppress(RotatorError):  # the look that reads it all tells what is wrong
                stored = records[secret_key(found.identity)]
                if isinstance(stored, RotatorError):
                    continue
                record = SecretLedger(observer.state, found.identity, observer.retrier).take(stored)
                sight = _of_record(credential, found, record)
                if sight is not None and not observer.escrow.waiting(record):
                    sights[credential.name] = sight
        return sights


def _unseen(credentials: Iterable[Credential], error: RotatorError) -> list[Found]:
    return [Unseen(credential, error) for credential in credentials]


def _changed(
    pairs: Iterable[tuple[Credential, str]], listed: Mapping[str, Listed] | Mapping[str, FoundSecret]
) -> tuple[Credential, ...]:
    """Return those whose listed version is not the known one; a listing that names none tells nothing."""
    changed = []
    for credential, version in pairs:
        now = listed.get(credential.secret)
        if now is not None and now.version is not None and now.version != version:
            changed.append(credential)
    return tuple(changed)


def _of_record(credential: Credential, found: Listed, record: StateRecord) -> Sight | None:
    """Return what a record tells of a secret that stands as rotator wrote it; None where the document has to be read.

    That is so where anything but a finished rotation is noted, or where the record does not say what it wrote.
    """
    last, grant = record.last, record.grant
    quiet = not (record.lease or record.hold) and all(is_settled(one) for one in record.presented)
    if not quiet or last is None or grant is None or last.version_after != found.version or last.expires_at is None:
        return None
    if (grant.digest in standing_digests(found.identity)) != credential.provider.stands:
        return None  # the credential had another `grant` then
    tokens = TokenTimes(last.at, last.expires_at)
    due_at = timing(credential, tokens, grant_ends_at=grant.expires_at).due_at
    spent = packed(record.digests)
    lane = key_of_client(credential, credential.client_id)
    return Sight(
        credential,
        found.version,
        lane,
        last.expires_at,
        due_at,
        due_at,
        grant.digest,
        spent,
        grant.expires_at,
        issued_at=last.at,
        rotated_at=last.at,
        grant_since=grant.since,
    )


def _found(credential: Credential, observed: Observed | RotatorError) -> Found:
    return Unseen(credential, observed) if isinstance(observed, RotatorError) else sight_of(credential, observed)


def sight_of(credential: Credential, observed: Observed) -> Sight:
    """Return what is worth remembering of what was read."""
    situation = observed.situation
    planned = planned_of(observed)
    decision = policy.decide(situation)
    until = decision.until if isinstance(decision, policy.Fresh) else None
    newest, grant = stored_digest(situation.stored, situation.credential.provider), situation.record.grant
    tokens = stored_tokens(situation.stored, credential.provider)
    return Sight(
        credential,
        situation.stored.version,
        observed.provider_key,
        planned.deadline if planned else None,
        until,
        until,
        newest,
        packed(situation.record.digests),
        grant.expires_at if grant and grant.digest == newest else None,
        issued_at=None if isinstance(tokens, Malformed) else tokens.issued_at,
        rotated_at=situation.record.last.at if situation.record.last else None,
        grant_since=grant.since if grant and grant.digest == newest else None,
    )
