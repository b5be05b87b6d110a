"""What an operator does to one credential: seed it, read it, say a word on a doubt or a latch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC
from typing import TYPE_CHECKING, Literal

from rotator import policy
from rotator.documents import OWN_FIELDS, instant, parse_document, presented_digest, seconds, stored_tokens
from rotator.errors import Refused, SecretNotFound
from rotator.ledger import SecretLedger
from rotator.model import Document, Malformed, Versioned
from rotator.record_changes import mark, on_claim, take_out
from rotator.records import DISCARDED

if TYPE_CHECKING:
    from rotator.model import Credential, StoredTokens
    from rotator.records import Claim, StateRecord
    from rotator.redact import Secret
    from rotator.wiring import App

Word = Literal["replay", "discard", "clear"]


@dataclass(frozen=True, slots=True)
class Operations:
    """Operations on single credentials."""

    app: App

    def put(self, credential: Credential, text: str | bytes) -> Versioned:
        """Seed or replace a credential's document from a token response.

        Fields that the response does not name stay as they are. A response that says only `expires_in` is taken to
        be issued now.

        Raises:
            Refused: The response is unusable, or holds a refresh token that was already spent or rejected.
            StoreError: The document could not be written.
            AuditUnavailable: Nothing was written; or, should the trail fail just then, it was and no event tells.
        """
        response = parse_document(text)
        if isinstance(response, Malformed):
            raise Refused(
                f"the token response cannot be used: {response.problem}",
                hint=f"put the provider's JSON answer: rotator put {credential.name} FILE",
            )
        store = self.app.stores[credential.store]
        try:
            current = store.read(credential.secret)
        except SecretNotFound:
            current = None
        document = self._merged(response, current)
        tokens = stored_tokens(replace(_NOWHERE, content=document), credential.provider)
        if isinstance(tokens, Malformed):
            what = f"the token response cannot be used: {tokens.problem}"
            raise Refused(what, hint=f"log in again, with offline access: {credential.login}")
        if current:
            self._refuse_spent(current, tokens, credential)
        audit_digest = self._audit_digest(tokens)
        self.app.trail.prove_writable()
        written = store.compare_and_swap(
            credential.secret,
            document,
            expected=current.version if current else None,
            write_id=self.app.surroundings.ids.new_id(),
        )
        self.app.trail.record(
            "credential.seeded",
            credential,
            refresh_token_digest=audit_digest,
            version_before=current.version if current else None,
            version_after=written.version,
            expires_at=tokens.expires_at,
        )
        return written

    def begin(self, credential: Credential, current: Versioned | None) -> None:
        """Make an empty document where there is none, or where the current version holds nothing.

        Raises:
            VersionConflict: Somebody made one meanwhile; it stays.
            StoreError: It could not be written.
            AuditUnavailable: Nothing was written; or, should the trail fail just then, it was and no event tells.
        """
        self.app.trail.prove_writable()
        before = current.version if current else None
        written = self.app.stores[credential.store].compare_and_swap(
            credential.secret, Document({}), expected=before, write_id=self.app.surroundings.ids.new_id()
        )
        self.app.trail.record("credential.seeded", credential, version_before=before, version_after=written.version)

    def access_token(self, credential: Credential) -> tuple[Secret, bool]:
        """Return the stored access token and whether it has expired; the reading is audited first.

        Raises:
            Refused: There is none.
            StoreError: The secret cannot be read.
            AuditUnavailable: The reading cannot be recorded; nothing is returned.
        """
        stored = self.app.retrier.call(lambda: self.app.stores[credential.store].read(credential.secret))
        tokens = stored_tokens(stored, credential.provider)
        if isinstance(tokens, Malformed):
            raise Refused(f"the secret of {credential.name} cannot be used: {tokens.problem}", hint=_put(credential))
        if tokens.access_token is None:
            raise Refused(f"{credential.name} holds no access token yet", hint=f"rotator once --name {credential.name}")
        self.app.trail.record(
            "credential.read", credential, version_before=stored.version, expires_at=tokens.expires_at
        )
        now = self.app.surroundings.clock.now()
        return tokens.access_token, tokens.expires_at is not None and tokens.expires_at <= now

    def resolve(self, credential: Credential, word: Word) -> str:
        """Do as an operator says about a doubt or a latch, and return what was done, in words.

        `replay` allows one more presentation of a token in doubt. `discard` gives a token in doubt up: it is latched
        and its escrow is dropped. `clear` takes a latch away, or ends a pause.

        Raises:
            Refused: There is nothing of the kind, or no try is left.
            AuditUnavailable: Nothing was changed; or, should the trail fail just then, it was and no event tells.
            EscrowUnavailable: The escrow cannot be read.
            StoreError: The secret or its record cannot be read or written.
        """
        app = self.app
        store = app.stores[credential.store]
        stored = app.retrier.call(lambda: store.read(credential.secret))
        tokens = stored_tokens(stored, credential.provider)
        if isinstance(tokens, Malformed):
            raise Refused(f"the secret of {credential.name} cannot be used: {tokens.problem}", hint=_put(credential))
        app.trail.prove_writable()
        digest = presented_digest(tokens)
        ledger = SecretLedger(app.state, stored.identity, app.retrier)
        claim = ledger.load().claim_on(digest)
        if word == "replay":
            self._allow_replay(credential, ledger, claim)
            done = f"its refresh token may be presented one more time: rotator once --name {credential.name}"
        elif word == "discard":
            self._discard(credential, ledger, claim)
            done = f"the rotation in doubt is given up; {credential.login_again}"
        else:
            self._clear(credential, ledger, claim, digest)
            done = f"the latch or pause is cleared; try it: rotator once --name {credential.name}"
        audit_digest = self._audit_digest(tokens)
        app.trail.record("credential.resolved", credential, reason=word, refresh_token_digest=audit_digest)
        return done

    # ---------------------------------------------------------------------------------------------- inside

    def _allow_replay(self, credential: Credential, ledger: SecretLedger, claim: Claim | None) -> None:
        claim = _in_doubt(credential, claim)
        if claim.tries >= policy.MOST_TRIES and credential.provider.replay.kind != "safe":
            raise Refused(f"{credential.name}: its refresh token was already tried twice", hint=_put(credential))
        self._free(credential, ledger.record)
        ledger.change(lambda record: replace(on_claim(record, claim.digest, permitted=True), hold=None))

    def _discard(self, credential: Credential, ledger: SecretLedger, claim: Claim | None) -> None:
        claim = _in_doubt(credential, claim)
        if credential.provider.stands:
            what = f"nothing of {credential.name} is spent: its grant stands, and is asked again by itself"
            raise Refused(what, hint=f"at once: rotator once --name {credential.name}")
        self._free(credential, ledger.record)
        parents = frozenset({claim.digest})
        escrow = self.app.escrow

        def discarded(record: StateRecord) -> StateRecord:
            # Inside the change: a holder that was held up may keep the successor just now.
            if any(entry.parent == claim.digest and entry.kind == "tokens" for entry in escrow.waiting(record)):
                raise Refused(f"{credential.name}: its successor waits in escrow", hint="rotator escrow replay")
            self._free(credential, record)
            marked = mark(record, claim.digest, "rejected", error=DISCARDED)
            return escrow.without(on_claim(marked, claim.digest, reported=True), parents)

        ledger.change(discarded)
        escrow.clear(ledger.record.identity, parents)

    @staticmethod
    def _clear(credential: Credential, ledger: SecretLedger, claim: Claim | None, digest: str) -> None:
        held = ledger.record.hold is not None and ledger.record.hold.digest == digest
        if claim is not None and claim.outcome == "open":
            raise Refused(f"{credential.name} is in doubt, not latched", hint=_either(credential))
        if claim is not None and claim.error == DISCARDED:
            raise Refused(f"the rotation of {credential.name} was given up", hint=_put(credential))
        if not held and (claim is None or claim.outcome != "rejected"):
            raise Refused(f"{credential.name} is not latched: there is nothing to clear", hint=_see(credential))

        def cleared(record: StateRecord) -> StateRecord:
            standing = record.claim_on(digest)
            if standing is not None and standing.outcome == "rejected":
                record = take_out(record, digest)
            return replace(record, hold=None)

        ledger.change(cleared)

    def _audit_digest(self, tokens: StoredTokens) -> str | None:
        return self.app.seal.audit_digest(tokens.refresh_token.reveal()) if tokens.refresh_token else None

    def _free(self, credential: Credential, record: StateRecord) -> None:
        lease = record.held_by_other("", self.app.surroundings.clock.now())
        if lease:
            raise Refused(
                f"{lease.holder} is at work on {credential.name}", hint=f"wait until {lease.expires_at.isoformat()}"
            )

    def _merged(self, response: Document, current: Versioned | None) -> Document:
        fields = dict(response.fields)
        issued_at = instant(fields.get("issued_at"))
        expires_in_s = seconds(fields.get("expires_in"))
        if issued_at is None and instant(fields.get("expires_at")) is None:
            fields["issued_at"] = int(self.app.surroundings.clock.now().astimezone(UTC).timestamp())
        if expires_in_s is not None and instant(fields.get("expires_at")) is None:
            since = issued_at.timestamp() if issued_at else fields["issued_at"]
            fields["expires_at"] = int(since + expires_in_s)
        kept = dict(current.content.fields) if current and isinstance(current.content, Document) else {}
        for name in OWN_FIELDS:
            kept.pop(name, None)  # they tell of the tokens that are replaced
        return Document({**kept, **fields})

    def _refuse_spent(self, current: Versioned, tokens: StoredTokens, credential: Credential) -> None:
        record = SecretLedger(self.app.state, current.identity, self.app.retrier).load()
        claim = record.claim_on(presented_digest(tokens))
        if claim is None:
            return
        if claim.outcome == "rejected":
            raise Refused(
                f"the provider rejected this very refresh token ({claim.error})",
                hint=f"log in again for a new one ({credential.login}), or rotator resolve {credential.name} --clear",
            )
        what = "this refresh token was already presented to the provider"
        raise Refused(what, hint=f"log in again for a new one: {credential.login}")


_NOWHERE = Versioned(identity="", version="", created_at=None, content=Document({}))


def _in_doubt(credential: Credential, claim: Claim | None) -> Claim:
    if claim is None or claim.outcome != "open":
        raise Refused(f"no rotation of {credential.name} is in doubt", hint=_see(credential))
    return claim


def _put(credential: Credential) -> str:
    return credential.login_again


def _see(credential: Credential) -> str:
    return f"see: rotator explain {credential.name}"


def _either(credential: Credential) -> str:
    return f"rotator resolve {credential.name} --replay, or rotator resolve {credential.name} --discard"
