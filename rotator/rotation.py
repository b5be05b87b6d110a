"""The procedure: one credential, from what was read to what is settled.

It reads like the list in the design: decide, recover, claim, audit, exchange, escrow, write back, settle. The budget
is waited for before it begins (`rotator.budget`): nothing slow stands between a claim and its request, for a crash
there leaves a doubt about a request that was never sent.

What follows an answer stands in `rotator.settling` (new tokens) and `rotator.setbacks` (none).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from rotator import outcomes, policy
from rotator.attempt import Attempt
from rotator.documents import presented_digest, stored_tokens
from rotator.errors import LeaseHeld, LeaseLost, RotatorError
from rotator.model import Document, Malformed, Refreshed, RefreshRequest
from rotator.observe import client_id_of
from rotator.received import Received
from rotator.record_changes import ClaimRefused, claim, on_claim, take_lease
from rotator.records import Claim

if TYPE_CHECKING:
    from datetime import datetime

    from rotator.cooldowns import Cooldowns
    from rotator.model import Credential, Provider, StoredTokens, TokenAnswer
    from rotator.observe import Observed, Observer
    from rotator.outcomes import Outcome
    from rotator.ports import Clock, Escrow, Ids, Seal, TokenEndpoint, Trail
    from rotator.records import StateRecord
    from rotator.setbacks import Setbacks
    from rotator.settling import Settling

AFTER_THE_ANSWER_S = 30.0
"""How much longer than the request the lease lasts: escrow, write and settling, with a store that stumbles. A lease
that ends earlier than its work does no harm, it only lets another replica look in vain."""

GOOD_FOR_S = 2.0
"""How long what was read may be acted on without reading again. The claim makes any age safe; a young reading keeps
the provider's cooldown and a person's edit in view."""

LOOK_AGAIN_S = 5.0
"""When a record changed under us, its writer is at work; a few seconds later the picture is clear."""


class SlotMissed(LeaseLost):
    """The slot in the provider's budget ended before the request could leave."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """Runs the procedure. Thread-safe, for different credentials at once; holds no lock and remembers nothing."""

    observer: Observer
    settling: Settling
    setbacks: Setbacks
    cooldowns: Cooldowns
    escrow: Escrow
    seal: Seal
    trail: Trail
    endpoint: TokenEndpoint
    clock: Clock
    ids: Ids

    def warm_up(self, provider: Provider) -> None:
        """Load what a first rotation would have to wait for amid its slot of the provider's budget; cheap later on."""
        self.endpoint.warm_up(provider)
        self.trail.warm_up()

    def run(self, observed: Observed, *, leave_at: datetime | None = None, leave_by: datetime | None = None) -> Outcome:
        """Do what the decision about an observed credential asks for. Raises nothing of ours: failures are outcomes.

        Args:
            leave_at: The slot in the provider's budget; a request that is ready sooner waits for it.
            leave_by: The end of the slot in the provider's budget; a request that cannot leave by then does not.

        Raises:
            BaseException: Only what is no `RotatorError`: a defect, or the end of the process.
        """
        observed = self.setbacks.with_latches(observed)
        name = observed.situation.credential.name
        decision = policy.decide(observed.situation)
        try:
            match decision:
                case policy.Recover():
                    return self._recover(observed, decision)
                case policy.Due():
                    return self._refresh(observed, decision, leave_at, leave_by)
                case policy.InDoubt():
                    with contextlib.suppress(RotatorError, ClaimRefused):
                        # The doubt itself is the outcome; a report that could not be made is made by the next pass.
                        self._report_doubt(observed, decision)
                case policy.Latched():
                    with contextlib.suppress(RotatorError, ClaimRefused):
                        self._report_death(observed, decision)
        except LeaseHeld as held:
            return outcomes.Deferred(name, "held", held.expires_at)
        except ClaimRefused:
            return outcomes.Deferred(name, "held", self._soon(), "another replica was faster")
        except RotatorError as error:
            return outcomes.of_error(name, error)
        return outcomes.of_decision(name, decision)

    # ------------------------------------------------------------------------------------------------ recover

    def _recover(self, observed: Observed, recover: policy.Recover) -> Outcome:
        """Finish what a dead holder began: its successor waits in escrow."""
        entry = recover.waiting.entry
        attempt = self._attempt(observed, digest=entry.parent, rotation_id=entry.rotation_id)
        lease_s = observed.situation.credential.provider.timeout_s + AFTER_THE_ANSWER_S
        now = self.clock.now()

        def taken(record: StateRecord) -> StateRecord:
            waiting = self.escrow.waiting(record)
            if not any((one.parent, one.rotation_id) == (entry.parent, entry.rotation_id) for one in waiting):
                raise ClaimRefused  # somebody else has recovered it, and may have gone on
            standing = record.claim_on(entry.parent)
            if standing is not None and standing.outcome == "open":
                # A later try that is still out is overtaken by this: its holder finds the claim another's.
                record = on_claim(record, entry.parent, rotation_id=entry.rotation_id)
            ends = now + timedelta(seconds=lease_s)
            return take_lease(record, holder=observed.situation.holder, now=now, expires_at=ends)

        observed.ledger.change(taken)
        attempt = replace(attempt, fence=observed.ledger.record.fence)
        if recover.waiting.tokens is None:
            raise AssertionError("an unreadable reply is never recovered")
        received = Received(
            tokens=recover.waiting.tokens,
            sent_at=recover.waiting.sent_at,
            parent=entry.parent,
            rotation_id=entry.rotation_id,
        )
        return self.settling.replayed(attempt, received, written=recover.written)

    # ------------------------------------------------------------------------------------------------ refresh

    def _refresh(
        self, observed: Observed, due: policy.Due, leave_at: datetime | None, leave_by: datetime | None
    ) -> Outcome:
        credential = observed.situation.credential
        if leave_by and self.clock.now() > leave_by:
            return outcomes.Deferred(credential.name, "slot_missed", self.clock.now())
        request = self._request(credential, observed, due.tokens)
        attempt = self._attempt(observed, digest=presented_digest(due.tokens), rotation_id=self.ids.new_id())
        if not self.escrow.shared:
            # A shared escrow is proven by the claim, which is written to the same place.
            self.escrow.prove_writable()
        attempt = self._claim(attempt, due)
        try:
            if due.again and not credential.provider.stands and self._successor_appeared(attempt):
                raise LeaseLost(f"{credential.name}: its successor, or another login, has appeared")
            answer, attempt = self._exchange(attempt, due, request, leave_at, leave_by)
        except SlotMissed as missed:
            return self.setbacks.never_sent(attempt, missed, at_once=True)
        except RotatorError as error:
            # All of them come from before the request: the endpoint raises nothing.
            return self.setbacks.never_sent(attempt, error)
        if isinstance(answer, Refreshed):
            received = Received(answer.tokens, attempt.started_at, attempt.digest, attempt.rotation_id)
            return self.settling.received(attempt, received, answer.warnings, answer.cooldown_s)
        return self.setbacks.answered(attempt, answer)

    def _request(self, credential: Credential, observed: Observed, tokens: StoredTokens) -> RefreshRequest:
        """Build the request from sources that are read now, so that a rotated client secret is picked up.

        Raises:
            ConfigError: A source of a client secret or key fails.
        """
        return RefreshRequest(
            provider=credential.provider,
            refresh_token=tokens.refresh_token,
            client_id=client_id_of(credential, observed.situation.stored),
            client_secret=credential.client_secret() or tokens.client_secret,
            private_key=credential.private_key(),
            scope=credential.scope,
            # What the client's own grant brought the last time binds nobody.
            granted_scope=None if credential.provider.stands else tokens.scope,
            id_token=None if credential.provider.stands else tokens.id_token,
        )

    def _attempt(self, observed: Observed, *, digest: str, rotation_id: str) -> Attempt:
        """Gather what the steps share. Computing the audit digest proves the seal key before anything is claimed."""
        audit_digest = self.seal.audit_digest(_presented_text(observed))
        return Attempt(
            observed=observed,
            digest=digest,
            rotation_id=rotation_id,
            audit_digest=None if observed.situation.credential.provider.stands else audit_digest,
            started_at=self.clock.now(),
        )

    def _claim(self, attempt: Attempt, due: policy.Due) -> Attempt:
        """Append the token's digest and take the lease in one conditional write, which also proves the state."""
        situation = attempt.observed.situation
        provider = situation.credential.provider
        now, claimed_s = self.clock.now(), self.clock.monotonic_s()
        lease_until = now + timedelta(seconds=provider.timeout_s + AFTER_THE_ANSWER_S)
        new = Claim(
            digest=attempt.digest,
            rotation_id=attempt.rotation_id,
            claimed_at=now,
            holder=situation.holder,
            place=situation.place,
        )
        seen = attempt.observed.ledger.record

        def claimed(record: StateRecord) -> StateRecord:
            wanted = claim(record, new, again=due.again, any_tries=provider.replay.kind == "safe", lease=lease_until)
            standing = record.claim_on(new.digest)
            if record != seen and not (standing and standing.rotation_id == new.rotation_id):
                # Whoever wrote the record since may just have been told to wait, or have kept the successor.
                raise ClaimRefused
            return wanted

        record = attempt.observed.ledger.change(claimed)
        if record.lease is None:
            raise AssertionError("a claim takes the lease")
        standing = record.claim_on(attempt.digest)
        return replace(
            attempt,
            fence=record.lease.fence,
            lease_until=record.lease.expires_at,
            tries=standing.tries if standing else 1,
            claimed_s=claimed_s,
        )

    def _successor_appeared(self, attempt: Attempt) -> bool:
        """Look into the escrow and the store once more, now that nobody else can take the doubt over."""
        waiting = self.escrow.waiting(attempt.observed.ledger.record)
        if any(entry.parent == attempt.digest and entry.kind == "tokens" for entry in waiting):
            return True
        stored = self.observer.stores[attempt.credential.store].read(attempt.credential.secret)
        tokens = stored_tokens(stored, attempt.credential.provider)
        return isinstance(tokens, Malformed) or presented_digest(tokens) != attempt.digest

    def _exchange(
        self,
        attempt: Attempt,
        due: policy.Due,
        request: RefreshRequest,
        leave_at: datetime | None,
        leave_by: datetime | None,
    ) -> tuple[TokenAnswer, Attempt]:
        """Audit, then send, once.

        Raises:
            SlotMissed: Nothing was sent.
            AuditUnavailable: Nothing was sent.
            LeaseLost: Nothing was sent.
            StoreError: A second look at the provider's pauses failed; nothing was sent.
        """
        credential = attempt.credential
        self.trail.record(
            "rotation.started",
            credential,
            rotation_id=attempt.rotation_id,
            attempt=attempt.tries,
            refresh_token_digest=attempt.audit_digest,
            version_before=attempt.observed.situation.stored.version,
            reason=due.reason,
        )
        if leave_at:
            self.clock.sleep(min(AFTER_THE_ANSWER_S, (leave_at - self.clock.now()).total_seconds()))
        begun_s = self.clock.monotonic_s()
        now = self.clock.now()
        # By both clocks: one may have been set since the claim, the other stands still while the machine sleeps.
        timeout_s = credential.provider.timeout_s
        left_s = min(
            (attempt.lease_until - now).total_seconds(),
            attempt.claimed_s + timeout_s + AFTER_THE_ANSWER_S - begun_s,
        )
        if left_s - policy.CLOCK_SKEW_S < timeout_s:
            raise LeaseLost(f"{credential.name}: the lease would end before the answer", hint="it is tried again")
        cooldown = self.cooldowns.known(attempt.observed.provider_key)
        if now - attempt.observed.at > timedelta(seconds=GOOD_FOR_S):
            # Something was slow since the provider's record was read: another replica may have been told to wait.
            cooldown = self.cooldowns.record(attempt.observed.provider_key).cooldown_until
            now = self.clock.now()  # that may have been slow, too: the slot and the window go by the moment of sending
        if cooldown and cooldown > self.clock.now():
            raise LeaseLost(f"{credential.name}: the provider asks to wait until {cooldown.isoformat()}")
        if due.leave_by and now > due.leave_by:
            raise LeaseLost(f"{credential.name}: the provider's replay window is over")
        if leave_by and now > leave_by:
            raise SlotMissed(f"{credential.name}: its slot in the provider's budget is over")
        attempt = replace(attempt, started_at=now, monotonic_s=begun_s)
        key = attempt.observed.provider_key
        self.cooldowns.sending(key)
        answer = self.endpoint.refresh(request, deadline_s=timeout_s, begun_s=begun_s)
        self.cooldowns.answered(key, answer.told if isinstance(answer, Refreshed) else None, self.clock.now())
        return answer, attempt

    # -------------------------------------------------------------------------------------------- reports

    def _report_death(self, observed: Observed, decision: policy.Latched) -> None:
        """Audit a dead grant that nobody has reported: its holder crashed, or could not audit."""
        claim_ = decision.claim
        if not claim_.reported:
            attempt = self._attempt(observed, digest=claim_.digest, rotation_id=claim_.rotation_id)
            attempt = self._to_report(attempt)
            self.setbacks.report_death(attempt, claim_.error or "rejected")

    def _report_doubt(self, observed: Observed, decision: policy.InDoubt) -> None:
        """Audit a doubt that a dead holder left behind."""
        claim_ = decision.claim
        if not claim_.reported:
            attempt = self._attempt(observed, digest=claim_.digest, rotation_id=claim_.rotation_id)
            attempt = self._to_report(attempt)
            self.setbacks.report_doubt(attempt, decision.reason, decision.until)

    def _to_report(self, attempt: Attempt) -> Attempt:
        """Take the lease, so that among all replicas one reports.

        Raises:
            LeaseHeld: Somebody else is at work.
            ClaimRefused: Somebody else has reported it, or it is another matter by now.
        """
        observed = attempt.observed
        now = self.clock.now()

        def taken(record: StateRecord) -> StateRecord:
            standing = record.claim_on(attempt.digest)
            if standing is None or standing.reported:
                raise ClaimRefused
            ends = now + timedelta(seconds=AFTER_THE_ANSWER_S)
            return take_lease(record, holder=observed.situation.holder, now=now, expires_at=ends)

        return replace(attempt, fence=observed.ledger.change(taken).fence)

    def _soon(self) -> datetime:
        return self.clock.now() + timedelta(seconds=LOOK_AGAIN_S)


def _presented_text(observed: Observed) -> str:
    content = observed.situation.stored.content
    return str(content.fields.get("refresh_token", "")) if isinstance(content, Document) else ""
