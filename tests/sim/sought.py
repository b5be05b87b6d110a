"""Within how many worlds each planted bug is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from rotator.testing.sim.scenario import Case, Scenario
from rotator.testing.sim.world import World
from tests.sim import planted_bugs as bugs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rotator.testing.sim.faults import Kind

Bug = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True, slots=True)
class Within:
    """Within how many worlds a bug is found, and what those worlds have in common where chance rarely brings it up.

    Args:
        at: Faults by call, in the place of those that chance would bring.
    """

    worlds: int
    scenario: Mapping[str, Any] = field(default_factory=dict)
    at: dict[str, Kind] | None = None

    def world(self, seed: int) -> World:
        """Return the world of a seed."""
        return World(Case(Scenario.drawn(seed), self.at).replace(**self.scenario))


_TWO = {
    "replay": "until_successor_used", "grace_s": 1e9, "rotates": True, "hosts": ((0, "daemon"), (1, "daemon")),
    "jumps": (), "reseeds": 0, "revocations": 0, "losses": 0, "backups": 0, "disks": 0, "outages": (),
}  # fmt: skip
"""Two daemons, and a provider that allows another try as long as the successor is unused."""

_PACED = {"hosts": ((0, "once"), (1, "once"), (2, "once")), "period_s": 900.0, "forces": 40, "faults": 12, "rate": 0.15}

PLANTED: dict[Bug, Within] = {
    bugs.forget_on_settling: Within(2000),
    bugs.give_back_after_a_lost_reply: Within(200),
    bugs.claim_without_looking: Within(200),
    bugs.claim_without_compare_and_swap: Within(200),
    bugs.believe_a_lost_write: Within(2000),
    bugs.present_a_settled_token: Within(2000),
    bugs.take_the_last_try_again: Within(500),
    bugs.third_try: Within(500),
    bugs.work_without_leases: Within(500),
    bugs.restart_the_fencing_number: Within(20),
    bugs.ignore_the_fencing_number: Within(
        50, _TWO, {"host0 provider.refresh 1": "pause_longest", "host1 provider.refresh 1": "pause_longest"}
    ),
    bugs.send_without_audit: Within(500),
    bugs.send_after_the_lease: Within(1000),
    bugs.treat_500_as_never_processed: Within(1000),
    bugs.retry_a_doubt_at_once: Within(500),
    bugs.stretch_the_window: Within(2000),
    bugs.forget_the_private_escrow: Within(
        50,
        {**_TWO, "escrow": "private"},
        {"host0 store.write 1": "crash_before", "host1 store.write 1": "crash_before"},
    ),
    bugs.keep_the_cooldown_to_oneself: Within(1000, _PACED),
    bugs.ignore_the_cooldown: Within(500, _PACED),
    bugs.latch_nothing: Within(200),
    bugs.force_past_the_latch: Within(1000),
    bugs.report_every_time: Within(200),
    bugs.no_escrow: Within(20),
    bugs.escrow_after_the_write: Within(20),
    bugs.ignore_the_escrow: Within(500),
    bugs.clear_the_escrow_first: Within(20),
    bugs.write_although_overtaken: Within(
        50,
        {**_TWO, "escrow": "state"},
        {"host0 state.write 2": "pause_longest", "host1 store.write 1": "pause_longest"},
    ),
    bugs.drop_an_overtaken_answer: Within(
        50,
        {**_TWO, "escrow": "state"},
        {"host0 state.write 2": "pause_longest", "host1 provider.refresh 1": "doubt_applied"},
    ),
    bugs.give_way_to_any_writer: Within(200),
    bugs.drop_unknown_fields: Within(20),
    bugs.lose_the_old_refresh_token: Within(200),
    bugs.overwrite_a_person: Within(500),
    bugs.delete_on_failure: Within(200),
    bugs.tell_the_token: Within(50),
    bugs.pause_too_long: Within(500),
    bugs.start_at_the_end: Within(50),
}
