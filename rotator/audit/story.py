"""An audit trail in plain words, for who wants to know what happened to a credential. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

TOLD = {
    "rotation.started": "is refreshed{why}{presented}{attempt}",
    "rotation.succeeded": "has new tokens{took}: version {version_before} became {version_after}{ends}",
    "rotation.failed": "was not refreshed{why}{error}{again}",
    "rotation.in_doubt": "is in doubt{why}{error}: {spent}{again}",
    "rotation.deferred": "was put off{why}{error}{again}",
    "escrow.replayed": "got tokens that had waited in escrow{ends}",
    "credential.reauthorization_required": "needs a person to log in again{why}{error}",
    "credential.resolved": "was seen to by an operator{why}",
    "credential.seeded": "{given}, version {version_after}{ends}",
    "credential.read": "was read by a person: version {version_before}",
    "refresh_token.expiring": "has a refresh token that ends soon{ends}",
}
"""What an event says of its credential; the words in braces are left out where the event does not name them."""


def told(event: Mapping[str, Any]) -> str:
    """Return one event as a line: when, of which credential, what, and who saw to it."""
    actor = event.get("actor")
    who = f"{actor.get('mode', '?')} on {actor.get('host', '?')}" if isinstance(actor, dict) else "somebody"
    return _printable(f"{event.get('ts', 'at an unknown time')}  {deed(event)} ({who})")


def deed(event: Mapping[str, Any]) -> str:
    """Return what an event says of its credential, in words."""
    kind = str(event.get("event", "an event without a name"))
    duration, digest = event.get("duration_ms"), event.get("refresh_token_digest")
    parts = {
        "why": _after(" because: ", event.get("reason")),
        "error": _after(": ", event.get("error")),
        "again": _after("; again at ", event.get("retry_at")),
        "ends": _after(", until ", event.get("expires_at")),
        "spent": "the refresh token may be spent, and its answer lost" if digest else "its answer was lost",
        "given": "was given a token set by a person" if digest or "expires_at" in event else "got an empty document",
        "presented": _presented(digest),
        "attempt": f", for the {_ordinal(event['attempt'])} time" if event.get("attempt", 1) != 1 else "",
        "took": f" after {duration} ms" if isinstance(duration, int) else "",
    }
    named = {key: str(event.get(key, "unknown")) for key in ("version_before", "version_after")}
    what = TOLD[kind].format(**parts, **named) if kind in TOLD else kind
    return _printable(f"{event.get('credential', '?')} {what}")


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "\ufffd" for character in text)  # a file may hold anything


def _presented(digest: object) -> str:
    return f": refresh token {digest} is presented" if digest else ""  # a standing grant presents none


def _after(word: str, value: object) -> str:
    return f"{word}{value}" if value not in (None, "") else ""


def _ordinal(number: object) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th") if isinstance(number, int) else str(number)
