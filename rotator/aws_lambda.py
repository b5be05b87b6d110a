"""The AWS Lambda handler, `rotator.aws_lambda.handler`; what it does with its events stands in `rotator.aws_events`."""

from __future__ import annotations

from rotator.collecting import paused

with paused():  # the first event of a sandbox waits for it
    from rotator.aws_events import handler

__all__ = ["handler"]
