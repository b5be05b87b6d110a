"""`rotator demo`: the whole job on embedded parts, with the real daemon over real HTTP and files."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rich.live import Live

from rotator import outcomes
from rotator.cli import terminal
from rotator.cli.context import Exit, say, warn
from rotator.cli.shown import json_text, outcome_line
from rotator.cli.tables import coloured, status_lines
from rotator.clocks import SystemClock, SystemIds, SystemRandom
from rotator.config.load import load_config
from rotator.daemon import Daemon
from rotator.documents import stored_tokens
from rotator.model import Malformed
from rotator.operations import Operations
from rotator.status import row
from rotator.testing.sandbox import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, SandboxServer, auth0_face, dailypay_face
from rotator.wiring import Surroundings, build

if TYPE_CHECKING:
    from rich.console import Console

    from rotator.outcomes import Outcome
    from rotator.testing.sandbox import Face
    from rotator.wiring import App

FACES = ("auth0", "dailypay")
GOAL = 2
"""Every token is to be rotated at least so often."""

CONFIG = """\
version: 1
stores:
  local: {{type: local, path: {folder}/secrets.db}}
state: {{type: local, path: {folder}/state.db}}
escrow: {{type: file, path: {folder}/escrow}}
audit: [{{type: jsonl, path: {folder}/audit.jsonl}}]
providers:
  auth0: {{profile: auth0, domain: sandbox.example, token_endpoint: {auth0}, timeout: 2s, rate_limit: {budget}}}
  dailypay: {{profile: dailypay, environment: uat, token_endpoint: {dailypay}, timeout: 2s, rate_limit: {budget}}}
credentials:
"""

BUDGET = "{requests: 50, per: 1s}"
"""Of each provider. Without one a single "too many" would leave one request a second, too few for a short demo."""

CREDENTIAL = """\
  - {{name: {name}, provider: {provider}, client_id: {client_id}, client_secret: {{env: DEMO_CLIENT_SECRET}}}}
