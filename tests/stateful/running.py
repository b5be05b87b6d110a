"""How many worlds a machine walks through, and how two answers are compared.

    ROTATOR_STATEFUL_EXAMPLES=500 pytest tests/stateful --hypothesis-show-statistics

Without the variable a run is short and always the same, so that CI is repeatable; with it the examples are random, and
a failure prints the steps and the blob that reproduce it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from rotator.errors import RotatorError, VersionConflict

if TYPE_CHECKING:
    from collections.abc import Callable

ASKED = os.environ.get("ROTATOR_STATEFUL_EXAMPLES")
THREADS = 4
"""Writers in a race: enough to catch a read-then-write, few enough to race often."""


def profile(examples: int, *, steps: int = 25) -> settings:
    """Return the settings of a machine or property, with this many examples unless the environment asks for more."""
    return settings(
        max_examples=int(ASKED) if ASKED else examples,
        stateful_step_count=steps,
        derandomize=ASKED is None,
        database=None,  # the failing steps are printed; a file of earlier failures makes two runs differ
        deadline=None,  # real servers answer when they answer
        print_blob=True,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )


def walk(machine: Callable[[], RuleBasedStateMachine], examples: int, *, steps: int = 25) -> None:
    """Run a machine against what it was built for."""
    run_state_machine_as_test(machine, settings=profile(examples, steps=steps))


def outcome(call: Callable[[], Any]) -> Any:
    """Return what a call returns, or the error that it raises: two values to compare.

    Any other exception passes: an adapter must not raise it.
    """
    try:
        return call()
    except RotatorError as error:
        return error


def assert_same_error(real: Any, modelled: RotatorError) -> None:
    """Compare by class: the texts are each adapter's own."""
    assert type(real) is type(modelled), f"the model says {modelled!r}, the adapter {real!r}"
    if isinstance(modelled, VersionConflict):
        assert (real.expected is None) == (modelled.expected is None)
