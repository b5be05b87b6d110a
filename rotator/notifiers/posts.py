"""What the notifiers over HTTP share: one POST, one deadline for the whole answer, and no redirects."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rotator import __version__
from rotator.errors import NotDelivered, ProviderUnreachable, RotatorError
from rotator.http_messages import HttpRequest
from rotator.oauth import endpoint_problem
from rotator.pacing import retry_after_s

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rotator.ports import Clock, Ids
    from rotator.redact import Secret
    from rotator.token_endpoint import HttpTokenEndpoint

REDIRECTS = range(300, 400)
TOO_MANY = 429
REFUSALS = range(400, 500)


@dataclass(slots=True)
class Poster:
    """Sends notices to one address, which may be a secret: it is in no error. Thread-safe.

    The requests go the way of token requests: a fresh verified connection each, no proxy, nothing below repeats them.

    Args:
        name: The notifier's, for errors.
        url: Read anew for each message.
    """

    name: str
    url: Callable[[], Secret]
    clock: Clock
    ids: Ids
    _closed: bool = False
    _endpoint: HttpTokenEndpoint | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, source: Callable[[], Secret]) -> Secret:
        """Return a secret that the notifier needs.

        Raises:
            NotDelivered: It cannot be read now.
        """
        if self._closed:
            raise NotDelivered(f"notifier {self.name}: closed")
        try:
            return source()
        except RotatorError as error:
            raise NotDelivered(f"notifier {self.name}: {error.message}", hint=error.hint) from None

    def post(self, body: bytes, headers: Mapping[str, str], *, deadline_s: float) -> None:
        """Send a body; any 2xx is a delivery, whatever its own body says.

        Raises:
            NotDelivered: As `Notifier.deliver`.
        """
        url = self.read(self.url)
        problem = endpoint_problem(url.reveal())
        if problem:
            raise NotDelivered(f"notifier {self.name}: its url {problem}", hint="correct it where it is kept")
        ours = {"Content-Type": "application/json", "User-Agent": f"rotator/{__version__}", "Connection": "close"}
        request = HttpRequest(url.reveal(), {**ours, **headers}, body, called=f"notifier {self.name}")
        try:
            reply = self._sender().ask(request, deadline_s=deadline_s)
        except ProviderUnreachable as error:
            raise NotDelivered(error.message, hint="check the address and the network") from None
        if reply.success:
            return
        limited = reply.status == TOO_MANY
        wait_s = retry_after_s(reply.headers, reply.received_at, limited=limited) or 0.0
        raise NotDelivered(f"notifier {self.name}: HTTP {reply.status}", hint=_hint(reply.status), retry_after_s=wait_s)

    def close(self) -> None:
        """Send nothing more; a request under way ends by its deadline."""
        self._closed = True

    def _sender(self) -> HttpTokenEndpoint:
        with self._lock:  # one for all messages: the trusted authorities are loaded once
            if self._endpoint is None:
                from rotator.token_endpoint import HttpTokenEndpoint  # noqa: PLC0415 - with the first message

                self._endpoint = HttpTokenEndpoint(self.clock, self.ids)
            return self._endpoint


def _hint(status: int) -> str:
    if status in REDIRECTS:
        return "no redirect is followed: name the address it leads to"
    if status == TOO_MANY:
        return "the receiver asks for fewer messages"
    return "check the address and what the receiver accepts" if status in REFUSALS else ""
