"""`rotator audit`: whether a trail is as it was written, and what it tells."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rotator.audit.chain import verify
from rotator.audit.formats import plain
from rotator.audit.story import told
from rotator.cli.context import Context, Exit, say, warn
from rotator.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_TOLD = 20


@click.group(name="audit")
def audit() -> None:
    """Look at an audit trail."""


@audit.command(name="verify")
@click.argument("file", metavar="FILE")
@click.option("--link", default="", help="A last link that was noted earlier: it must still be in the file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify_file(file: str, link: str, as_json: bool) -> int:
    """Find lines that were taken out, changed or moved; say which. Exit code 1 if there are any."""
    verdict = verify(lambda: _lines(file), link)
    gone = bool(link) and not verdict.seen
    if as_json:
        found = [{"line": number, "what": what} for number, what in verdict.findings]
        report: dict[str, Any] = {
            "file": file,
            "unbroken": verdict.unbroken and not gone,
            "events": verdict.events,
            "older": verdict.older,
            "last": verdict.last or None,
            "findings": found,
        }
        say(json.dumps(report | ({"link_is_there": not gone} if link else {}), ensure_ascii=False))
        return Exit.WELL if verdict.unbroken and not gone else Exit.PERSON
    for number, what in verdict.findings[:MOST_TOLD]:
        say(f"{file}:{number}: {what}")
    if len(verdict.findings) > MOST_TOLD:
        say(f"{file}: and {len(verdict.findings) - MOST_TOLD:,} more")
    if gone:
        say(f"{file}: the link {link} is not there: the end was cut off, or all of it was made anew")
    older = f", behind {verdict.older:,} from before there was a chain" if verdict.older else ""
    if not verdict.events:
        say(f"{file}: no line is in a chain{older}")
    elif verdict.unbroken and not gone:
        say(f"{file}: {verdict.events:,} events{older}, unbroken; the last link is {verdict.last}")
        say("    → note it elsewhere: rotator audit verify --link LINK finds that the end was cut off")
    return Exit.WELL if verdict.unbroken and not gone else Exit.PERSON


@audit.command(name="show")
@click.argument("file", required=False, metavar="[FILE]")
@click.option("--credential", "name", metavar="NAME", help="Only of this credential.")
@click.pass_obj
def show(context: Context, file: str | None, name: str | None) -> int:
    """Tell in plain words what FILE says, or the files of `audit` in the configuration."""
    files = [file] if file else [entry.path for entry in context.settings.audit if entry.path != "-"]
    if not files:
        what = "the trail goes to stderr, and is kept by whoever reads that"
        raise ConfigError([Problem("audit", what, "name a FILE, or add {type: jsonl, path: …}")])
    count = 0
    for one in files:
        for line in _lines(one):
            with contextlib.suppress(ValueError, RecursionError):
                found = json.loads(line)
                event = plain(found) if isinstance(found, dict) else None
                if event is not None and name in (None, event.get("credential")):
                    say(told(event))
                    count += 1
    if not count:
        warn(f"rotator: there is no event{f' of {name}' if name else ''} in {', '.join(files)}")
    return Exit.WELL


def _lines(file: str) -> Iterator[bytes]:
    """Yield a file's lines.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        with Path(file).open("rb") as stream:
            yield from stream
    except OSError as error:
        raise ConfigError([Problem(file, f"cannot be read: {error.strerror}", "name an audit file")]) from None
