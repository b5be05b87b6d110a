"""A webhook that is signed as Standard Webhooks has it (standardwebhooks.com, specification 1.0)."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.notices import Notice
    from rotator.notifiers.posts import Poster
    from rotator.redact import Secret

PREFIX = "whsec_"


class Webhook:
    """`notifier.Notifier`: posts the notice's JSON with the headers `webhook-id`, `-timestamp` and `-signature`.

    Args:
        signing_key: A text that begins with `whsec_` is base64 behind it, as the specification writes keys; any other
            is the key itself. Read anew for each message.
    """

    def __init__(self, poster: Poster, signing_key: Callable[[], Secret]) -> None:
        self._poster = poster
        self._signing_key = signing_key

    def deliver(self, notice: Notice, *, deadline_s: float) -> None:
        """See `Notifier.deliver`."""
        key = key_of(self._poster.read(self._signing_key).reveal())
        body = notice.json().encode()
        # The time of this attempt: receivers refuse what is minutes old, so that nobody sends it again later.
        timestamp = str(int(self._poster.clock.now().timestamp()))
        headers = {
            "webhook-id": notice.id,
            "webhook-timestamp": timestamp,
            "webhook-signature": signature(key, notice.id, timestamp, body),
        }
        self._poster.post(body, headers, deadline_s=deadline_s)

    def close(self) -> None:
        """See `Notifier.close`."""
        self._poster.close()


def signature(key: bytes, identifier: str, timestamp: str, body: bytes) -> str:
    """Return `v1,` and the base64 of an HMAC-SHA-256 over `id.timestamp.body`."""
    signed = f"{identifier}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}"


def key_of(text: str) -> bytes:
    """Return the key that a configured text stands for."""
    if text.startswith(PREFIX):
        try:
            return base64.b64decode(text.removeprefix(PREFIX), validate=True)
        except (binascii.Error, ValueError):
            pass  # somebody's own text that happens to begin so
    return text.encode()
