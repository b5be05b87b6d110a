"""docs/reference/plug-ins.md: the entry-point groups, and the ports with their contracts."""

from __future__ import annotations

import inspect
from typing import get_args

from rotator import plugins, ports
from rotator.bulk import BulkReads
from tests.docs.reference.markdown import code, in_one_line, summary, table

HEAD = """# Plug-ins and ports

A plug-in is an entry point of an installed distribution. Its name is the `type`, or the `profile`, that the
configuration gives; a built-in name goes before it. How to write one: [extending.md](../extending.md).
"""

CALLED = {
    "stores": "`(name, options, clock)`, and returns a `SecretStore`",
    "state": "`(options, clock)`, and returns a `StateStore`",
    "notifiers": "`(name, options, clock)`, and returns a `Notifier`",
    "profiles": "not called: a mapping with a profile's keys",
}


def page() -> str:
    """Return the page."""
    groups = [(code(f"rotator.{family}"), CALLED.get(family, "")) for family in get_args(plugins.Family)]
    parts = [HEAD, table(("group", "what it leads to is called with"), groups), "## Ports"]
    parts.append(in_one_line(summary(ports).split("\n\n", 1)[1]))
    for port in _ports():
        parts += [f"### `{port.__name__}`", summary(port), table(("member", "does"), _members(port))]
    return "\n\n".join(parts)


def _ports() -> list[type]:
    found = [one for one in vars(ports).values() if inspect.isclass(one) and getattr(one, "_is_protocol", False)]
    return [one for one in found if one.__module__ == "rotator.ports" or one is BulkReads]


def _members(port: type) -> list[tuple[str, str]]:
    return [
        (code(name), summary(member.fget if isinstance(member, property) else member))
        for name, member in vars(port).items()
        if not name.startswith("_") and (isinstance(member, property) or inspect.isfunction(member))
    ]
