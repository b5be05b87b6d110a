"""What a pass leaves behind for Prometheus, for a process that ends has nobody to scrape.

A failure here is a warning: it changes no exit code, and comes after all work is done.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rotator import outcomes
from rotator.board import Board
from rotator.bounded import bounded
from rotator.config.sources import reader
from rotator.errors import Defect, RotatorError
from rotator.looks import sight_of
from rotator.observe import Observed
from rotator.shards import WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from rotator.config.telemetry_settings import MetricsSettings, PushSettings
    from rotator.metrics import Meters
    from rotator.model import Credential
    from rotator.outcomes import Outcome
    from rotator.wiring import App


@dataclass(slots=True)
class LastPass:
    """The metrics of one pass over all credentials of a process. For one thread.

    Args:
        warn: Called with what went wrong.
    """

    app: App
    settings: MetricsSettings
    meters: Meters
    warn: Callable[[str], None]
    _board: Board = field(default_factory=Board)
    _began_s: float = 0.0
    _credentials: dict[str, Credential] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._began_s = self.app.surroundings.clock.monotonic_s()
        self._credentials = {credential.name: credential for credential in self.app.credentials}
        self.meters.begin_pass(self._board, self.app.observer.cooldowns.all_known)

    def seen(self, credential: Credential, observed: Observed | RotatorError) -> None:
        """Take over what a look found."""
        if isinstance(observed, Observed):
            self._board.lanes[observed.provider_key] = credential.provider.name
            self._board.seen(sight_of(credential, observed))
        else:
            self._board.watch(credential)

    def done(self, outcome: Outcome) -> None:
        """Take over what became of a credential."""
        self._board.done(
            self._credentials[outcome.name], outcome, _next_at(outcome), now=self.app.surroundings.clock.now()
        )

    def ended(self, exit_code: int, *, most_s: float | None = None) -> None:
        """Leave the metrics where the configuration says.

        Args:
            most_s: How long a push may take, where that is less than configured.
        """
        clock = self.app.surroundings.clock
        self.meters.passed(clock.now(), clock.monotonic_s() - self._began_s, exit_code)
        body, _ = self.meters.scrape("")
        if self.settings.textfile is not None and self.app.actor.mode != "lambda":
            self._write(Path(self.settings.textfile), body)
        if self.settings.push is not None:
            timeout_s = self.settings.push.timeout
            self._push(self.settings.push, body, timeout_s if most_s is None else min(timeout_s, most_s))

    def _write(self, path: Path, body: bytes) -> None:
        from rotator.metrics_delivery import write_textfile  # noqa: PLC0415 - on use

        try:
            write_textfile(path, body)
        except OSError as error:
            self.warn(
                f"metrics were not written to {path}: {error.strerror}: its folder must exist, and be writable for "
                "rotator's user"
            )

    def _push(self, settings: PushSettings, body: bytes, within_s: float) -> None:
        from rotator.metrics_delivery import grouping, push  # noqa: PLC0415 - on use

        surroundings = self.app.surroundings
        url = grouping(settings.url, {"job": settings.job, "instance": settings.instance or self._instance()})

        found: list[str | None] = []

        def pushed() -> None:
            clock, ids = surroundings.clock, surroundings.ids
            found.append(push(url, body, self._headers(settings), clock=clock, ids=ids, deadline_s=within_s))

        try:
            bounded(pushed, within_s)
            why = found[0] if found else f"{url}: no answer within {within_s:g} s"
        except RotatorError as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001 - a password that is no text, say: the pass went well all the same
            why = str(Defect.of(error))
        if why:
            self.warn(f"metrics were not pushed: {why}")

    def _headers(self, settings: PushSettings) -> dict[str, str]:
        """Return how to be let in.

        Raises:
            ConfigError: The source of the token or password fails.
            StoreUnavailable: It lies in a store that does not answer.
        """
        source = settings.token or settings.password
        if source is None:
            return {}
        where = f"metrics.push.{'token' if settings.token else 'password'}"
        stores = self.app.stores
        secret = reader(
            source,
            where=where,
            env=self.app.surroundings.env,
            read_secret=lambda store, name: stores[store].read(name),
        )().reveal()
        if settings.token:
            return {"Authorization": f"Bearer {secret}"}
        return {"Authorization": "Basic " + base64.b64encode(f"{settings.username}:{secret}".encode()).decode()}

    def _instance(self) -> str:
        """Return what tells this process' metrics from others', and is the same at the next pass.

        Not the host's name: a pod or a sandbox of Lambda has a new one each time, and what an old one pushed stays.
        """
        shard, mode = self.app.shard, self.app.actor.mode
        return mode if shard == WHOLE else f"{mode}-{shard.number}-of-{shard.of}"


def last_pass(app: App, warn: Callable[[str], None], *, complete: bool = True) -> LastPass | None:
    """Return what is to be told of the pass that begins; None where nobody asked for it, or less than all is known.

    Args:
        complete: Whether all credentials were found. Those that were not would vanish from the metrics as if they were
            gone: what the pass before left stays, and its age tells.
    """
    settings, meters = app.settings.metrics, app.surroundings.meters
    if settings is None or meters is None:
        return None
    if not complete:
        warn("metrics stay as they are: not all credentials were found")
        return None
    return LastPass(app, settings, meters, warn)


def _next_at(outcome: Outcome) -> datetime | None:
    match outcome:
        case outcomes.Rotated():
            return outcome.next_at
        case outcomes.Fresh():
            return outcome.until
        case _:
            return outcome.retry_at
