"""`check --live`: proves that a rotation would work, without spending a refresh token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rotator import policy
from rotator.addresses import shown
from rotator.advice import advice
from rotator.config.checks import written_too_often
from rotator.documents import stored_tokens
from rotator.errors import ConfigError, Problem, RotatorError
from rotator.model import Malformed, Misconfigured, RefreshRequest
from rotator.oauth import as_client
from rotator.observe import Observed, client_id_of
from rotator.planning import plan
from rotator.progress import many, unwatched
from rotator.redact import Secret
from rotator.schedule import margin_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rotator.model import Credential, StoredTokens
    from rotator.progress import Progress
    from rotator.wiring import App

REACH_S = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What a live check found. `temporary` ones may be gone by the next run; `warning` ones stop nothing."""

    problem: Problem
    temporary: bool = False
    warning: bool = False


def live_check(app: App, progress: Progress = unwatched) -> list[Finding]:
    """Check the state, the escrow, the seal key, every endpoint, and every credential's secret."""
    findings = [
        *_tried("state", app.state.prove_writable),
        *_tried("seal", lambda: app.seal.audit_digest("")),
        *_tried("escrow", app.escrow.prove_writable),
        *_tried("audit", app.trail.prove_writable),
    ]
    endpoints = {credential.provider.token_endpoint: credential.provider.name for credential in app.credentials}
    for number, (endpoint, name) in enumerate(endpoints.items()):
        progress(f"reaching {many(len(endpoints), 'endpoint')}", number, len(endpoints))
        trouble = app.endpoint.reachable(endpoint, deadline_s=REACH_S)
        if trouble:
            problem = Problem(f"provider {name}", f"{shown(endpoint)}: {trouble}", "check the address and the network")
            findings.append(Finding(problem, temporary=True))
    seen = app.passes.look(app.credentials, progress=progress)
    for number, (credential, observed) in enumerate(seen):
        progress(f"proving that {many(len(seen), 'credential')} can be written", number, len(seen))
        findings += _of_credential(app, credential, observed)
    quotas = {store: pace.interval_s for store, (_, pace) in app.quotas.items()}
    ahead = plan(seen, app.budget, now=app.surroundings.clock.now(), stores=quotas).forecast
    return findings + [Finding(Problem("plan", told, "rotator plan shows all"), warning=True) for told in advice(ahead)]


def _of_credential(app: App, credential: Credential, observed: Observed | RotatorError) -> Iterator[Finding]:
    where = f"credential {credential.name}"
    if isinstance(observed, RotatorError):
        yield _finding(where, observed, credential.name)
        return
    decision = policy.decide(observed.situation)
    if isinstance(decision, policy.Unusable | policy.Latched):
        yield Finding(Problem(where, decision.reason, decision.action))
    store = app.stores[credential.store]
    yield from _tried(where, lambda: store.prove_writable(credential.secret), credential.name)
    sources = [*_tried(where, credential.client_secret), *_tried(where, credential.private_key)]
    yield from sources
    tokens = stored_tokens(observed.situation.stored, credential.provider)
    if isinstance(tokens, Malformed):
        return
    if client_id_of(credential, observed.situation.stored) is None:
        yield Finding(Problem(where, "no client_id is known", "add client_id to the credential or to the document"))
    elif not sources:
        yield from _tried(where, lambda: _authenticates(credential, observed, tokens))
    wanted = set((credential.scope or "").split())
    if wanted and tokens.scope and not wanted <= set(tokens.scope.split()):
        beyond = ", ".join(sorted(wanted - set(tokens.scope.split())))
        yield Finding(
            Problem(
                where,
                f"scope exceeds the grant: {beyond}",
                f"leave it out, or log in with that scope: {credential.login}",
            )
        )
    if tokens.issued_at and tokens.expires_at:
        lifetime_s = (tokens.expires_at - tokens.issued_at).total_seconds()
        interval_s = lifetime_s - margin_s(lifetime_s, credential)
        if written_too_often(app.settings.stores[credential.store], interval_s):
            what = f"would be written every {interval_s:.0f} s; Secrets Manager keeps about 100 versions a day"
            yield Finding(Problem(where, what, "use longer tokens or another store"), warning=True)


def _authenticates(credential: Credential, observed: Observed, tokens: StoredTokens) -> None:
    """See that what the client authenticates itself with is there.

    Raises:
        ConfigError: It is not; or a source of it fails.
    """
    provider = credential.provider
    request = RefreshRequest(
        provider,
        None,
        client_id_of(credential, observed.situation.stored),
        credential.client_secret() or tokens.client_secret,
    )
    made = as_client(request, Secret("unsigned"), provider.token_endpoint, {})
    if isinstance(made, Misconfigured):
        raise ConfigError([Problem(f"provider {provider.name}", made.error, made.hint)])


def _tried(where: str, prove: Callable[[], object], name: str = "NAME") -> Iterator[Finding]:
    try:
        prove()
    except RotatorError as error:
        yield _finding(where, error, name)


def _finding(where: str, error: RotatorError, name: str = "NAME") -> Finding:
    if isinstance(error, ConfigError):
        first = error.problems[0]
        return Finding(Problem(f"{where}: {first.where}", first.what, first.hint))
    return Finding(Problem(where, error.message, error.hint_for(name)), temporary=error.then != "give_up")
