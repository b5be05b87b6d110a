"""What every command shares: where the configuration is, the parts built from it, exit codes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from rotator import outcomes
from rotator.adapters import new_meters, new_traces
from rotator.bell import Stop
from rotator.bounded import bounded
from rotator.cli.bar import watched
from rotator.collecting import paused
from rotator.config.load import load_config
from rotator.errors import ConfigError, Problem, Refused, RotatorError
from rotator.plugins import suggestion
from rotator.progress import unwatched
from rotator.wiring import App, Surroundings, build, of_shard, with_discovered

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractContextManager

    from rotator.config.model import OtlpTraces, Settings
    from rotator.metrics import Meters
    from rotator.model import Credential, Mode
    from rotator.outcomes import Outcome
    from rotator.progress import Progress
    from rotator.shards import Shard
    from rotator.traces import Traces

    Traced = tuple[OtlpTraces, Traces]


class Exit(IntEnum):
    """The exit codes. `TEMPORARY` is EX_TEMPFAIL of sysexits.h: run again later."""

    WELL = 0
    PERSON = 1
    USAGE = 2
    TEMPORARY = 75
    INTERRUPTED = 130


DEFAULT_CONFIG = "config/rotator.yaml"


@dataclass(slots=True)
class Context:
    """The global options of one invocation, and what is built from them on first use."""

    config: str | None
    log_level: str
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)
    undiscovered: list[RotatorError] = field(default_factory=list)
    _settings: Settings | None = None
    _meters: Meters | None = None
    _traces: Traced | None = None
    _reloads: bool = False

    @property
    def settings(self) -> Settings:
        """The configuration; its warnings are shown once, on stderr.

        Raises:
            ConfigError: It cannot be used.
        """
        if self._settings is None:
            path = self.config or self.env.get("ROTATOR_CONFIG") or DEFAULT_CONFIG
            with contextlib.nullcontext() if self._reloads else paused():
                self._settings = load_config(path, self.env)
        return self._settings

    def watched(self) -> AbstractContextManager[Progress]:
        """Return what shows how far the work in its block is, on a terminal."""
        return watched(self.env)

    def app(
        self, mode: Mode, shard: Shard | None = None, progress: Progress = unwatched, *, whole: bool = False
    ) -> App:
        """Return the parts; for a command that ends, with the credentials that are found now.

        Why some could not be found is shown on stderr, and left in `undiscovered`.

        Args:
            shard: Leaves the credentials of other shards out.
            whole: Whether this is a pass over all credentials, which leaves metrics where they are configured.

        Raises:
            ConfigError: The configuration cannot be used.
        """
        progress("reading the configuration", 0, 0)
        surroundings = Surroundings.real(self.env)
        if (mode == "daemon" and self.settings.http) or (whole and self.settings.metrics):
            self._meters = self._meters or new_meters(surroundings.clock)
            surroundings = replace(surroundings, meters=self._meters)
        traces = self._traces_to(self.settings.traces, mode, surroundings)
        surroundings = replace(surroundings, traces=traces and traces[1])
        try:
            with contextlib.nullcontext() if self._reloads else paused():
                app = build(self.settings, mode, surroundings)
        except RotatorError:
            self._trace_by(self._traces, instead_of=traces)
            raise
        self._trace_by(traces, instead_of=self._traces)
        if mode == "daemon":
            self._settings = None  # it runs for months, and the parts have what they need
            return of_shard(app, shard) if shard else app
        app, notes, self.undiscovered = with_discovered(app, progress)
        for note in notes:
            warn(f"rotator: {note}")
        return of_shard(app, shard) if shard else app

    def fresh_app(self, mode: Mode, shard: Shard | None = None) -> App:
        """Return the parts of a configuration that is read anew.

        Raises:
            ConfigError: The configuration cannot be used.
        """
        self._settings, self._reloads = None, True
        return self.app(mode, shard)

    def end(self) -> None:
        """End what goes on in the background; takes two seconds at most."""
        if self._traces is not None:
            self._traces[1].close()
            self._traces = None

    def _traces_to(self, settings: OtlpTraces | None, mode: Mode, surroundings: Surroundings) -> Traced | None:
        """Return the traces of a section: those of before, where a reload did not change it."""
        if settings is None or mode not in {"daemon", "once"}:
            return None
        if self._traces is not None and self._traces[0] == settings:
            return self._traces
        return settings, new_traces(settings, mode, surroundings.clock)

    def _trace_by(self, traces: Traced | None, *, instead_of: Traced | None) -> None:
        """Go on with traces; the others end, and a daemon that reloads waits for no collector."""
        self._traces = traces
        if instead_of is not None and instead_of is not traces:
            bounded(instead_of[1].close, 0.0)

    def exit_code(self, code: Exit) -> Exit:
        """Return the exit code of a command that would end with `code`, had all credentials been found."""
        codes = {code, *(explain_error(error)[1] for error in self.undiscovered)}
        return next(one for one in (Exit.PERSON, Exit.USAGE, Exit.TEMPORARY, Exit.WELL) if one in codes)

    def logger(self) -> Any:
        """Set the operational log up and return its logger."""
        from rotator.logs import configure_logging  # noqa: PLC0415 - structlog, on use

        return configure_logging(self.log_level)


def chosen(app: App, names: Iterable[str]) -> list[Credential]:
    """Return the named credentials, or all when none is named.

    Raises:
        ConfigError: A name is unknown; all unknown ones are told.
    """
    names = tuple(names)
    if not names:
        return app.credentials
    found: list[Credential] = []
    problems: list[Problem] = []
    for name in dict.fromkeys(names):
        try:
            found.append(app.credential(name))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return found


def known_providers(context: Context, names: Iterable[str]) -> None:
    """See that each is the name of a provider.

    Raises:
        ConfigError: Some are not; all of them are told.
    """
    known = context.settings.providers
    problems = [
        Problem(context.settings.source, f"there is no provider {name!r}", suggestion(name, known))
        for name in dict.fromkeys(names)
        if name not in known
    ]
    if problems:
        raise ConfigError(problems)


def exit_code(results: Iterable[Outcome]) -> Exit:
    """Return the exit code of a pass with these results."""
    return Exit(outcomes.exit_code(results))


def explain_error(error: RotatorError) -> tuple[str, Exit]:
    """Return what to print about an error that ends a command, and the exit code."""
    if isinstance(error, ConfigError):
        lines = "\n".join(str(problem) for problem in error.problems)
        return lines, Exit.USAGE
    hint = f"\n    → {error.hint}" if error.hint else ""
    text = f"rotator: {error.message}{hint}"
    if isinstance(error, Refused):
        return text, Exit.USAGE
    return text, Exit.PERSON if error.then == "give_up" else Exit.TEMPORARY


class Interruption:
    """SIGINT and SIGTERM make a wish to stop instead of tearing the process out of a rotation."""

    def __init__(self) -> None:
        self.stop = Stop()

    def __enter__(self) -> Interruption:  # noqa: PYI034 - final by use
        self._before = {number: signal.signal(number, self.stop.want) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def say(text: str) -> None:
    """Print a result line to stdout. Whoever closes the pipe has read enough: work and exit code are as ever."""
    try:
        sys.stdout.write(text + "\n")
    except BrokenPipeError:
        _unread()


def flush() -> None:
    """Let go what was printed and not yet sent off; at the exit Python would tell of a pipe that was closed."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _unread()


def _unread() -> None:
    """Let what is printed from now on go nowhere: nobody reads it any more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def warn(text: str) -> None:
    """Print a line for people to stderr."""
    sys.stderr.write(text + "\n")
