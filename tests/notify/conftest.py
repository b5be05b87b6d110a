"""The stages of the whole program, and a receiver of messages."""

from tests.app.stage import real_stage, stage
from tests.notify.receiver import receiver

__all__ = ["real_stage", "receiver", "stage"]
