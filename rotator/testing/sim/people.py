"""What happens to a world from outside: persons who edit and log in, operators, lost disks and records, set clocks."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from rotator.errors import RotatorError
from rotator.operations import Operations
from rotator.testing.sim.scenario import LIFETIME_S
from rotator.testing.sim.schedule import Process

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.testing.sim.world import World

AMID = 0.3
"""The chance that a person who is going to log in does so while a request is out: the moment that hurts most."""

FORCED = 0.25
"""The chance that a run is forced, where any is."""

ASKED_EVERY_S = 300.0
"""How often an operator who has a word to say looks whether it is wanted."""


@dataclass(slots=True)
class People:
    """Everything that no replica does. Each event has a chance of its own, so that one left out moves no other."""

    world: World
    logins_left: int = 0
    forces_left: int = 0
    notes: int = 0
    backup: dict[str, tuple[str, int]] = field(default_factory=dict)

    def start(self) -> None:
        """Plan everything that the scenario asks for."""
        scenario = self.world.scenario
        self.logins_left, self.forces_left = scenario.reseeds, scenario.forces
        self._plan("edit", scenario.edits, self._edit)
        self._plan("login", scenario.reseeds, self._log_in)
        self._plan("word", scenario.words, self._say_a_word)
        self._plan("revocation", scenario.revocations, self._revoke)
        self._plan("disk", scenario.disks, self._lose_a_disk)
        self._plan("loss", scenario.losses, self._lose_the_state)
        self._plan("save", scenario.backups, self._save_the_state)
        self._plan("backup", scenario.backups, self._restore_the_state)
        for host, by_s, at_s in scenario.jumps:
            self.at(at_s, partial(self.world.set_clock, f"host{host}", by_s))

    def at(self, at_s: float, act: Callable[[], None]) -> None:
        """Let something happen at a moment."""
        process = Process("person", act, host="person")
        process.wakes_at_s = at_s
        self.world.scheduler.start(process)

    def _plan(self, what: str, times: int, act: Callable[[], None]) -> None:
        scenario = self.world.scenario
        for number in range(times):
            chance = random.Random(f"{scenario.seed} {scenario.luck} {what} {number}")
            self.at(chance.uniform(0.0, scenario.generations * LIFETIME_S), act)

    def _told(self, what: str) -> None:
        if self.world.traced:
            self.world.tell(what)

    # ------------------------------------------------------------------------------------------- documents

    def _edit(self) -> None:
        """A person, or a reader, changes a field that is not ours."""
        self.notes += 1
        self.world.put({**self.world.document(), "note": self.notes})
        self._told("a person edits")

    def amid_the_exchange(self) -> None:
        """A person who was going to log in may do so just now, while a request is out."""
        if self.logins_left and self.world.chance.random() < AMID:
            self._log_in()

    def _log_in(self) -> None:
        """A person logs in again and puts the answer."""
        if not self.logins_left:
            return
        self.logins_left -= 1
        self.world.put({**self.world.document(), **self.world.provider.login()})
        self._told("a person logs in again")

    def _revoke(self) -> None:
        """The provider's operator ends the newest grant."""
        self.world.provider.families[-1].revoked = True
        self.world.revoked = True
        self._told("the grant is revoked")

    # -------------------------------------------------------------------------------------------- operators

    def forced(self) -> bool:
        """Return whether a one-shot run is forced."""
        if self.forces_left <= 0 or self.world.chance.random() >= FORCED:
            return False
        self.forces_left -= 1
        return True

    def _say_a_word(self) -> None:
        """An operator sees a doubt and allows one more try, as `rotator resolve --replay` does."""
        world = self.world
        operator = world.scheduler.running()
        operator.name, operator.host = "operator", "host0"
        for _ in range(20):
            digest = world.digest_in_doubt()
            if digest:
                world.watch.permitted.add(digest)
                try:
                    Operations(_app_of(world, operator)).resolve(world.credential, "replay")
                except RotatorError as error:
                    self._told(f"the operator is refused: {error}")
                else:
                    self._told("the operator allows one more try")
                    return
            world.scheduler.pause(ASKED_EVERY_S)

    # ----------------------------------------------------------------------------------------- what is lost

    def _lose_a_disk(self) -> None:
        """A host loses its disk; what it ran is gone with it."""
        world = self.world
        host = f"host{world.scenario.hosts[0][0]}"
        self._end(host)
        self._told(f"{host} loses its disk")
        world.empty_disk(host)

    def _lose_the_state(self) -> None:
        """Somebody deletes all state records, under everybody's feet."""
        self._told("the state records are deleted")
        self.world.replace_state({})

    def _save_the_state(self) -> None:
        self.backup = self.world.state.raw_dump()

    def _restore_the_state(self) -> None:
        """An old backup of the state is put back, with all processes stopped, as the README asks."""
        self._end("")
        self._told("an old backup of the state is put back")
        self.world.replace_state(self.backup)

    def _end(self, host: str) -> None:
        """Kill the processes of a host, or all, and wait until they are gone."""
        scheduler = self.world.scheduler
        hit = [one for one in scheduler.processes if one.mode and host in {"", one.host} and not one.over]
        for process in hit:
            scheduler.kill(process)
        while not all(process.over for process in hit):
            scheduler.pause(0.0)


def _app_of(world: World, process: Process) -> Any:
    """Return what `Operations` uses of an application: the same parts as a replica's, on this process's ports."""
    observer, rotation = world.parts(process)
    return SimpleNamespace(
        stores=observer.stores,
        state=observer.state,
        escrow=observer.escrow,
        seal=observer.seal,
        trail=rotation.trail,
        retrier=observer.retrier,
        surroundings=SimpleNamespace(clock=observer.clock, ids=rotation.ids),
    )
