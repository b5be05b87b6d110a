"""How much of a property is tried: little and always the same in CI, much and anew where ROTATOR_FUZZ_EXAMPLES says so.

The machines of tests/stateful have a variable of their own: each of their examples costs a thousand of these.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

VARIABLE = "ROTATOR_FUZZ_EXAMPLES"
"""How many examples each test tries at least; set, the seeds are random. A failure prints how to run it again."""

RAISED = int(os.environ.get(VARIABLE, "0"))


def tried(examples: int, *, cost: int = 1) -> settings:
    """Return the settings of a property: `@tried(200)`.

    Args:
        examples: How many CI tries.
        cost: How many examples of an ordinary test one of these costs; the raised number is divided by it.
    """
    return settings(
        max_examples=max(examples, RAISED // cost),
        derandomize=not RAISED,
        database=None,
        print_blob=True,
        deadline=None,  # a busy machine is no finding; tests/fuzz/test_blow_up.py measures processor time
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
    )
