"""`writes: fenced` under the real write-back: other writers and faults before every call, and no edit is lost."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ReadTimeoutError
from fenced_parts import PUT, Crash, Fenced, refused
from mended_moto import mended_url

from rotator.errors import StoreError
from rotator.received import Received, WriteBack
from rotator.records import digest_of
from rotator.redact import Secret
from rotator.retrying import Retrier
from rotator.testing.memory import SeededRandomness
from tests.core.parts import NOW, fields, token_set
from tests.rotation.world import credential

if TYPE_CHECKING:
    from collections.abc import Callable

    import boto3

__all__ = ["mended_url"]

CALLS = 8
"""Before how many of a run's calls others act, the first one included; an undisturbed write makes three, and each
scenario is run once more without its fault."""

OTHERS = (
    ("edit", "edit"),
    ("edit", "staged_edit"),
    ("staged_edit", "edit"),
    ("edit", "roll_back"),
    ("roll_back", "edit"),
)
FAULTS = ("lost", "never sent", "sent late", "throttled", "crash before", "crash after")


@dataclass
class Scenario:
    """One write-back of new tokens, then what would follow: another run, a late put, and the next rotation."""

    fenced: Fenced
    edits: dict[int, list[Callable[[], None]]]
    faults: dict[int, str] = field(default_factory=dict)
    count: int = 0
    made: int = 0
    excused: set[str] = field(default_factory=set)
    late: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        events = self.fenced.client.meta.events
        events.register_first("before-call.secrets-manager", self._before)
        events.register_first("before-parse.secrets-manager", self._after)

    # --------------------------------------------------------------------------------------------- the others

    def edit(self) -> None:
        """Read, add a field, put: as a careful program without compare-and-swap."""
        self.made += 1
        self.fenced.edit(json.dumps(self._content() | {f"edit-{self.made}": True}))

    def staged_edit(self) -> None:
        """The same by a staged version and a move."""
        self.made += 1
        before, other = self._holder(), self.fenced.other
        content = json.dumps(self._content() | {f"edit-{self.made}": True})
        new = other.put_secret_value(SecretId=self.fenced.secret, SecretString=content, VersionStages=["THEIRS"])
        other.update_secret_version_stage(
            SecretId=self.fenced.secret,
            VersionStage="AWSCURRENT",
            RemoveFromVersionId=before,
            MoveToVersionId=new["VersionId"],
        )

    def roll_back(self) -> None:
        """Put the previous version back; what is no longer there then is that person's wish."""
        before = self._edits(self._content())
        self.fenced.roll_back()
        self.excused |= before - self._edits(self._content())

    # --------------------------------------------------------------------------------------------- the events

    def _before(self, model: Any, **_: object) -> None:
        at, self.count = self.count, self.count + 1
        for act in self.edits.pop(at, ()):
            act()
        fault = self.faults.get(at)
        if fault == "crash before":
            raise Crash
        if fault == "throttled":
            raise refused(model.name, "ThrottlingException")
        if fault in {"never sent", "sent late"}:
            if fault == "sent late" and model.name == PUT:
                self.late.append(self.fenced.parameters[PUT])
            raise ReadTimeoutError(endpoint_url="http://moto")

    def _after(self, **_: object) -> None:
        fault = self.faults.get(self.count - 1)
        if fault == "crash after":
            raise Crash
        if fault == "lost":
            raise ReadTimeoutError(endpoint_url="http://moto")

    # ---------------------------------------------------------------------------------------------- the course

    def run(self) -> None:
        """Go through it, and check at the end that every edit can be found and the newest tokens are current."""
        self._rotate(1)
        self.faults.clear()
        self.edits.clear()
        self._rotate(1)
        while self.late:
            self.fenced.arrive_late(self.late.pop())
        self._rotate(2)
        self._rotate(2)
        content = self._content()
        assert content["refresh_token"] == "rt-2"
        kept = self._edits(content) | self.excused
        for label in itertools.chain.from_iterable(self.fenced.labels().values()):
            if label.startswith("rotator-displaced"):
                kept |= self._edits(json.loads(self.fenced.content(label)))
        assert kept >= {f"edit-{number + 1}" for number in range(self.made)}

    def _rotate(self, number: int) -> None:
        clock, randomness = self.fenced.clock, SeededRandomness(number)
        write_back = WriteBack(clock, randomness, Retrier(clock, randomness))
        parent = digest_of(Secret(f"rt-{number - 1}"))
        tokens = token_set(access_token=Secret(f"at-{number}"), refresh_token=Secret(f"rt-{number}"))
        spent = frozenset(digest_of(Secret(f"rt-{earlier}")) for earlier in range(number))
        received = Received(tokens, NOW, parent, f"{number:08d}-0000-4000-8000-000000000000")
        payroll = replace(credential(), secret=self.fenced.secret)
        try:
            base = self.fenced.store.read(self.fenced.secret)
            write_back.run(self.fenced.store, payroll, base, received, spent)
        except (Crash, StoreError):
            assert self.faults, "without a fault a write-back succeeds"

    def _content(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.fenced.content())
        return content

    def _holder(self) -> str:
        return str(
            self.fenced.other.get_secret_value(SecretId=self.fenced.secret, VersionStage="AWSCURRENT")["VersionId"]
        )

    @staticmethod
    def _edits(content: dict[str, Any]) -> set[str]:
        return {name for name in content if name.startswith("edit-")}


@pytest.fixture
def play(fake_session: boto3.Session, mended_url: str) -> Callable[..., None]:
    """Return a function that runs one scenario: who acts before which call, and which call goes wrong how."""

    def played(*acts: tuple[int, str], faults: dict[int, str] | None = None) -> None:
        fenced = Fenced(fake_session, mended_url)
        fenced.edit(json.dumps(fields(refresh_token="rt-0")))
        scenario = Scenario(fenced, {}, dict(faults or {}))
        for at, name in acts:
            scenario.edits.setdefault(at, []).append(getattr(scenario, name))
        try:
            scenario.run()
        except AssertionError as error:
            error.add_note(f"acts {acts}, faults {faults}")
            raise
        finally:
            fenced.client.close()
            fenced.other.close()

    return played


# Not two rollbacks: they can end at a version older than the one read, which in any store passes for a stale read.
@pytest.mark.parametrize(("one", "another"), OTHERS)
def test_no_two_other_writers_lose_an_edit(play: Callable[..., None], one: str, another: str) -> None:
    """Before whichever calls two others write, their edits are in the end in the document or under a label."""
    for first, second in itertools.combinations_with_replacement(range(1, CALLS), 2):
        play((first, one), (second, another))


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_loses_an_edit(play: Callable[..., None], fault: str) -> None:
    """Whichever call goes wrong, and before whichever call somebody writes, nothing is lost."""
    for act, wrong in itertools.product(range(1, CALLS), repeat=2):
        play((act, "edit"), faults={wrong: fault})
