"""Ending a grant at the provider (RFC 7009), by an operator's word and never by itself.

For a credential that is retired, or whose tokens got into wrong hands. Some providers end more than the one token: all
of its grant, access tokens included (auth0.com/docs/secure/tokens/refresh-tokens/revoke-refresh-tokens).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rotator.documents import stored_tokens
from rotator.errors import LoginFailed, Refused
from rotator.ledger import SecretLedger
from rotator.model import Malformed
from rotator.provider_calls import OK, read_json, told
from rotator.record_changes import latch, on_claim
from rotator.records import digest_of

if TYPE_CHECKING:
    from rotator.provider_calls import ProviderCalls
    from rotator.records import StateRecord

REVOKED = "revoked by an operator"


def revoke(calls: ProviderCalls) -> None:
    """Revoke the refresh token in a credential's document, and latch it: nobody presents it any more.

    The provider answers 200 also for a token that it does not know (RFC 7009 section 2.2). Should rotator be ended
    between its answer and the latch, the next refresh is refused, and latches it then.

    Raises:
        Refused: The document holds no refresh token, somebody is at work on it, or tokens for it wait in escrow.
        LoginFailed: The provider has no such endpoint, or refused; the token has to be taken for alive.
        ProviderUnreachable: No answer; likewise.
        StoreError: The secret or its record cannot be read or written.
        AuditUnavailable: It could not be recorded; nothing was sent.
    """
    app, credential = calls.app, calls.credential
    store = app.stores[credential.store]
    stored = app.retrier.call(lambda: store.read(credential.secret))
    tokens = stored_tokens(stored, credential.provider)
    if isinstance(tokens, Malformed):
        raise Refused(f"the secret of {credential.name} cannot be used: {tokens.problem}", hint=credential.login_again)
    token = tokens.refresh_token
    if token is None:
        raise Refused(
            f"{credential.name} has no refresh token to revoke: its grant is the client's own",
            hint="take the client's key or secret away at the provider",
        )
    ledger = SecretLedger(app.state, stored.identity, app.retrier)
    record = ledger.load()
    lease = record.held_by_other("", app.surroundings.clock.now())
    if lease:
        hint = f"wait until {lease.expires_at.isoformat()}"
        raise Refused(f"{lease.holder} is at work on {credential.name}", hint=hint)
    if any(entry.kind == "tokens" for entry in app.escrow.waiting(record)):
        raise Refused(f"newer tokens of {credential.name} wait in escrow", hint="rotator escrow replay")
    endpoint = calls.found("revocation_endpoint")["revocation_endpoint"]
    if not endpoint:
        hint = "set revocation_endpoint, or issuer; or end the grant in the provider's own pages"
        raise LoginFailed(f"{credential.provider.name} has no revocation_endpoint", hint=hint)
    audit_digest = app.seal.audit_digest(token.reveal())
    app.trail.prove_writable()
    parameters = {"token": token.reveal(), "token_type_hint": "refresh_token"}
    reply = calls.post(endpoint, parameters, token)
    if reply.status != OK:
        what = f"it was not revoked, and has to be taken for alive: {told(reply, read_json(reply))}"
        raise LoginFailed(what, hint=f"try again: rotator revoke {credential.name}")
    digest, rotation_id = digest_of(token), app.surroundings.ids.new_id()

    def revoked(record: StateRecord) -> StateRecord:
        now = app.surroundings.clock.now()
        latched = latch(record, digest, rotation_id=rotation_id, now=now, error=REVOKED)
        return on_claim(latched, digest, reported=True)  # whoever revoked it knows

    ledger.change(revoked)
    app.trail.record("credential.resolved", credential, reason="revoke", refresh_token_digest=audit_digest)
