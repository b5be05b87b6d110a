"""From a name in the configuration to the code behind it: built-in tables first, entry points only on a miss.

A scan of the installed entry points costs some 50 ms of a cold start, so a configuration that names built-in
adapters never pays for it. A plug-in that is named and fails to load stops the start: falling back to another one in
silence would put credentials where nobody looks for them.
"""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING, Any, Literal

from rotator.errors import PluginError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from importlib.metadata import EntryPoint

MOST_NAMED = 40
"""How many known names a hint lists: all keys of a section, and not a fleet, which pushes the error off the screen."""

Family = Literal["stores", "state", "profiles", "notifiers"]
"""The families of plug-ins; the entry-point group of a family is `rotator.<family>`."""


def find(family: Family, name: str, built_in: Mapping[str, str]) -> Any:
    """Return the object that `name` stands for.

    Args:
        family: Where to look.
        name: The `type` or `profile` that the configuration names.
        built_in: Name to `module:attribute`; imported on use, so that no SDK is loaded that is not needed.

    Raises:
        PluginError: Nobody offers that name, or what offers it cannot be loaded.
    """
    target = built_in.get(name)
    if target is None:
        return load_plug_in(family, name, built_in)
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        hint = f"install what it needs: module {error.name!r} is missing" if error.name else ""
        raise PluginError([Problem(_where(family, name), "cannot be loaded", hint)]) from error


def load_plug_in(family: Family, name: str, known: Iterable[str]) -> Any:
    """Return what the entry point `name` of the family's group leads to.

    Args:
        family: Where to look.
        name: The name of the entry point.
        known: The built-in names, for the message.

    Raises:
        PluginError: No such entry point, or it fails to load.
    """
    entry_points = _entry_points(family)
    if name not in entry_points:
        names = sorted({*known, *entry_points})
        what = f"there is no {_SINGULAR[family]} of this name"
        close = f"{suggestion(name, names)} " if difflib.get_close_matches(name, names) else ""
        raise PluginError([Problem(_where(family, name), what, f"{close}known: {', '.join(names)}")])
    entry_point = entry_points[name]
    try:
        return entry_point.load()
    except Exception as error:  # a plug-in may fail in any way, and each must stop the start
        what = f"the plug-in {entry_point.value!r} cannot be loaded: {type(error).__name__}: {error}"
        raise PluginError([Problem(_where(family, name), what, "mend or uninstall the plug-in")]) from error


def offered(family: Family) -> tuple[str, ...]:
    """Return the names of the installed plug-ins of a family, sorted; scans the entry points."""
    return tuple(sorted(_entry_points(family)))


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return a hint for a name that nobody knows: the one that was probably meant, else all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return f"known: {', '.join(names[:MOST_NAMED])}{more}" if names else "none is defined"


_SINGULAR: dict[Family, str] = {
    "stores": "store type",
    "state": "state type",
    "profiles": "profile",
    "notifiers": "notifier type",
}


def _where(family: Family, name: str) -> str:
    return f"{_SINGULAR[family]} {name!r}"


def _entry_points(family: Family) -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # noqa: PLC0415 - heavy, and needed on a miss only

    return {entry_point.name: entry_point for entry_point in entry_points(group=f"rotator.{family}")}
