"""`escrow replay`: write back what waits, without a request to any provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rotator import outcomes, policy
from rotator.documents import standing_digests
from rotator.errors import RotatorError
from rotator.progress import many, unwatched

if TYPE_CHECKING:
    from rotator.model import Credential
    from rotator.observe import Observed
    from rotator.outcomes import Outcome
    from rotator.progress import Progress
    from rotator.wiring import App


def _of_another_grant(credential: Credential, observed: Observed) -> bool:
    situation = observed.situation
    standing = standing_digests(situation.stored.identity)
    return any((one.entry.parent in standing) != credential.provider.stands for one in situation.waiting)


def replay_all(app: App, progress: Progress = unwatched) -> list[Outcome]:
    """Write back every entry whose credential is configured and whose document still needs it.

    Returns:
        One outcome per entry or credential; entries of secrets that no credential names ask for a person.

    Raises:
        EscrowUnavailable: The escrow cannot be read.
        EscrowCorrupt: An entry cannot be decoded.
    """
    entries = [entry for entry in app.escrow.all_waiting() if entry.kind == "tokens"]
    wanted = {entry.identity for entry in entries}
    if not wanted:
        return []
    results: list[Outcome] = []
    unread: dict[str, RotatorError] = {}
    count = len(wanted)
    for credential, observed in app.passes.look(app.credentials, progress=progress):
        progress(f"writing {many(count, 'token set')} back", len(results), count)
        if isinstance(observed, RotatorError):
            unread[credential.name] = observed
        elif observed.situation.stored.identity in wanted:
            wanted.discard(observed.situation.stored.identity)
            decision = policy.decide(observed.situation)
            if isinstance(decision, policy.Recover):
                results.append(app.rotation.run(observed))
            elif isinstance(decision, policy.Held | policy.Unusable):
                results.append(outcomes.of_decision(credential.name, decision))
            elif _of_another_grant(credential, observed):
                what = "what waits in escrow came by another `grant` than the credential has now"
                action = f"set `grant` of {credential.name} back, then: rotator escrow replay; it holds nothing else up"
                results.append(outcomes.Failed(credential.name, "other_grant", what, action))
    # A secret that could not be read is known by the name that it was rotated under.
    left = [entry for entry in entries if entry.identity in wanted]
    named = {entry.credential for entry in left}
    results += [outcomes.of_error(name, error) for name, error in unread.items() if name in named]
    results += [
        outcomes.Failed(
            entry.credential,
            "not_configured",
            f"tokens of {entry.identity} wait in escrow, and no credential names that secret",
            "add the credential to the configuration, then: rotator escrow replay",
        )
        for entry in left
        if entry.credential not in unread
    ]
    return results
