"""`escrow replay`: write back what waits, without a request to any provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rotator import outcomes, policy
from rotator.errors import RotatorError

if TYPE_CHECKING:
    from rotator.outcomes import Outcome
    from rotator.wiring import App


def replay_all(app: App) -> list[Outcome]:
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
    for credential, observed in app.passes.look(app.credentials):
        if isinstance(observed, RotatorError):
            results.append(outcomes.of_error(credential.name, observed))
        elif observed.situation.stored.identity in wanted:
            wanted.discard(observed.situation.stored.identity)
            decision = policy.decide(observed.situation)
            if isinstance(decision, policy.Recover):
                results.append(app.rotation.run(observed))
            elif isinstance(decision, policy.Held):
                results.append(outcomes.of_decision(credential.name, decision))
    results += [
        outcomes.Failed(
            entry.credential,
            "not_configured",
            f"tokens of {entry.identity} wait in escrow, and no credential names that secret",
            "add the credential to the configuration",
        )
        for entry in entries
        if entry.identity in wanted
    ]
    return results
