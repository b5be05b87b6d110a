"""The audit trail: fills in what all events have in common and sends each to every sink."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rotator.audit.events import AuditEvent
from rotator.errors import AuditUnavailable, RotatorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rotator.audit.events import EventName
    from rotator.model import Actor, Credential
    from rotator.ports import AuditSink, Clock, Ids


class AuditTrail:
    """Records events in all sinks; one that refuses does not keep an event from the others. Thread-safe.

    Args:
        sinks: With none, every event is refused: what is not recorded must not be acted on.
        actor: Who acts, in every event.
    """

    def __init__(self, sinks: Sequence[AuditSink], clock: Clock, ids: Ids, actor: Actor) -> None:
        self._sinks = tuple(sinks)
        self._clock = clock
        self._ids = ids
        self._actor = {"host": actor.host, "pid": actor.pid, "mode": actor.mode, "instance": actor.instance}

    def warm_up(self) -> None:
        """Load what the sinks load on first use, as far as they have it."""
        for sink in self._sinks:
            warm_up = getattr(sink, "warm_up", None)
            if warm_up is not None:
                warm_up()

    def prove_writable(self) -> None:
        """Prove that `record` would work, as far as that can be known without recording.

        Raises:
            AuditUnavailable: It would not.
        """
        for sink in self._sinks:
            sink.prove_writable()

    def close(self) -> None:
        """Close the sinks that can be closed; a later event opens them again."""
        for sink in self._sinks:
            close = getattr(sink, "close", None)
            if close is not None:
                close()

    def record(
        self, event: EventName, credential: Credential, *, rotation_id: str | None = None, **details: Any
    ) -> AuditEvent:
        """Record an event about a credential in every sink, durably.

        Args:
            rotation_id: The rotation it belongs to, if any.
            details: As in `AuditEvent.details`; instants as aware datetimes.

        Raises:
            AuditUnavailable: It may not be durable in one of the sinks, or there is none.
        """
        audited = AuditEvent(
            event=event,
            event_id=self._ids.new_id(),
            ts=self._clock.now(),
            credential=credential.name,
            provider=credential.provider.name,
            store=credential.store,
            actor=self._actor,
            rotation_id=rotation_id,
            details=details,
        )
        problems = [problem for sink in self._sinks if (problem := _tried(sink, audited))]
        if problems or not self._sinks:
            raise AuditUnavailable(
                f"{event} of {credential.name} was not recorded: {'; '.join(problems) or 'there is no audit sink'}",
                hint="nothing is sent to the provider until every sink of `audit` takes events",
            )
        return audited


def _tried(sink: AuditSink, event: AuditEvent) -> str | None:
    """Return None when the sink has the event, else what is wrong."""
    try:
        sink.record(event)
    except RotatorError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - a plug-in's sink must not keep the event from the others
        return f"{type(sink).__name__}: {type(error).__name__}"  # its text is not ours and could hold anything
    return None
