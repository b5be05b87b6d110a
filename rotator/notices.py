"""What notifiers are told: one message, in fields for programs and in words for people. Holds no token. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from datetime import datetime

Kind = Literal[
    "grant_dead",
    "in_doubt",
    "needs_person",
    "token_expiring",
    "refresh_token_ending",
    "escrow_waiting",
    "more",
]
"""What a case is about, most urgent first; `more` stands for all that there is no room to tell singly."""

KINDS: tuple[Kind, ...] = get_args(Kind)

Phase = Literal["opened", "reminder", "over"]

HEADLINES: dict[Kind, str] = {
    "grant_dead": "its grant is dead",
    "in_doubt": "a rotation is in doubt",
    "needs_person": "a person is needed",
    "token_expiring": "its access token is not renewed in time",
    "refresh_token_ending": "its refresh token ends soon",
    "escrow_waiting": "new tokens wait in escrow",
    "more": "further cases are open",
}

LONGEST_DETAIL = 1000
"""Characters. SNS and EventBridge take 256 KiB, Slack shows some thousand; a provider's words have no bound."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One message.

    Args:
        id: The same each time this message is sent, whoever sends it: receivers find repetitions by it.
        type: `case.opened`, `case.reminder`, `case.over`, `cases.summary`, `rotated` or `test`.
        at: When it was written.
        headline: What is the case, in one line, without the credential's name.
        since: When the case began.
        detail: What is known, in words; may be empty.
        action: What a person is to do, a command where there is one; may be empty.
        deadline: Until when it is to be done, if that is known.
        version: Of the document, after a rotation.
        expires_at: Of the access token, after a rotation.
        names: The credentials of a summary.
    """

    id: str
    type: str
    at: datetime
    headline: str
    kind: Kind | None = None
    credential: str = ""
    provider: str = ""
    store: str = ""
    since: datetime | None = None
    detail: str = ""
    action: str = ""
    deadline: datetime | None = None
    secret: str = ""
    version: str = ""
    expires_at: datetime | None = None
    names: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """One line for people: `payroll-export: its grant is dead`."""
        return f"{self.credential}: {self.headline}" if self.credential else self.headline

    @property
    def text(self) -> str:
        """All of it for people, in lines."""
        facts = " · ".join(filter(None, (self.provider, self.store and f"store {self.store}")))
        lines = [
            f"rotator: {self.title}",
            shortened(self.detail),
            f"To do: {self.action}" if self.action else "",
            f"Before: {instant(self.deadline)}" if self.deadline else "",
            f"Since: {instant(self.since)}" if self.since else "",
            facts,
        ]
        return "\n".join(filter(None, lines))

    def body(self) -> dict[str, Any]:
        """Return `{"id", "type", "timestamp", "data"}`; what is not known is left out of `data`."""
        data = {
            "title": self.title,
            "kind": self.kind,
            "credential": self.credential,
            "provider": self.provider,
            "store": self.store,
            "since": instant(self.since),
            "detail": shortened(self.detail),
            "action": self.action,
            "deadline": instant(self.deadline),
            "secret": self.secret,
            "version": self.version,
            "expires_at": instant(self.expires_at),
            "credentials": list(self.names),
        }
        known = {name: value for name, value in data.items() if value}
        return {"id": self.id, "type": self.type, "timestamp": instant(self.at), "data": known}

    def json(self) -> str:
        """Return `body` as JSON on one line, in ASCII: no receiver's reading of the encoding can change it."""
        return json.dumps(self.body(), separators=(",", ":"))


def instant(value: datetime | None) -> str | None:
    """Return RFC 3339 in UTC, to the second."""
    return None if value is None else value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def shortened(text: str) -> str:
    """Return a text that is no longer than LONGEST_DETAIL."""
    return text if len(text) <= LONGEST_DETAIL else f"{text[: LONGEST_DETAIL - 1]}…"
