"""Cases that broke a promise until the design was changed; each is the shortest that was found."""

from __future__ import annotations

import pytest

from rotator.testing.sim.scenario import Case
from rotator.testing.sim.shrink import failing

CASES = {
    "a pass half a lifetime after another leaves a token that ends before the next one": (
        '{"seed": 2302, "replay": "safe", "rotates": false, "grace_s": 1e9, "hosts": [[0, "once"]], "period_s": 1800.0}'
    ),
    "a second replica reports a death before the first has noted that it did": (
        '{"seed": 403, "replay": "until_successor_used", "rotates": false, "grace_s": 1e9, '
        '"hosts": [[0, "daemon"], [1, "daemon"]], "skew_s": 2.0, "revocations": 1, "generations": 1.0, '
        '"at": {"host1 audit.write 3": "pause"}}'
    ),
    "a claim lands late, when its lease was taken and released by another": (
        '{"seed": 2017, "replay": "until_successor_used", "on_doubt": "operator", "grace_s": 1e9, "escrow": "private", '
        '"hosts": [[0, "daemon"], [1, "daemon"]], "skew_s": 2.0, "generations": 1.0, "at": {"host1 state.write 1": '
        '"crash_before", "host0 provider.refresh 1": "crash_after", "host0 state.write 2": "doubt_late", '
        '"host0 state.write 3": "pause_longest"}}'
    ),
    "a process that was paused while the state was lost writes over the latch noted since": (
        '{"seed": 1385151, "replay": "until_successor_used", "rotates": false, "grace_s": 1e9, "escrow": "shared", '
        '"hosts": [[0, "daemon"], [1, "once"], [2, "once"]], "period_s": 1800.0, "rate": 0.15, "faults": 3, '
        '"edits": 3, "forces": 2, "revocations": 1, "losses": 1, '
        '"outages": [["audit", 4612.757446203936, 4632.757446203936]], "at": {"host1 state.write 1": "doubt_applied", '
        '"host1 audit.write 1": "pause_longest", "host0 audit.write 1": "pause_longest"}}'
    ),
    "two holders that were paused hold two answers to one token, and the earlier one is written": (
        '{"seed": 1459208, "replay": "window", "grace_s": 600.0, "escrow": "shared", '
        '"hosts": [[0, "once"], [1, "once"], [2, "once"]], "skew_s": 2.0, "rate": 0.05, "faults": 8, "forces": 2, '
        '"at": {"host2 store.read 1": "crash_before", "host0 state.read 7": "crash_before", '
        '"host0 escrow.write 1": "pause_longest", "host1 provider.refresh 1": "pause", '
        '"host1 escrow.write 1": "pause_longest"}}'
    ),
    "the records are deleted amid a request that is then rejected": (
        '{"seed": 1821389, "hosts": [[0, "daemon"]], "period_s": 1800.0, "skew_s": 2.0, "rate": 0.02, "faults": 1, '
        '"losses": 1, "outages": [["audit", 4872.64984661703, 4892.64984661703]], '
        '"at": {"host0 provider.refresh 1": "crash_after"}}'
    ),
    "an earlier answer that comes late takes the place of a later one in escrow": (
        '{"seed": 1921192, "replay": "until_successor_used", "grace_s": 1e9, "escrow": "shared", '
        '"hosts": [[0, "once"], [1, "daemon"], [2, "once"]], "rate": 0.02, "faults": 4, "edits": 1, '
        '"generations": 1.0, "at": {"host0 escrow.write 1": "pause_longest", "host1 store.write 1": "pause_longest"}}'
    ),
    "a person logs in amid a second try, and a stale read shows the document of before": (
        '{"seed": 3121475, "replay": "window", "grace_s": 600.0, "escrow": "shared", '
        '"hosts": [[0, "daemon"], [1, "daemon"]], "period_s": 1800.0, "skew_s": 2.0, "rate": 0.05, "faults": 8, '
        '"reseeds": 1, "forces": 2, "at": {"host0 provider.refresh 1": "error_500", '
        '"host0 provider.refresh 3": "crash_before", "host0 store.read 10": "stale"}}'
    ),
    "a holder that was paused writes its answer over the one to a later try": (
        '{"seed": 1018251, "replay": "safe", "grace_s": 1e9, "period_s": 1800.0, "skew_s": 2.0, "rate": 0.05, '
        '"faults": 4, "edits": 3, "generations": 1.0, "at": {"host1 provider.refresh 1": "doubt_lost", '
        '"host0 provider.refresh 1": "crash_before", "host0 state.write 3": "pause_longest"}}'
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_case_that_once_failed_breaks_no_promise(name: str) -> None:
    """What was mended stays so; the orders of the same events that follow from other luck are tried as well."""
    case = Case.read(CASES[name])
    for luck in range(20):
        found = failing(case.replace(luck=luck))
        assert found is None, "\n".join([*found.trace, str(found.violation)])
