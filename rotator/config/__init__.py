"""The configuration: a YAML file in, checked settings and resolved credentials out."""

from rotator.config.load import load_config
from rotator.config.model import Settings
from rotator.config.resolve import Resolved, resolve

__all__ = ["Resolved", "Settings", "load_config", "resolve"]
