"""The stages of the whole program, who logs in there, and a receiver of messages."""

from tests.app.stage import real_stage, stage
from tests.cli.persons import browser
from tests.notify.receiver import receiver

__all__ = ["browser", "real_stage", "receiver", "stage"]
