"""The stages of the whole program, and who logs in there."""

from tests.app.stage import real_stage, stage
from tests.cli.persons import browser

__all__ = ["browser", "real_stage", "stage"]
