"""rotator with a planted bug: `python -m tests.chaos.planted -c CONFIG run` sends without having claimed anything.

It shows that the judge sees what it is there to see. The bug lives here and not behind a switch in rotator: a switch
that turns a promise off has no place in the product.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from rotator.cli.commands import run
from rotator.rotation import Rotation

if TYPE_CHECKING:
    from rotator.attempt import Attempt
    from rotator.policy import Due


def _without_a_claim(self: Rotation, attempt: Attempt, due: Due) -> Attempt:
    until = self.clock.now() + timedelta(seconds=60)
    return replace(attempt, fence=0, lease_until=until, tries=1, claimed_s=self.clock.monotonic_s())


if __name__ == "__main__":
    Rotation._claim = _without_a_claim  # type: ignore[method-assign]
    sys.exit(run(sys.argv[1:]))
