"""A webhook that takes Slack's format: Slack's own, Mattermost's, Rocket.Chat's and others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rotator.notices import Notice
    from rotator.notifiers.posts import Poster


class Slack:
    """`notifier.Notifier`: posts `{"text": …}`. Who knows the address may post, so it is a secret."""

    def __init__(self, poster: Poster) -> None:
        self._poster = poster

    def deliver(self, notice: Notice, *, deadline_s: float) -> None:
        """See `Notifier.deliver`."""
        first, _, rest = escaped(notice.text).partition("\n")
        text = f"*{first}*\n{rest}" if rest else f"*{first}*"
        self._poster.post(json.dumps({"text": text}).encode(), {}, deadline_s=deadline_s)

    def close(self) -> None:
        """See `Notifier.close`."""
        self._poster.close()


def escaped(text: str) -> str:
    """Return text in which nothing is a mention or a link (docs.slack.dev, "Formatting message text").

    Its other marks are left alone: they only change how a text looks, and what was put between them to stop that would
    be copied with a command.
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
