"""Notifiers: who is told of cases and rotations (`rotator.notifier.Notifier`)."""
