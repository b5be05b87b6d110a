"""The stages of the whole program."""

from tests.app.stage import real_stage, stage

__all__ = ["real_stage", "stage"]
