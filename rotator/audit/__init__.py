"""Audit events: what they hold (`events`), and where they go (`trail`, `sinks`)."""
