"""The paths of the procedure, each as a world that takes it; a crash is then tried at every call of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rotator.testing.sim.scenario import Case, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rotator.testing.sim.faults import Kind

_GRACEFUL = {"replay": "until_successor_used", "grace_s": 1e9}
_ONE = ((0, "daemon"),)
_TWO = {**_GRACEFUL, "hosts": ((0, "daemon"), (1, "daemon"))}


def _path(at: dict[str, Kind] | None = None, **scenario: Any) -> Case:
    """Return a world of a daemon and one-shot runs; a fault is at the given call of either of them."""
    hosts = [f"host{number}" for number in (0, 1)]
    faults = {
        call if call.startswith("host") else f"{host} {call}": kind
        for call, kind in (at or {}).items()
        for host in hosts
    }
    return Case(Scenario(seed=5, generations=1.0), faults).replace(**scenario)


PATHS: dict[str, Case] = {
    "a rotation": _path(),
    "a rotation with a shared escrow beside the state": _path(escrow="shared"),
    "a rotation with private escrows": _path(escrow="private"),
    "a provider that keeps the refresh token": _path(rotates=False),
    "a forced rotation": _path(forces=2),
    "a reply is lost, and tried a last time": _path({"provider.refresh 1": "doubt_applied"}),
    "a request is lost, and tried a last time": _path({"host0 provider.refresh 1": "doubt_lost"}, hosts=_ONE),
    "a reply is lost, and tried again until its successor is used": _path(
        {"provider.refresh 1": "doubt_applied"}, **_GRACEFUL
    ),
    "a reply is lost, and tried again within the window": _path(
        {"provider.refresh 1": "error_500_after"}, replay="window", grace_s=600.0
    ),
    "a reply is lost where replaying is safe": _path(
        {"provider.refresh 1": "doubt_applied"}, replay="safe", grace_s=1e9
    ),
    "a request is lost, and an operator allows one more": _path(
        {"host0 provider.refresh 1": "doubt_lost"}, hosts=_ONE, on_doubt="operator", words=1
    ),
    "a reply is lost, and private escrows are waited for": _path(
        {"provider.refresh 1": "doubt_applied"}, escrow="private", **_GRACEFUL
    ),
    "a refusal with a pause": _path({"provider.refresh 1": "limited_429"}),
    "a provider that is out of order": _path({"provider.refresh 1": "refused_503"}),
    "a client that is refused": _path({"provider.refresh 1": "denied_401"}),
    "a grant that dies": _path(revocations=1),
    "a person edits": _path(edits=3),
    "a person logs in amid an exchange": _path(reseeds=3),
    "the event before the request is refused": _path({"audit.write 1": "fail"}),
    "the claim's answer is lost": _path({"state.write 1": "doubt_applied"}),
    "the claim lands late": _path({"state.write 1": "doubt_late"}),
    "the escrow does not take the tokens": _path({"escrow.write 1": "fail"}, escrow="shared"),
    "the record does not take the tokens": _path({"state.write 2": "doubt_lost"}),
    "the store's answer is lost": _path({"store.write 1": "doubt_applied"}),
    "the store's write lands late": _path({"store.write 1": "doubt_late"}),
    "the store refuses, and the tokens wait in escrow": _path(
        {f"store.write {number}": "fail" for number in range(1, 5)}
    ),
    "a successor is recovered": _path({"store.write 1": "crash_before"}),
    "a successor that is written is settled": _path({"store.write 1": "crash_after"}),
    "the record is not settled": _path({"state.write 3": "doubt_lost"}),
    "an answer comes after another try": _path(
        {"host0 state.write 2": "pause_longest", "host1 store.write 1": "pause_longest"}, **_TWO
    ),
    "an answer comes after another try that failed": _path(
        {"host0 state.write 2": "pause_longest", "host1 provider.refresh 1": "doubt_applied"}, **_TWO
    ),
    "a disk is lost": _path({"provider.refresh 1": "doubt_applied"}, escrow="private", disks=1, **_GRACEFUL),
}
"""By name. The seed is one in which the path is taken, which a test checks."""


def crashes(path: Case, calls: dict[tuple[str, str], int]) -> Iterator[Case]:
    """Yield the path with a crash at each of its calls, before and after its effect."""
    for (host, call), times in calls.items():
        for number in range(1, times + 1):
            at = f"{host} {call} {number}"
            if at not in (path.faults or {}):
                yield Case(path.scenario, {**(path.faults or {}), at: "crash_before"})
                yield Case(path.scenario, {**(path.faults or {}), at: "crash_after"})
