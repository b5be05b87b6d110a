"""Rotator and the floor do the same work, and the benchmark fails by itself when a round shows other calls."""

from __future__ import annotations

import pytest

from tests.benchmarks.alone import alone
from tests.benchmarks.rotations import FLOOR, OURS, alike
from tests.benchmarks.suite import CLAIMS

EXPECTED = {
    "aws": {
        "BatchGetItem": 0.05,
        "BatchGetSecretValue": 0.05,
        "GetItem": 2.05,
        "GetSecretValue": 1.0,
        "PutItem": 3.0,
        "PutSecretValue": 1.0,
        "UpdateSecretVersionStage": 1.0,
        "flush": 2.0,
        "refresh": 1.0,
    },
    "vault": {"flush": 2.0, "read": 3.0, "refresh": 1.0, "write": 4.0},
    "local": {"flush": 7.0, "refresh": 1.0},
}
"""Of one rotation in a pass over twenty: a look at all of them, then what a rotation costs by itself."""


@pytest.mark.parametrize("backend", EXPECTED)
def test_both_sides_make_the_calls_of_a_rotation(backend: str) -> None:
    """On stubs, with full records: the calls that a rotation is documented to cost, and the floor has no others."""
    found = alone("rotations", backend=backend, batch=20, rounds=2, workers=2, claims=CLAIMS[-1])
    assert alike(found["sides"][OURS]["calls"], EXPECTED[backend])
    unaudited = EXPECTED[backend]["flush"] - 2
    assert found["sides"][FLOOR]["calls"].get("flush", 0.0) == unaudited
    assert found["cpu_ratio"]["low"] > 0
