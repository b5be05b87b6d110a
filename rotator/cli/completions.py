"""Shell completion: the scripts, and the names that the configuration knows.

A completion runs at every press of a key: it reads the configuration's text and nothing else, and whatever is wrong
ends it without a word.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rotator.cli.context import DEFAULT_CONFIG, Exit, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from click.shell_completion import CompletionItem

SHELLS = ("bash", "zsh", "fish")

VARIABLE = "_ROTATOR_COMPLETE"
"""What click looks for in the environment; the scripts set it."""


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> int:
    r"""Print the script that completes commands, options and names.

    \b
    bash:  source <(rotator completion bash)
    zsh:   source <(rotator completion zsh)
    fish:  rotator completion fish | source
    """
    from click.shell_completion import ShellComplete, get_completion_class  # noqa: PLC0415 - on use, as below

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"there is no completion for {shell}")
    # Not its own `source`: for bash that starts the first bash of the PATH to look at its version.
    say(ShellComplete.source(kind(click.Group("rotator"), {}, "rotator", VARIABLE)))
    return Exit.WELL


def credential_names(context: click.Context, _: click.Parameter, begin: str) -> list[CompletionItem]:
    """Return the names of configured credentials that begin so, and are not on the line yet."""
    taken = {text for value in context.params.values() if isinstance(value, tuple) for text in value}
    entries = _content(context).get("credentials")
    names = (entry.get("name") for entry in entries if isinstance(entry, dict)) if isinstance(entries, list) else ()
    return _items(name for name in _texts(names) if name.startswith(begin) and name not in taken)


def provider_names(context: click.Context, _: click.Parameter, begin: str) -> list[CompletionItem]:
    """Return the names of configured providers that begin so."""
    return _section(context, "providers", begin)


def notifier_names(context: click.Context, _: click.Parameter, begin: str) -> list[CompletionItem]:
    """Return the names of configured notifiers that begin so."""
    return _section(context, "notifiers", begin)


def profile_names(context: click.Context, _: click.Parameter, begin: str) -> list[CompletionItem]:
    """Return the names of shipped profiles, and of configured providers, that begin so."""
    from rotator.profiles import BUILT_IN  # noqa: PLC0415 - on use

    configured = _section(context, "providers", begin)
    known = {item.value for item in configured}
    return [*configured, *_items(name for name in BUILT_IN if name.startswith(begin) and name not in known)]


def _section(context: click.Context, section: str, begin: str) -> list[CompletionItem]:
    entries = _content(context).get(section)
    names = entries if isinstance(entries, dict) else ()
    return _items(name for name in _texts(names) if name.startswith(begin))


def _items(names: Iterable[str]) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - on use: only a press of a key needs it

    return [CompletionItem(name) for name in names]


def _texts(values: Any) -> Iterator[str]:
    return (value for value in values if isinstance(value, str) and value.isprintable() and value)


def _content(context: click.Context) -> dict[str, Any]:
    """Return what the configuration's text says, unchecked; nothing where it cannot be read."""
    from rotator.config.yaml_text import YamlText  # noqa: PLC0415 - on use

    path = context.find_root().params.get("config") or os.environ.get("ROTATOR_CONFIG") or DEFAULT_CONFIG
    try:
        content = YamlText(Path(path).expanduser().read_text(encoding="utf-8"), os.environ).content
    except Exception:  # noqa: BLE001 - whatever it is, a press of a key is no time to tell it
        return {}
    return content if isinstance(content, dict) else {}
