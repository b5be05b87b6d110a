"""What follows an exchange that brought new tokens: escrow, write back and settle.

Every change of the record is written so that applying it twice is the same as once, for an answer may be lost.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rotator import outcomes
from rotator.aftermath import grant_after, pause_after
from rotator.documents import presented_digest, standing_digests, stored_digest, stored_tokens
from rotator.errors import EscrowUnavailable, LeaseHeld, RotatorError, StoreError
from rotator.ledger import CheckedWriter
from rotator.model import Malformed
from rotator.received import sealed_tokens
from rotator.record_changes import ClaimRefused, mark, release, spent_before, take_lease, take_out, with_done
from rotator.records import Done
from rotator.schedule import timing
from rotator.setbacks import PAUSE_S, let_go

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from rotator.attempt import Attempt, Teller
    from rotator.cooldowns import Cooldowns
    from rotator.model import StoredTokens, Versioned
    from rotator.outcomes import Outcome
    from rotator.ports import Clock, Escrow, Seal, SecretStore, Trail
    from rotator.received import Received, WriteBack
    from rotator.records import Grant, StateRecord
    from rotator.retrying import Retrier

IN_MEMORY_TRIES = 40
"""How often a token set that is nowhere durable is offered to escrow and store, in turn, before it is given up: with
the retries of each, at least a quarter of an hour. The lease is renewed meanwhile."""

LONGEST_SLEEP_S = 10.0
RENEW_AHEAD_S = 15.0
"""The lease is renewed when less than this is left of it: longer than a sleep of the loop above."""


@dataclass(frozen=True, slots=True)
class Settling:
    """The second half of the procedure. Thread-safe, for different credentials at once."""

    stores: Mapping[str, SecretStore]
    escrow: Escrow
    seal: Seal
    trail: Trail
    teller: Teller
    write_back: WriteBack
    cooldowns: Cooldowns
    retrier: Retrier
    clock: Clock
    pause_s: float = PAUSE_S

    # ------------------------------------------------------------------------------------------- new tokens

    def received(
        self, attempt: Attempt, received: Received, warnings: tuple[str, ...], cooldown_s: float | None = None
    ) -> Outcome:
        """Escrow what arrived, then write it back and settle. From here on the old refresh token is history.

        A holder that was held up for longer than its lease may find that another replica took the doubt over and
        presented the token again, as the provider's replay rule allows. The later answer is then the one that counts,
        so the overtaken holder keeps its own in escrow where nothing newer is, and writes only over an earlier answer.
        """
        key = attempt.observed.provider_key
        if cooldown_s is not None:
            # Written only behind the escrow: nothing that may be slow stands between the tokens and that.
            until = self.clock.now() + timedelta(seconds=cooldown_s)
            self.cooldowns.remember(key, until, "its answer to a refresh asks to wait")
        error: RotatorError | None = None
        for tries in range(IN_MEMORY_TRIES):
            try:
                attempt = self._leased(attempt, RENEW_AHEAD_S)
                return self._kept_and_written(attempt, received, warnings)
            except RotatorError as failure:
                error = failure
            except ClaimRefused:
                try:
                    return self._overtaken(attempt, received)
                except RotatorError as failure:
                    error = failure
            self.clock.sleep(min(LONGEST_SLEEP_S, 2.0**tries))
        problem = f"new tokens arrived and could be kept neither in escrow nor in the store: {error}"
        self.teller.tell("rotation.failed", attempt, reason="lost", error=problem)
        return outcomes.Failed(attempt.credential.name, "lost", problem, attempt.login_again)

    def _kept_and_written(self, attempt: Attempt, received: Received, warnings: tuple[str, ...]) -> Outcome:
        """Put what arrived into escrow, or else into the store at once, which is the final place.

        Raises:
            ClaimRefused: The attempt was overtaken.
            RotatorError: It is durable nowhere.
        """
        try:
            self._keep(attempt, received, _claimed_by(attempt))
        except RotatorError as error:
            return self._into_the_store(attempt, received, (*warnings, f"not in escrow: {error.message}"))
        attempt = self._leased(attempt, 0.0)  # the escrow may have taken its time
        self.cooldowns.flush(attempt.observed.provider_key)
        return self._from_escrow(attempt, received, warnings)

    def replayed(self, attempt: Attempt, received: Received, *, written: bool) -> Outcome:
        """Write back what a dead holder left in escrow, or only settle it.

        Raises:
            AuditUnavailable: Nothing was done.
        """
        stored = attempt.observed.situation.stored
        self.trail.record(
            "escrow.replayed",
            attempt.credential,
            rotation_id=attempt.rotation_id,
            refresh_token_digest=attempt.audit_digest,
            version_before=stored.version,
            reason="already written" if written else "written back",
        )
        if written:
            return self._settle(attempt, received, stored, (), swapped=False)
        return self._from_escrow(attempt, received, ())

    def _leased(self, attempt: Attempt, ahead_s: float) -> Attempt:
        """Take the lease anew if less than `ahead_s` is left of it.

        Raises:
            ClaimRefused: The claim is not this attempt's any more: it was overtaken.
        """
        ledger = attempt.observed.ledger
        now = self.clock.now()
        if now < attempt.lease_until - timedelta(seconds=ahead_s):
            return attempt
        until = now + timedelta(seconds=attempt.credential.provider.timeout_s)

        def retaken(record: StateRecord) -> StateRecord:
            _claimed_by(attempt)(record)
            return take_lease(record, holder=attempt.observed.situation.holder, now=now, expires_at=until)

        try:
            ledger.load()
            record = ledger.change(retaken)
        except LeaseHeld as held:
            raise ClaimRefused from held
        except StoreError:
            return attempt  # the tokens must become durable; the swap still keeps what anybody else wrote
        return replace(attempt, fence=record.fence, lease_until=until)

    def _overtaken(self, attempt: Attempt, received: Received) -> Outcome:
        """Keep what arrived if it may be what counts, and leave the rest to who took over.

        Raises:
            RotatorError: It may be, and is durable nowhere.
        """
        ledger = attempt.observed.ledger
        standing = ledger.record.claim_on(attempt.digest)
        settled = standing is None or standing.outcome == "settled"
        now = self.clock.now()
        if settled and attempt.tries > 1 and self._replaces(attempt, self._current(attempt)):
            with contextlib.suppress(RotatorError):
                self._keep(attempt, received, lambda _: None)
            return self._into_the_store(attempt, received, ())
        if not settled:
            # The later presentation may still come to nothing; then these tokens are the only ones.
            with contextlib.suppress(ClaimRefused):
                self._keep(attempt, received, self._nothing_newer(attempt))
        elif standing is not None:
            with contextlib.suppress(EscrowUnavailable):
                self.escrow.clear(attempt.observed.situation.stored.identity, frozenset({attempt.digest}))
        self.teller.tell("rotation.deferred", attempt, reason="overtaken", retry_at=now)
        return outcomes.Deferred(attempt.credential.name, "overtaken", now, "another replica took the rotation over")

    def _replaces(self, attempt: Attempt, current: Versioned) -> bool:
        """Return whether a document shows an earlier answer to the same token: of a replay's, only the last lives.

        The caller swaps this very document: with another read in between, a stale one would let it take a login for
        that answer.
        """
        if attempt.tries == 1:
            return False
        record = attempt.observed.ledger.load()
        standing = record.claim_on(attempt.digest)
        if standing is None or standing.tries > attempt.tries or record.newest != attempt.digest:
            return False  # a later try is out, or the grant has gone on
        ours = record.last is not None and record.last.version_after == current.version
        shown = stored_digest(current, attempt.credential.provider)
        return ours and record.grant is not None and record.grant.digest == shown

    def _current(self, attempt: Attempt) -> Versioned:
        store = self.stores[attempt.credential.store]
        return self.retrier.call(lambda: store.read(attempt.credential.secret))

    def _nothing_newer(self, attempt: Attempt) -> Callable[[StateRecord], None]:
        """Return a check that no later answer is settled or kept."""

        def check(record: StateRecord) -> None:
            standing = record.claim_on(attempt.digest)
            waiting = self.escrow.waiting(record)
            kept = any(entry.parent == attempt.digest and entry.kind == "tokens" for entry in waiting)
            if kept or standing is None or standing.outcome == "settled":
                raise ClaimRefused

        return check

    def _keep(self, attempt: Attempt, received: Received, check: Callable[[StateRecord], None]) -> None:
        """Put a received token set into escrow, if the record still allows it at the moment of the write.

        Raises:
            ClaimRefused: It does not: a later presentation took over.
            EscrowUnavailable: It is not durable.
            ConfigError: The seal key cannot be loaded.
        """
        entry = sealed_tokens(received, self.seal, attempt.observed.situation.stored.identity, attempt.credential.name)
        writer = CheckedWriter(attempt.observed.ledger, check)
        check(writer.record)
        self.retrier.call(lambda: self.escrow.keep(entry, writer))

    def _from_escrow(self, attempt: Attempt, received: Received, warnings: tuple[str, ...]) -> Outcome:
        """Write back what is safe in escrow; should that fail, let the lease go so that any replica may go on."""
        name = attempt.credential.name
        try:
            return self._into_the_store(attempt, received, warnings)
        except StoreError as error:
            let_go(attempt)
            if error.then == "give_up":
                self.teller.tell("rotation.failed", attempt, reason="write_back", error=error.message)
                return outcomes.Failed(name, "write_back", error.message, error.hint or "rotator escrow replay")
            retry_at = self.clock.now() + timedelta(seconds=self.pause_s)
            self.teller.tell("rotation.deferred", attempt, reason="write_back", error=error.message, retry_at=retry_at)
            return outcomes.Deferred(name, "write_back", retry_at, f"the new tokens wait in escrow: {error.message}")

    def _into_the_store(self, attempt: Attempt, received: Received, warnings: tuple[str, ...]) -> Outcome:
        """Write back and settle.

        Raises:
            StoreError: The tokens are not in the store.
        """
        credential = attempt.credential
        stored = attempt.observed.situation.stored
        spent = spent_before(attempt.observed.ledger.record, received.parent)
        store = self.stores[credential.store]
        written = self.write_back.run(store, credential, stored, received, spent)
        shown = stored_digest(written, credential.provider)
        if shown != received.successor and self._replaces(attempt, written):
            spent |= {shown}
            written = self.write_back.run(store, credential, written, received, spent)
        return self._settle(attempt, received, written, warnings, swapped=True)

    def _settle(
        self,
        attempt: Attempt,
        received: Received,
        written: Versioned,
        warnings: tuple[str, ...],
        *,
        swapped: bool,
    ) -> Outcome:
        """Mark this token settled and release the lease; then clear its escrow; then audit.

        In this order: with the escrow cleared first and a crash before the record, a stale read would look like a
        doubt without a successor.

        Args:
            written: The current version: ours, or a person's that stays.
            swapped: The store itself just said what is current; what waits for other tokens of this secret is
                overtaken.
        """
        now = self.clock.now()
        credential = attempt.credential
        situation = attempt.observed.situation
        tokens = stored_tokens(written, credential.provider)
        expires_at = None if isinstance(tokens, Malformed) else tokens.expires_at
        at_once = attempt.sends_nothing and self._due_at_once(attempt, tokens, now)
        superseded = isinstance(tokens, Malformed) or presented_digest(tokens) != received.successor
        # Only our own swap proves that what waits for other tokens of this secret is overtaken.
        proven = swapped and not superseded and received.rotated
        others = {waiting.entry.parent for waiting in situation.waiting if proven} - {received.parent}
        parents = frozenset({received.parent, *others})
        done = Done(attempt.rotation_id, now, situation.stored.version, written.version, expires_at)
        hold = None if at_once else pause_after(credential, received.tokens, tokens, now, self.pause_s)
        grant, expiring_at = (
            (None, None)
            if superseded
            else grant_after(credential, situation.stored, attempt.observed.ledger.record.grant, received, now)
        )

        never_spent = standing_digests(situation.stored.identity)

        def noted(before: Grant | None) -> Grant | None:
            # The age of a login outlives a stay with a standing grant.
            kept = credential.provider.stands and before is not None and before.digest not in never_spent
            return before if kept else grant

        def settled(record: StateRecord) -> StateRecord:
            standing = record.claim_on(received.parent)
            ours = standing is not None and standing.rotation_id == attempt.rotation_id
            if received.rotated:
                record = mark(record, received.parent, "settled")
            else:
                record = take_out(record, received.parent, attempt.rotation_id)
            for other in others:
                # A standing grant is never spent: the credential may have it again.
                record = take_out(record, other) if other in never_spent else mark(record, other, "settled")
            record = with_done(release(record, attempt.fence), done)
            if (proven and record.newest == received.parent) or (
                ours and (standing is None or standing.outcome == "open")
            ):
                # A holder that comes late must not undo what a later one noted.
                record = replace(record, hold=hold, grant=noted(record.grant))
            return self.escrow.without(record, parents)

        try:
            attempt.observed.ledger.change(settled)
            self.retrier.call(lambda: self.escrow.clear(situation.stored.identity, parents))
        except (StoreError, EscrowUnavailable) as error:
            # The document is right; a later pass finds the successor in it and settles.
            warnings = (*warnings, f"not settled yet: {error.message}")
        details: dict[str, Any] = {"version_after": written.version, "expires_at": expires_at}
        if superseded:
            details["reason"] = "superseded: a person put another token set meanwhile, and it stays"
        warnings += self.teller.tell("rotation.succeeded", attempt, **details)
        if expiring_at:
            warnings += self.teller.tell("refresh_token.expiring", attempt, expires_at=expiring_at)
        if superseded:
            return outcomes.Deferred(credential.name, "superseded", now, "a person put another token set meanwhile")
        if at_once:
            return outcomes.Deferred(credential.name, "recovered", now, "written back, and due again at once")
        if received.tokens.extra_problem:
            problem = f"the new access token is not published: {received.tokens.extra_problem}"
            return outcomes.Failed(
                credential.name, "unpublished", problem, "see the provider's settings", hold.until if hold else None
            )
        ends = grant.expires_at if grant else None
        next_at = None if isinstance(tokens, Malformed) else timing(credential, tokens, grant_ends_at=ends).due_at
        if hold and (next_at is None or hold.until > next_at):
            next_at = hold.until
        return outcomes.Rotated(
            credential.name, expires_at, written.version, next_at, received.successor, ends, warnings=warnings
        )

    @staticmethod
    def _due_at_once(attempt: Attempt, tokens: StoredTokens | Malformed, now: datetime) -> bool:
        """Return whether what was recovered from escrow is old enough to be refreshed right away."""
        if isinstance(tokens, Malformed):
            return False
        due_at = timing(attempt.credential, tokens).due_at
        return due_at is not None and due_at <= now


def _claimed_by(attempt: Attempt) -> Callable[[StateRecord], None]:
    """Return a check that the claim is still this attempt's."""

    def check(record: StateRecord) -> None:
        standing = record.claim_on(attempt.digest)
        if standing is None or standing.outcome != "open" or standing.rotation_id != attempt.rotation_id:
            raise ClaimRefused

    return check
