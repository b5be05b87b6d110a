"""The machines drive the adapters through the harnesses of the adapters' own tests."""

from __future__ import annotations

import sys
from pathlib import Path

# The tests of the adapters are no package (their modules import each other by bare name), so their folder goes on the
# path. A copy of their harnesses was rejected: a second way around a store is a second way to get it wrong.
sys.path.insert(0, str(Path(__file__).parent.parent / "adapters"))
