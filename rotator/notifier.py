"""The port `Notifier`. Its docstring is the contract; `rotator.testing.contracts` holds every notifier to it.

Apart from the other ports (`rotator.ports`), for no promise of rotator's depends on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rotator.notices import Notice


class Notifier(Protocol):
    """Tells somebody outside. No rotation waits for it, and none fails with it. Safe to use from many threads."""

    def deliver(self, notice: Notice, *, deadline_s: float) -> None:
        """Hand a notice over, once; who takes it twice, for an answer was lost, knows it by its id.

        Nothing of it may be put into errors, and no secret of the notifier's own: its address may be one. Ends within
        `deadline_s` seconds, name resolution excepted, or within ten where it has bounds of its own; who calls goes on
        without it a little later.

        Raises:
            NotDelivered: It was not taken, or not surely; with what the receiver says about when to come again.
        """
        ...

    def close(self) -> None:
        """End what is under way, as far as that can be done at once. Called in any thread, perhaps twice.

        A later `deliver` is NotDelivered. Raises nothing.
        """
        ...
