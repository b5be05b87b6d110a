"""`rotator audit`: whether a trail is as it was written, and what it tells."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rotator.audit.chain import verify
from rotator.audit.formats import plain
from rotator.audit.story import told
from rotator.cli.completions import credential_names
from rotator.cli.context import Context, Exit, say, warn
from rotator.cli.options import json_option
from rotator.cli.shown import json_text
from rotator.errors import ConfigError, Problem
from rotator.progress import unwatched

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rotator.progress import Progress

MOST_TOLD = 20

TOLD_EVERY = 1000
"""So many lines are read between two words on the progress."""

OPENING, CLOSING = '{"events": [', "]}"
"""The events of `show --json` come between these, one on a line: a trail may be larger than memory."""


@click.group(name="audit")
def audit() -> None:
    """Look at an audit trail."""


@audit.command(name="verify")
@click.argument("file", metavar="FILE")
@click.option("--link", default="", help="A last link that was noted earlier: it must still be in the file.")
@json_option
@click.pass_obj
def verify_file(context: Context, file: str, link: str, as_json: bool) -> int:
    """Find lines that were taken out, changed or moved; say which. Exit code 1 if there are any."""
    with context.watched() as progress:
        verdict = verify(lambda: _lines(file, progress), link)
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
        say(json_text(report | ({"link_is_there": not gone} if link else {})))
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
        say(
            f"    → note it elsewhere: rotator audit verify {file} --link {verdict.last} finds that the end was cut off"
        )
    return Exit.WELL if verdict.unbroken and not gone else Exit.PERSON


@audit.command(name="show")
@click.argument("file", required=False, metavar="[FILE]", type=click.Path())
@click.option("--credential", "name", metavar="NAME", shell_complete=credential_names, help="Only of this credential.")
@json_option
@click.pass_obj
def show(context: Context, file: str | None, name: str | None, as_json: bool) -> int:
    """Tell in plain words what FILE says, or the files of `audit` in the configuration."""
    files = [file] if file else [entry.path for entry in context.settings.audit if entry.path != "-"]
    if not files:
        what = "the trail goes to stderr, and is kept by whoever reads that"
        raise ConfigError([Problem("audit", what, "name a FILE, or add {type: jsonl, path: …}")])
    for one in files:
        next(_lines(one), None)  # before anything is printed: half an object is none
    count = 0
    seen: set[Any] = set()
    with context.watched() as progress:
        for one in files:
            for event in _events(one, name, progress):
                if len(files) > 1:  # each sink has every event
                    if event.get("event_id") in seen:
                        continue
                    seen.add(event.get("event_id"))
                if as_json:
                    say(f"{',' if count else OPENING}{json_text(event)}")
                else:
                    say(told(event))
                count += 1
    if as_json:
        say(CLOSING if count else OPENING + CLOSING)
    elif not count:
        warn(f"rotator: there is no event{f' of {name}' if name else ''} in {', '.join(files)}")
    return Exit.WELL


def _events(file: str, name: str | None, progress: Progress) -> Iterator[Mapping[str, Any]]:
    """Yield a file's events, all or those of one credential; lines that are none are left out."""
    for line in _lines(file, progress):
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(line)
            event = plain(found) if isinstance(found, dict) else None
            if event is not None and name in (None, event.get("credential")):
                yield event


def _lines(file: str, progress: Progress = unwatched) -> Iterator[bytes]:
    """Yield a file's lines.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        with Path(file).open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size  # 0 of a pipe, whose length nobody knows
            done = 0
            for number, line in enumerate(stream):
                if number % TOLD_EVERY == 0:
                    progress("reading the audit trail", done, size)
                done += len(line)
                yield line
    except OSError as error:
        raise ConfigError([Problem(file, f"cannot be read: {error.strerror}", "name an audit file")]) from None
