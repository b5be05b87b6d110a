"""Looking at many credentials in the background."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rotator.errors import StoreCorrupt, StoreDenied, StoreUnavailable
from rotator.ledger import secret_key
from rotator.looks import Looks, Sight, Swept, Unseen
from rotator.records import Claim, StateRecord
from tests.app.stage import WAIT_S, poll

if TYPE_CHECKING:
    from rotator.wiring import App
    from tests.app.stage import Stage

NAMES = ("alpha", "beta", "gamma")


class Counted:
    """A store that counts what it is asked for."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.values = 0
        self.listings = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def read(self, secret: str) -> Any:
        self.values += 1
        return self._real.read(secret)

    def read_many(self, secrets: Any) -> Any:
        self.values += len(secrets)
        return self._real.read_many(secrets)

    def versions(self, secrets: Any) -> Any:
        self.listings += 1
        return self._real.versions(secrets)


def counted(app: App) -> Counted:
    stores: Any = app.stores
    stores["main"]
    made = stores._made["main"] = Counted(stores._made["main"])
    return made


@pytest.fixture
def rotated(stage: Stage) -> Stage:
    """A fleet that rotator has written."""
    stage.ready(*NAMES)
    assert stage.cli("once", "--force").code == 0
    return stage


def looked(app: App, *, listed: bool = True) -> dict[str, Any]:
    looks = Looks(app.observer, lambda: None)
    looks.look(app.credentials, listed=listed)
    found: list[Any] = []

    def all_told() -> bool:
        found.extend(looks.found())
        return not looks.waiting

    poll(all_told, "all were looked at")
    looks.stop()
    return {one.credential.name: one for one in found}


def test_a_restart_reads_no_value_of_what_rotator_wrote_itself(rotated: Stage) -> None:
    """The listing's version is the one of the last rotation, so the record tells all that a plan needs."""
    app = rotated.app("daemon")
    store = counted(app)
    sights = looked(app)
    assert (store.values, store.listings) == (0, 1)
    read = looked(rotated.app("daemon"), listed=False)
    for name in NAMES:
        planned, known = sights[name], read[name]
        assert isinstance(planned, Sight)
        assert (planned.version, planned.lane, planned.newest, planned.spent) == (
            known.version, known.lane, known.newest, known.spent,
        )  # fmt: skip
        assert abs(planned.look_at - known.look_at) < timedelta(seconds=5)
        assert planned.deadline == known.deadline


def test_a_restart_reads_what_a_person_put(rotated: Stage) -> None:
    """Of three secrets one was edited: its value is read, and no other."""
    rotated.write("beta", note="mine")
    app = rotated.app("daemon")
    store = counted(app)
    sights = looked(app)
    assert store.values == 1
    assert sights["beta"].version == rotated.version("beta")


def test_a_restart_reads_what_something_is_noted_about(rotated: Stage) -> None:
    """An open claim is looked at with the document: it may be a doubt, or a successor may wait."""
    digest = rotated.digest("beta")

    def claimed(record: StateRecord) -> StateRecord:
        return replace(record, presented=(*record.presented, Claim(digest, "r", rotated.clock.now())))

    rotated.change_record(claimed, "beta")
    app = rotated.app("daemon")
    store = counted(app)
    looked(app)
    assert store.values == 1


def test_where_listing_is_not_allowed_everything_is_read(rotated: Stage) -> None:
    """A policy without the right to list costs calls, and nothing else."""
    app = rotated.app("daemon")
    store: Any = counted(app)

    def denied(secrets: Any) -> Any:
        raise StoreDenied("store main: not allowed to list")

    store.versions = denied
    sights = looked(app)
    assert {type(one) for one in sights.values()} == {Sight}
    assert store.values == len(NAMES)


def test_what_cannot_be_read_is_told_with_the_reason(rotated: Stage) -> None:
    """Each credential is told once, whatever goes wrong."""
    app = rotated.app("daemon")
    store: Any = counted(app)
    store.versions = lambda secrets: {}
    store.read_many = lambda secrets: dict.fromkeys(secrets, StoreDenied("store main: not allowed"))
    sights = looked(app)
    assert set(sights) == set(NAMES)
    assert all(isinstance(one, Unseen) and "not allowed" in str(one.error) for one in sights.values())


def test_a_defect_in_a_store_is_told_and_ends_nothing(rotated: Stage) -> None:
    """What a plug-in raises becomes each credential's error."""
    app = rotated.app("daemon")
    store: Any = counted(app)

    def broken(secrets: Any) -> Any:
        raise RuntimeError("canary")

    store.versions = broken
    sights = looked(app)
    assert all(isinstance(one, Unseen) and "RuntimeError" in str(one.error) for one in sights.values())
    looks = Looks(app.observer, lambda: None)
    looks.sweep("main", lambda: [(one, "1") for one in app.credentials])
    [swept] = poll(looks.found, "the sweep")
    assert isinstance(swept, Swept)
    assert "RuntimeError" in str(swept.error)
    looks.stop()


def test_a_store_that_hangs_holds_up_no_other(stage: Stage) -> None:
    """While one store does not answer, the credentials of the other are looked at."""
    stage.config["stores"]["other"] = {"type": "local", "path": str(stage.folder / "other.db")}
    stage.credential("alpha", store="main")
    stage.credential("beta", store="other")
    stage.seed("alpha")
    stage.seed("beta")
    app = stage.app("daemon")
    store: Any = counted(app)
    go = threading.Event()

    def hangs(secrets: Any) -> Any:
        go.wait(WAIT_S)
        return dict.fromkeys(secrets, StoreUnavailable("store main: no answer"))

    store.read_many = hangs
    looks = Looks(app.observer, lambda: None)
    looks.look(app.credentials)
    [seen] = poll(looks.found, "a look")
    assert seen.credential.name == "beta"
    assert looks.waiting == 1
    go.set()
    [late] = poll(looks.found, "the other look")
    assert isinstance(late, Sight | Unseen)
    looks.stop()


def test_one_damaged_record_hides_no_other_credential(rotated: Stage) -> None:
    """The records of many are read with one call; only the credential of the damaged one cannot be seen."""
    app = rotated.app("daemon")
    key = secret_key(app.stores["main"].read("beta").identity)
    body, revision = app.state.read(key)
    assert body
    app.state.compare_and_swap(key, {**body, "presented": "canary"}, expected=revision)
    sights = looked(app)
    assert {name for name, one in sights.items() if isinstance(one, Sight)} == {"alpha", "gamma"}
    assert isinstance(sights["beta"], Unseen)
    assert isinstance(sights["beta"].error, StoreCorrupt)


def test_a_discovery_that_breaks_off_is_told(rotated: Stage) -> None:
    """Whoever asked waits for the answer before asking again."""
    app = rotated.app("daemon")
    rule: Any = SimpleNamespace(name="rule", store="main")

    def broken() -> Any:
        raise RuntimeError("canary")

    looks = Looks(app.observer, lambda: None)
    looks.discover(rule, broken)
    [swept] = poll(looks.found, "the answer")
    assert isinstance(swept, Swept)
    assert swept.name == "rule"
    assert "RuntimeError" in str(swept.error)
    looks.stop()
