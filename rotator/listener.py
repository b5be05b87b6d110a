"""The daemon's HTTP listener: its threads and its socket. What it answers stands in `rotator.web`."""

from __future__ import annotations

import logging
import socket
import threading
from typing import TYPE_CHECKING, Any

import waitress

from rotator.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS = 4
"""For answers that come from memory. The daemon's work is done by others."""

LIMITS = {
    "asyncore_use_poll": True,
    "connection_limit": 512,
    "channel_timeout": 15,
    "max_request_header_size": 16_384,
    "max_request_body_size": 1_024,
}
"""Who sends slowly or much keeps itself waiting. Who opens hundreds of connections keeps others out: let a network
policy say who may reach the port."""


class Listener:
    """Listens from `start` to `close`.

    Args:
        listen: HOST:PORT; port 0 is any that is free.
        answer: A WSGI application.
    """

    def __init__(self, listen: str, answer: Callable[..., Any]) -> None:
        self.listen = listen
        self._answer = answer
        self._server: Any = None

    @property
    def port(self) -> int:
        """The port that is listened at."""
        return int(self._server.effective_port)

    def start(self) -> None:
        """Listen, and answer in threads of its own.

        Raises:
            ConfigError: The address cannot be listened at: taken, not this machine's, not allowed.
        """
        logging.getLogger("waitress").setLevel(logging.CRITICAL)  # a client that goes away is no news
        # The socket is made here: waitress leaves one open whose address cannot be had.
        self._server = waitress.create_server(
            self._answer, sockets=[self._socket()], threads=THREADS, ident=None, **LIMITS
        )
        threading.Thread(target=self._server.run, name="http", daemon=True).start()

    def close(self) -> None:
        """Listen no more; answers under way may be cut off."""
        if self._server is not None:
            self._server.close()
            self._server.task_dispatcher.shutdown(cancel_pending=True, timeout=1)
            self._server = None

    def _socket(self) -> socket.socket:
        host, _, port = self.listen.rpartition(":")
        try:
            [(family, *_, address), *_] = socket.getaddrinfo(
                host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            return socket.create_server(address[:2], family=family)
        except OSError as error:
            what = f"cannot listen at {self.listen}: {error.strerror or error}"
            hint = "stop what listens there, or choose another port; without http nothing is listened at"
            raise ConfigError([Problem("http.listen", what, hint)]) from None