"""


@dataclass(slots=True)
class Tally:
    """What the daemon told."""

    quiet: bool
    rotated: Counter[str] = field(default_factory=Counter)
    deferred: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)

    def tell(self, outcome: Outcome) -> None:
        """Count an outcome, and print it where there is no live table."""
        match outcome:
            case outcomes.Rotated(name=name):
                self.rotated[name] += 1
            case outcomes.Deferred(reason=reason):
                self.deferred[reason] += 1
            case outcomes.Failed(name=name, error=error):
                self.failed[name] = error
            case outcomes.Fresh():
                return
        if not self.quiet:
            say(outcome_line(outcome))


def run_demo(seconds: int, count: int, *, as_json: bool = False) -> int:
    """Run the daemon on `count` credentials for `seconds`, then sum up.

    Args:
        as_json: Print nothing but the summary, as one JSON object.
    """
    lifetime_s = max(2, seconds * 2 // 5)
    # A table that is drawn anew in its place takes escape sequences; elsewhere there are lines.
    console = terminal.console() if terminal.is_terminal() and terminal.is_coloured() and not as_json else None
    faces = [auth0_face(lifetime_s=lifetime_s), dailypay_face(lifetime_s=lifetime_s)]
    with TemporaryDirectory(prefix="rotator-demo-") as folder, SandboxServer(faces) as server:
        app = _build(folder, server, count)
        for credential in app.credentials:
            answer = server.face(credential.provider.name).login(DEFAULT_CLIENT_ID)
            Operations(app).put(credential, json.dumps(answer))
        # A provider has its moods: the summary shows that neither costs a token.
        server.face("auth0").fault("rate_limited", wait_s=1)
        server.face("dailypay").fault("unavailable", wait_s=1)
        tell = warn if as_json else say
        tell(
            f"{count} credentials, access tokens of {lifetime_s} s, for {seconds} s; "
            f"authorization server at {server.url}"
        )
        tally = Tally(quiet=as_json or console is not None)
        interrupted = _run(app, tally, console, seconds)
        found = _found(app, server, tally, Path(folder) / "audit.jsonl", interrupted=interrupted)
    say(json_text(asdict(found) | {"well": found.well})) if as_json else _sum_up(found)
    if interrupted:
        return Exit.INTERRUPTED
    return Exit.WELL if found.well else Exit.PERSON


def _build(folder: str, server: SandboxServer, count: int) -> App:
    endpoints = {name: server.face(name).token_endpoint for name in FACES}
    text = CONFIG.format(folder=folder, budget=BUDGET, **endpoints)
    for number in range(count):
        provider = FACES[number % len(FACES)]
        text += CREDENTIAL.format(name=f"{provider}-{number + 1}", provider=provider, client_id=DEFAULT_CLIENT_ID)
    env = {**os.environ, "DEMO_CLIENT_SECRET": DEFAULT_CLIENT_SECRET}
    surroundings = Surroundings(env, SystemClock(), SystemIds(), SystemRandom(), pause_s=0.5)
    return build(load_config(text, env, source="the demo's configuration"), "daemon", surroundings)


def _run(app: App, tally: Tally, console: Console | None, seconds: int) -> bool:
    """Run the daemon; return whether the interrupt key ended it."""
    daemon = Daemon(app, lambda: app, tally.tell, _no_log, change_check_s=2.0)
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        daemon.stop()

    before = signal.signal(signal.SIGINT, interrupt)
    thread = threading.Thread(target=daemon.run, name="daemon")
    thread.start()
    clock = app.surroundings.clock
    ends_at_s = clock.monotonic_s() + seconds
    try:
        if console is not None:
            with Live(console=console, auto_refresh=False) as live:
                while thread.is_alive() and clock.monotonic_s() < ends_at_s:
                    rows = [row(credential, observed) for credential, observed in app.passes.look(app.credentials)]
                    lines = list(status_lines(rows, clock.now(), console.width))
                    live.update(coloured(lines), refresh=True)
                    thread.join(0.25)
        else:
            thread.join(seconds)
    finally:
        daemon.stop()
        thread.join()
        signal.signal(signal.SIGINT, before)
    return interrupted


def _no_log(*_: object, **__: Any) -> None:
    """The daemon's operational notes have no place in a demo."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a demo came to.

    Args:
        least: How often each credential was rotated at least.
        lost: Whose stored refresh token is not the one that the authorization server holds to be live.
        slow: Who was rotated too rarely.
        deferred: How often, by reason.
        failed: What is wrong, by credential.
        interrupted: Whether it was ended before its time; who was rotated too rarely says little then.
    """

    rotations: int
    least: int
    lost: list[str]
    slow: list[str]
    reuse_detections: int
    deferred: dict[str, int]
    left_in_escrow: int
    audit_events: int
    failed: dict[str, str]
    interrupted: bool

    @property
    def well(self) -> bool:
        """Whether every token was rotated often enough and none was lost."""
        return not (self.lost or self.slow or self.reuse_detections or self.left_in_escrow)


def _found(app: App, server: SandboxServer, tally: Tally, audit: Path, *, interrupted: bool) -> Found:
    """Compare what is stored with what the authorization server holds to be live."""
    names = [credential.name for credential in app.credentials]
    return Found(
        rotations=tally.rotated.total(),
        least=min((tally.rotated[name] for name in names), default=0),
        lost=[one.name for one in app.credentials if not _is_live(app, server.face(one.provider.name), one)],
        slow=[name for name in names if tally.rotated[name] < GOAL],
        reuse_detections=sum(server.face(name).report.reuse_detections for name in FACES),
        deferred=dict(sorted(tally.deferred.items())),
        left_in_escrow=len(app.escrow.all_waiting()),
        audit_events=len(audit.read_text(encoding="utf-8").splitlines()),
        failed=tally.failed,
        interrupted=interrupted,
    )


def _sum_up(found: Found) -> None:
    """Print the summary."""
    deferred = ", ".join(f"{reason} {times}" for reason, times in found.deferred.items()) or "none"
    say("")
    say(f"rotations         {found.rotations} (each credential at least {found.least})")
    say(f"tokens lost       {len(found.lost)}{': ' + ', '.join(found.lost) if found.lost else ''}")
    say(f"reuse detections  {found.reuse_detections}")
    say(f"deferred          {deferred}")
    say(f"left in escrow    {found.left_in_escrow}")
    say(f"audit events      {found.audit_events}")
    for name, error in found.failed.items():
        say(f"needs a person    {name}: {error}")
    if found.interrupted:
        warn("rotator: interrupted before the time was up")
    elif found.slow:
        warn(f"rotator: rotated fewer than {GOAL} times: {', '.join(found.slow)}")


def _is_live(app: App, face: Face, credential: Any) -> bool:
    tokens = stored_tokens(app.stores[credential.store].read(credential.secret), credential.provider)
    if isinstance(tokens, Malformed):
        return False
    token = tokens.refresh_token
    return token is not None and face.live_refresh_token(face.family_of(token.reveal())) == token
