"""Fan-out on AWS: one function finds what is due and sends it to SQS, others take it from there in batches.

The dispatcher compares every credential with every other one, for two that hold the same grant; a worker sees a few of
them only. So a message says which version of the document was compared, and a worker acts on no other. A message that
comes twice, late or out of order finds the claim, or nothing that is due (`rotator.records`).
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rotator import outcomes, policy
from rotator.aws_errors import AWS_ERRORS, Subject, mapped
from rotator.errors import RotatorError, StoreUnavailable, StoreWriteInDoubt
from rotator.grants import GrantIndex
from rotator.passes import cut

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rotator.discovery import Rule
    from rotator.model import Credential
    from rotator.observe import Observed
    from rotator.wiring import App

TOGETHER = 2_000
"""So many credentials are looked at, and forgotten but for what is due, at a time."""

MESSAGES = 10
"""What SendMessageBatch takes (API reference). A message is far below the size that ten may have together."""

FAR = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Order:
    """What a message asks for.

    Args:
        version: Of the document that was compared with all others; None where the message is a name alone.
        provider: The provider's name; None likewise.
    """

    credential: str
    version: str | None = None
    provider: str | None = None

    @classmethod
    def read(cls, body: str) -> Order:
        """Read a message: a credential's name, or what `text` made.

        Raises:
            ValueError: It is neither.
        """
        body = body.strip()
        if not body.startswith("{"):
            return cls(body)
        with contextlib.suppress(RecursionError):
            match json.loads(body):
                case {"credential": str(credential), "version": str(version), "provider": str(provider)}:
                    return cls(credential, version, provider)
        raise ValueError("no order of rotator's")

    def text(self) -> str:
        """Return the message."""
        return json.dumps({"credential": self.credential, "version": self.version, "provider": self.provider})


def orders(
    app: App, credentials: Sequence[Credential], horizon_s: float, *, until: datetime | None = None
) -> tuple[list[Order], list[str], int]:
    """Look at every credential.

    Args:
        until: No further ones are looked at after this instant.

    Returns:
        The orders for what is due, the earliest deadline first; what a person has to see to; and how many were not
        looked at.
    """
    index = GrantIndex()
    left = len(credentials)
    problems: list[str] = []
    due: list[tuple[datetime, Order]] = []
    for several in cut(credentials, TOGETHER):
        if until is not None and app.surroundings.clock.now() > until:
            break
        left -= len(several)
        for credential, observed in app.passes.look(several, horizon_s=horizon_s, index=index):
            if isinstance(observed, RotatorError):
                problems.append(f"{credential.name}: {observed.message}")
                continue
            decision = policy.decide(observed.situation)
            outcome = outcomes.of_decision(credential.name, decision)
            if policy.asks_for_action(decision):
                deadline = decision.deadline if isinstance(decision, policy.Due) else None
                due.append((deadline or FAR, _order(credential, observed)))
            elif isinstance(outcome, outcomes.Failed):
                problems.append(f"{credential.name}: {outcome.error}")
    shared = {order.credential for _, order in due if index.sharer(order.credential)}
    problems += [f"{name}: holds the grant of {index.sharer(name)}" for name in sorted(shared)]
    due.sort(key=lambda one: (one[0], one[1].credential))
    return [order for _, order in due if order.credential not in shared], problems, left


def _order(credential: Credential, observed: Observed) -> Order:
    return Order(credential.name, observed.situation.stored.version, credential.provider.name)


def send(client: Any, queue_url: str, found: Iterable[Order]) -> tuple[int, list[str]]:
    """Send orders to a queue; return how many it took, and the names of the others.

    One that may have been taken although no answer came is sent no second time: the next schedule finds it due.

    Raises:
        StoreError: The queue cannot be used at all.
    """
    taken, left = 0, []
    subject = Subject("the queue of ROTATOR_QUEUE_URL")
    for several in _tens(found):
        entries = [{"Id": str(number), "MessageBody": order.text()} for number, order in enumerate(several)]
        try:
            answer = client.send_message_batch(QueueUrl=queue_url, Entries=entries)
        except AWS_ERRORS as error:
            failure = mapped(error, subject, "write")
            if not isinstance(failure, StoreUnavailable | StoreWriteInDoubt) and not taken:
                raise failure from None
            left += [order.credential for order in several]
            continue
        done = {int(entry["Id"]) for entry in answer.get("Successful", ())}
        taken += len(done)
        left += [order.credential for number, order in enumerate(several) if number not in done]
    return taken, left


def _tens(found: Iterable[Order]) -> Iterator[list[Order]]:
    several: list[Order] = []
    for order in found:
        several.append(order)
        if len(several) == MESSAGES:
            yield several
            several = []
    if several:
        yield several


def discovered(rules: Iterable[Rule], order: Order) -> Credential | None:
    """Return the credential of an order that a rule of discovery found, without asking the store for it."""
    for rule in rules:
        credential = rule.named(order.credential, order.provider)
        if credential is not None:
            return credential
    return None
