"""What follows an exchange that brought no new tokens: give the claim back, latch it, or leave it in doubt."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, assert_never

from rotator import outcomes, policy
from rotator.documents import presented_digest, stored_digest, stored_tokens
from rotator.errors import RotatorError, StoreError
from rotator.model import InDoubt, Malformed, Misconfigured, RateLimited, Rejected, Setback, Unavailable
from rotator.received import sealed_reply
from rotator.record_changes import give_back, latch, mark, on_claim, release
from rotator.records import Hold, SealedEntry
from rotator.schedule import timing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from rotator.attempt import Attempt, Teller
    from rotator.cooldowns import Cooldowns
    from rotator.observe import Observed
    from rotator.outcomes import Outcome
    from rotator.ports import Clock, Escrow, Seal, SecretStore
    from rotator.records import StateRecord
    from rotator.retrying import Retrier

PAUSE_S = 60.0
"""Never faster than one attempt a minute for a grant after a failure (botocore and MSAL keep to the same)."""

LONGEST_PAUSE_S = 15 * 60.0
"""The pauses of failures in a row grow up to this: a provider that is back after hours is noticed in time."""


@dataclass(frozen=True, slots=True)
class Setbacks:
    """What an attempt without new tokens leaves behind. Thread-safe, for different credentials at once.

    Args:
        pause_s: The shortest pause of a grant after a failure, in seconds.
    """

    stores: Mapping[str, SecretStore]
    escrow: Escrow
    seal: Seal
    teller: Teller
    cooldowns: Cooldowns
    retrier: Retrier
    clock: Clock
    pause_s: float = PAUSE_S
    _unnoted: dict[str, tuple[str, bool]] = field(default_factory=dict)
    """By digest, the deaths that the state did not take: the error, and whether it was reported."""

    def never_sent(self, attempt: Attempt, error: RotatorError, *, at_once: bool = False) -> Outcome:
        """Give the claim back: the request provably never left."""
        retry_at = self.clock.now() + timedelta(seconds=0.0 if at_once else self.pause_s)
        self._give_back(attempt, None)
        self.teller.tell("rotation.deferred", attempt, reason="not_sent", error=error.message, retry_at=retry_at)
        return outcomes.of_error(attempt.credential.name, error, retry_at)

    def answered(self, attempt: Attempt, answer: Setback) -> Outcome:
        """Do what an answer without tokens asks for; first of all, make a cooldown known to every replica."""
        key, now = attempt.observed.provider_key, self.clock.now()
        if isinstance(answer, RateLimited):
            limit = attempt.credential.provider.rate_limit
            until, base_s = now + timedelta(seconds=answer.retry_after_s), limit.interval_s if limit else 0.0
            self.cooldowns.note_limited(key, until, answer.error, now=now, base_s=base_s)
        elif answer.cooldown_s is not None:
            self.cooldowns.note(key, now + timedelta(seconds=answer.cooldown_s), _said(answer))
        match answer:
            case RateLimited():
                return self._rate_limited(attempt, answer)
            case Unavailable():
                return self._unavailable(attempt, answer)
            case InDoubt():
                return self._in_doubt(attempt, answer)
            case Rejected():
                return self._rejected(attempt, answer)
            case Misconfigured():
                return self._misconfigured(attempt, answer)
            case _:
                assert_never(answer)

    def _rate_limited(self, attempt: Attempt, answer: RateLimited) -> Outcome:
        hold = self._hold(attempt, answer.retry_after_s, "rate_limited", answer.error, asked_s=answer.retry_after_s)
        self._give_back(attempt, hold)
        self.teller.tell("rotation.deferred", attempt, reason="rate_limited", error=answer.error, retry_at=hold.until)
        return outcomes.Deferred(attempt.credential.name, "rate_limited", hold.until, answer.error)

    def _unavailable(self, attempt: Attempt, answer: Unavailable) -> Outcome:
        asked_s = answer.cooldown_s or 0.0
        hold = self._hold(attempt, answer.retry_after_s, "provider_unavailable", answer.error, asked_s=asked_s)
        if answer.at_once and hold.failures == 1:
            # One immediate retry on a new connection (RFC 9110 sections 15.5.9 and 15.5.20). It goes through a claim
            # and a slot of the budget of its own, so that it is counted like any other request.
            hold = replace(hold, until=self.clock.now(), floor=self.clock.now())
        self._give_back(attempt, hold)
        self.teller.tell(
            "rotation.deferred", attempt, reason="provider_unavailable", error=answer.error, retry_at=hold.until
        )
        return outcomes.Deferred(attempt.credential.name, "provider_unavailable", hold.until, answer.error)

    def _misconfigured(self, attempt: Attempt, answer: Misconfigured) -> Outcome:
        hold = self._hold(
            attempt,
            answer.retry_after_s,
            "misconfigured",
            answer.error,
            action=answer.hint,
            asked_s=answer.cooldown_s or 0.0,
        )
        self._give_back(attempt, replace(hold, person=True))
        self.teller.tell("rotation.failed", attempt, reason="misconfigured", error=answer.error, retry_at=hold.until)
        return outcomes.Failed(attempt.credential.name, "misconfigured", answer.error, answer.hint, retry_at=hold.until)

    def _in_doubt(self, attempt: Attempt, answer: InDoubt) -> Outcome:
        """Leave the claim open, keep what arrived of the reply, say so, and do what the replay rule says next."""
        situation = attempt.observed.situation
        ledger = attempt.observed.ledger
        name = attempt.credential.name
        warnings = ""
        if answer.body:
            entry = SealedEntry(
                situation.stored.identity, attempt.digest, "reply", attempt.rotation_id, name, attempt.started_at, ""
            )
            try:
                sealed = sealed_reply(answer.body, entry, self.seal)
                self.retrier.call(lambda: self.escrow.keep(sealed, ledger))
            except RotatorError as error:
                warnings = f"; the reply could not be kept: {error.message}"
        hold = self._hold_in_doubt(attempt, answer)
        try:
            ledger.change(
                lambda record: release(
                    replace(on_claim(record, attempt.digest, reported=True), hold=hold or record.hold),
                    attempt.fence,
                )
            )
        except StoreError as error:
            warnings += f"; the doubt could not be noted, the open claim tells it: {error.message}"
        after = replace(situation, record=ledger.record, waiting=(), now=self.clock.now(), force=False, horizon_s=0.0)
        decision = policy.decide(after)
        until = decision.until if isinstance(decision, policy.InDoubt | policy.CoolingDown) else after.now
        self.teller.tell(
            "rotation.in_doubt", attempt, reason="reply_lost", error=answer.cause + warnings, retry_at=until
        )
        if isinstance(decision, policy.InDoubt) and decision.until is None:
            return outcomes.Failed(name, "in_doubt", answer.cause + warnings, decision.action)
        # Where asking again does no harm there is no doubt for anybody to think about: a pause, and it is asked again.
        reason = "reply_lost" if attempt.credential.provider.replay.kind == "safe" else "in_doubt"
        return outcomes.Deferred(name, reason, until, answer.cause + warnings)

    def _rejected(self, attempt: Attempt, answer: Rejected) -> Outcome:
        """Latch the token, unless store or escrow meanwhile hold a newer one: a race was lost then, not the grant."""
        newer = self._newer_stored(attempt)
        ledger, now = attempt.observed.ledger, self.clock.now()
        try:
            # The lease is kept until the death is reported, so that nobody else reports it meanwhile.
            ledger.change(
                lambda record: replace(
                    latch(record, attempt.digest, rotation_id=attempt.rotation_id, now=now, error=answer.error),
                    hold=None,
                )
            )
        except StoreError:
            # For others the open claim keeps the token from being sent like any other; this process remembers.
            self._unnoted[attempt.digest] = answer.error, False
        record = ledger.record
        if newer or self._successor_waits(attempt):
            let_go(attempt)
            self.teller.tell("rotation.deferred", attempt, reason="superseded", error=answer.error)
            return outcomes.Deferred(attempt.credential.name, "superseded", now, "a newer token is there")
        error = f"{answer.error}: {answer.description}" if answer.description else answer.error
        self.teller.tell("rotation.failed", attempt, reason="rejected", error=error)
        claim = record.claim_on(attempt.digest)
        if claim is not None and not claim.reported:
            self.report_death(attempt, error)
        else:
            let_go(attempt)
        problem = f"the provider rejected the refresh token ({error})"
        return outcomes.Failed(attempt.credential.name, "latched", problem, attempt.login_again)

    def report_death(self, attempt: Attempt, error: str) -> None:
        """Audit a dead grant, note that it was, and let the lease go, which keeps others from doing the same meanwhile.

        What cannot be noted or audited now is reported by a later pass.
        """
        warnings = self.teller.tell("credential.reauthorization_required", attempt, reason="rejected", error=error)
        if attempt.digest in self._unnoted:
            self._unnoted[attempt.digest] = self._unnoted[attempt.digest][0], not warnings
        if not let_go(attempt, lambda record: record if warnings else on_claim(record, attempt.digest, reported=True)):
            self._unnoted[attempt.digest] = error, not warnings

    def with_latches(self, observed: Observed) -> Observed:
        """Return what was observed, with a latch on its token that the state did not take when the provider spoke.

        It is written now if the state takes it, and holds for this process if not.
        """
        digest = stored_digest(observed.situation.stored, observed.situation.credential.provider)
        if digest not in self._unnoted:
            return observed
        error, reported = self._unnoted[digest]

        def latched(record: StateRecord) -> StateRecord:
            return on_claim(mark(record, digest, "rejected", error=error), digest, reported=reported)

        ledger = observed.ledger
        record = latched(observed.situation.record)
        with contextlib.suppress(StoreError):
            record = ledger.change(latched)
            self._unnoted.pop(digest, None)
        return replace(observed, situation=replace(observed.situation, record=record))

    def report_doubt(self, attempt: Attempt, reason: str, until: datetime | None) -> None:
        """Audit a doubt that a dead holder left behind, note that it was, and put that holder's lease back.

        By a clock that is behind this one the holder may be alive: its lease still says that it never let go.
        """
        warnings = self.teller.tell("rotation.in_doubt", attempt, reason=reason, retry_at=until)
        left = attempt.observed.situation.record.lease

        def noted(record: StateRecord) -> StateRecord:
            told = record if warnings else on_claim(record, attempt.digest, reported=True)
            ours = record.lease is not None and record.lease.fence == attempt.fence
            return replace(told, lease=left) if ours else told

        with contextlib.suppress(StoreError):
            attempt.observed.ledger.change(noted)

    def _newer_stored(self, attempt: Attempt) -> bool:
        """Return whether the store shows a token that was never presented: somebody logged in meanwhile."""
        credential = attempt.credential
        store = self.stores[credential.store]
        try:
            current = self.retrier.call(lambda: store.read(credential.secret))
        except RotatorError:
            return False  # the latch is keyed to this token alone: a newer one is not held back by it
        tokens = stored_tokens(current, credential.provider)
        if isinstance(tokens, Malformed):
            return False
        return attempt.observed.ledger.record.claim_on(presented_digest(tokens)) is None

    def _hold_in_doubt(self, attempt: Attempt, answer: InDoubt) -> Hold | None:
        """Return the pause before one more try: none inside a replay window, and none beyond the access token's end."""
        if attempt.credential.provider.replay.kind in {"window", "until_successor_used"}:
            return None
        hold = self._hold(attempt, 0.0, "in_doubt", answer.cause)
        tokens = stored_tokens(attempt.observed.situation.stored, attempt.credential.provider)
        expires_at = None if isinstance(tokens, Malformed) else tokens.expires_at
        if expires_at is None or not self.clock.now() < expires_at < hold.until:
            return hold
        return replace(hold, until=expires_at, floor=expires_at)

    def _successor_waits(self, attempt: Attempt) -> bool:
        """Return whether a holder that was held up has kept the answer to the first presentation."""
        try:
            waiting = self.escrow.waiting(attempt.observed.ledger.record)
        except RotatorError:
            return False
        return any(entry.parent == attempt.digest and entry.kind == "tokens" for entry in waiting)

    def _hold(
        self, attempt: Attempt, retry_after_s: float, reason: str, error: str, action: str = "", *, asked_s: float = 0.0
    ) -> Hold:
        """Return the pause after a failure: what the answer calls for, growing twofold with failures in a row.

        It ends while the access token still lasts, for the provider may be back by then; only a pause that the provider
        itself asks for does not.
        """
        now = self.clock.now()
        before = attempt.observed.ledger.record.hold
        failures = before.failures + 1 if before and before.digest == attempt.digest else 1
        grown_s = min(LONGEST_PAUSE_S, self.pause_s * 2.0 ** (failures - 1))
        wanted = now + timedelta(seconds=max(retry_after_s, grown_s))
        floor = now + timedelta(seconds=self.pause_s)
        last_call = self._last_call(attempt, now)
        until = max(min(wanted, last_call) if last_call else wanted, floor, now + timedelta(seconds=asked_s))
        return Hold(attempt.digest, until, floor, reason, error, action, failures)

    @staticmethod
    def _last_call(attempt: Attempt, now: datetime) -> datetime | None:
        """Return the last moment at which a try still helps: near the access token's end, or the end itself."""
        situation = attempt.observed.situation
        tokens = stored_tokens(situation.stored, situation.credential.provider)
        if isinstance(tokens, Malformed):
            return None
        when = timing(situation.credential, tokens)
        return next((moment for moment in (when.last_try_at, when.expires_at) if moment and moment > now), None)

    def _give_back(self, attempt: Attempt, hold: Hold | None) -> None:
        """Take the claim out and release the lease; should that fail, the claim stands as a doubt, which is safe."""

        def given_back(record: StateRecord) -> StateRecord:
            without = give_back(record, attempt.digest, attempt.rotation_id)
            return release(replace(without, hold=hold or record.hold), attempt.fence)

        with contextlib.suppress(StoreError):
            attempt.observed.ledger.change(given_back)


def let_go(attempt: Attempt, change: Callable[[StateRecord], StateRecord] = lambda record: record) -> bool:
    """Release the lease, together with a last change; return whether the state took it. A lease ends by itself."""
    try:
        attempt.observed.ledger.change(lambda record: release(change(record), attempt.fence))
    except StoreError:
        return False
    return True


def _said(answer: Setback) -> str:
    return answer.cause if isinstance(answer, InDoubt) else answer.error
