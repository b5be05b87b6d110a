"""What a daemon shows over HTTP, as long as its configuration says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rotator.board import Board
from rotator.errors import RotatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from rotator.listener import Listener
    from rotator.web import Web
    from rotator.wiring import App


@dataclass(slots=True)
class Showing:
    """The board and its listener. For the thread of the daemon's loop.

    Args:
        note: Called with a short text and facts, for the operational log.
        board: None until something is to be shown, or told of, for the first time; it stays from then on.
        listener: None while nothing is listened at.
    """

    note: Callable[..., Any]
    board: Board | None = None
    listener: Listener | None = None
    _web: Web | None = None
    _metered: bool = False

    def follow(self, app: App, cooldowns: Callable[[], Mapping[str, datetime]]) -> None:
        """Listen where a configuration says; a listener that is right already stays.

        Args:
            cooldowns: As for `Meters.show`.

        Raises:
            ConfigError: The address cannot be listened at.
        """
        shown = app.shown
        if self.listener is not None and (shown is None or shown.listen != self.listener.listen):
            self.close()
        if self.board is None and (shown is not None or app.told is not None):
            self.board = Board()
        if shown is None or self.board is None:
            return
        from rotator.listener import Listener  # noqa: PLC0415 - on use
        from rotator.web import Fresh, Web  # noqa: PLC0415 - likewise

        if not self._metered:
            self.board.lag, self._metered = shown.meters.lag, True
            shown.meters.show(self.board, cooldowns)
        clock = app.surroundings.clock
        token = Fresh(shown.token, clock) if shown.token else None
        self._web = Web(self.board, shown.meters, clock, local=shown.local, token=token)
        try:
            _ = token and token()
        except RotatorError as error:  # it may come later: it is read anew
            self.note("the token of http cannot be read", problems=str(error))
        if self.listener is None:
            listener = Listener(shown.listen, self._answer)
            listener.start()
            self.listener = listener
            self.note("listening", at=shown.listen)

    def close(self) -> None:
        """Listen no more."""
        if self.listener is not None:
            self.listener.close()
            self.listener = None

    def _answer(self, environ: Any, start_response: Any) -> Any:
        if self._web is None:
            raise AssertionError("nobody listens yet")
        return self._web(environ, start_response)
