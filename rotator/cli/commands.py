"""The commands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from rotator import __version__
from rotator.adapters import lacking
from rotator.cli import shown
from rotator.cli.audits import audit
from rotator.cli.completions import completion, credential_names
from rotator.cli.context import Context, Exit, Interruption, chosen, exit_code, explain_error, say, warn
from rotator.cli.escrows import escrow
from rotator.cli.notifying import notify
from rotator.cli.options import Span, json_option, shard_option
from rotator.cli.providers import providers
from rotator.cli.single import login, put, resolve, revoke, token
from rotator.cli.views import explain, plan, status
from rotator.errors import ConfigError, Problem, RotatorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rotator.last_pass import LastPass
    from rotator.model import Credential
    from rotator.outcomes import Outcome
    from rotator.progress import Progress
    from rotator.shards import Shard
    from rotator.telling_passes import PassTelling
    from rotator.wiring import App

LEAST_PASS_S = 60.0
"""How long a pass may take at least: a shorter horizon must not cut a request's own time."""

LEVELS = ("debug", "info", "warning", "error")


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code. Errors of ours become text; defects keep their traceback.

    With `--json` an error is one object on stdout as well: a program that reads a result finds one, whatever happens,
    and a person finds the same text on stderr as ever.
    """
    as_json = "--json" in arguments
    try:
        code = rotator.main(list(arguments), prog_name="rotator", standalone_mode=False)
    except click.exceptions.Exit as leaving:
        return int(leaving.exit_code)
    except (click.exceptions.Abort, KeyboardInterrupt) as error:
        return _ended(error, Exit.INTERRUPTED, "", as_json=as_json)
    except click.ClickException as error:
        error.show()
        return _ended(error, Exit.USAGE, "", as_json=as_json)
    except RotatorError as error:
        text, exit_ = explain_error(error)
        return _ended(error, exit_, text, as_json=as_json)
    return int(code or 0)


def _ended(error: BaseException, code: Exit, text: str, *, as_json: bool) -> int:
    if text:
        warn(text)
    if as_json:
        say(shown.error_json(error, code))
    return code


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-c", "--config", metavar="PATH", help="The configuration; else $ROTATOR_CONFIG, else config/rotator.yaml."
)
@click.option("--log-level", type=click.Choice(LEVELS), default="info", show_default=True, help="Of the log on stderr.")
@click.version_option(__version__, prog_name="rotator")
@click.pass_context
def rotator(context: click.Context, config: str | None, log_level: str) -> None:
    """Keep shared OAuth 2.0 credentials fresh, and never spend a refresh token twice."""
    context.obj = Context(config, log_level)
    context.call_on_close(context.obj.end)


@rotator.command()
@click.option("--seconds", type=click.IntRange(5, 3600), default=30, show_default=True, help="How long it runs.")
@click.option("--credentials", type=click.IntRange(1, 500), default=6, show_default=True, help="How many it keeps.")
@json_option
def demo(seconds: int, credentials: int, as_json: bool) -> int:
    """Show the whole job on embedded parts: an authorization server, a store and the daemon."""
    try:
        from rotator.cli.demo import run_demo  # noqa: PLC0415 - Authlib, on use
    except ModuleNotFoundError as error:
        raise _missing(error) from None
    return run_demo(seconds, credentials, as_json=as_json)


@rotator.command()
@click.option("--live", is_flag=True, help="Also prove that secrets, state and endpoints can be used. Spends nothing.")
@json_option
@click.pass_obj
def check(context: Context, live: bool, as_json: bool) -> int:
    """Validate the configuration and print all problems."""
    from rotator.live_check import Finding  # noqa: PLC0415 - on use, as below

    with context.watched() as progress:
        settings = context.settings
        app = context.app("operator", progress=progress)
        findings = [Finding(warning, warning=True) for warning in (*settings.warnings, *lacking(settings))]
        if live:
            from rotator.live_check import live_check  # noqa: PLC0415 - on use

            findings += live_check(app, progress)
        else:
            from rotator.rates import impossible_rates  # noqa: PLC0415 - `--live` goes by the documents instead

            findings += [Finding(one, warning=True) for one in impossible_rates(app.credentials, settings.origin)]
    faults = [finding for finding in findings if not finding.warning]
    if as_json:
        say(shown.check_json(settings.source, len(app.credentials), findings, live=live))
    else:
        for finding in findings:
            say(f"{'warning: ' if finding.warning else ''}{finding.problem}")
        if not faults:
            what = f"{_credentials(app)} can be rotated" if live else f"no problem found in {_credentials(app)}"
            say(f"{settings.source}: {what}")
    if any(not finding.temporary for finding in faults):
        return Exit.PERSON
    return Exit.TEMPORARY if faults else Exit.WELL


def _credentials(app: App) -> str:
    count = len(app.credentials)
    return "1 credential" if count == 1 else f"{count} credentials"


@rotator.command(name="run")
@shard_option
@click.pass_obj
def run_daemon(context: Context, shard: Shard | None) -> int:
    """Run the daemon until SIGTERM or SIGINT; SIGHUP reloads the configuration."""
    try:
        from rotator.daemon import Daemon  # noqa: PLC0415 - APScheduler, on use
    except ModuleNotFoundError as error:
        raise _missing(error) from None
    log = context.logger()
    app = context.app("daemon", shard)
    for warning in app.settings.warnings:
        log.warning("configuration", problem=str(warning))

    def tell(outcome: Outcome) -> None:
        _log(log, outcome)

    daemon = Daemon(app, lambda: context.fresh_app("daemon", shard), tell, log.info)
    daemon.handle_signals()
    daemon.run()
    return Exit.WELL


@rotator.command()
@click.option("--horizon", type=Span(), default="15m", show_default=True, help="The time until the next pass.")
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    shell_complete=credential_names,
    help="Only this; may be repeated.",
)
@click.option("--force", is_flag=True, help="Refresh although not due. Overrides neither a latch nor a cooldown.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; send and write nothing.")
@json_option
@shard_option
@click.pass_obj
def once(
    context: Context,
    horizon: float,
    names: tuple[str, ...],
    force: bool,
    dry_run: bool,
    as_json: bool,
    shard: Shard | None,
) -> int:
    """Make one pass: rotate all that falls due within the horizon. A name goes before the shard."""
    from rotator.passes import Watchers  # noqa: PLC0415 - beside its use

    with context.watched() as progress:
        app = context.app("once", None if names else shard, progress, whole=not (names or dry_run))
        credentials = chosen(app, names)
        left, telling = _last_pass(context, app), None if dry_run else _telling(app)
        watchers = Watchers([one for one in (left, telling) if one])

        def tell(outcome: Outcome) -> None:
            watchers.done(outcome)
            if not as_json:
                say(shown.outcome_line(outcome, dry_run=dry_run))

        with Interruption() as interruption:
            if dry_run:
                results = _looked_at(app, credentials, horizon, force, progress)
                for outcome in results:
                    tell(outcome)
            else:
                results = app.passes.run(
                    credentials,
                    horizon_s=horizon,
                    force=force,
                    stop=interruption.stop,
                    until=app.passes.until_in(max(horizon, LEAST_PASS_S)),
                    among=app.credentials,
                    seen=watchers.seen,
                    tell=tell,
                    progress=progress,
                )
    if as_json:
        say(shown.pass_json(results))
    code = context.exit_code(exit_code(outcome for outcome in results if not (dry_run and shown.is_due(outcome))))
    code = Exit.INTERRUPTED if interruption.stop.wanted else code
    if left:
        left.ended(code)
    if telling:
        telling.finish(results, hurried=interruption.stop.wanted)
    return code


def _telling(app: App) -> PassTelling | None:
    """Return what tells of the pass; None where nobody is told."""
    if app.told is None:
        return None
    from rotator.telling_passes import PassTelling, warned  # noqa: PLC0415 - on use

    return PassTelling(app, warned)


def _last_pass(context: Context, app: App) -> LastPass | None:
    """Return what takes down how the pass goes, where metrics are to be left of it."""
    if app.surroundings.meters is None:
        return None
    from rotator.last_pass import last_pass  # noqa: PLC0415 - on use

    return last_pass(app, lambda text: warn(f"rotator: {text}"), complete=not context.undiscovered)


def _looked_at(
    app: App, credentials: Sequence[Credential], horizon_s: float, force: bool, progress: Progress
) -> list[Outcome]:
    from rotator import outcomes, policy  # noqa: PLC0415 - beside their use

    results: list[Outcome] = []
    for credential, observed in app.passes.look(credentials, horizon_s=horizon_s, force=force, progress=progress):
        if isinstance(observed, RotatorError):
            results.append(outcomes.of_error(credential.name, observed))
        else:
            results.append(outcomes.of_decision(credential.name, policy.decide(observed.situation)))
    return results


for _command in (
    audit,
    completion,
    escrow,
    explain,
    login,
    notify,
    plan,
    providers,
    put,
    resolve,
    revoke,
    status,
    token,
):
    rotator.add_command(_command)


def _log(log: Any, outcome: Outcome) -> None:
    from rotator import outcomes  # noqa: PLC0415 - beside its use

    facts = {
        key: getattr(outcome, key)
        for key in ("name", "reason", "error", "action", "retry_at", "expires_at", "version", "warnings")
        if getattr(outcome, key, None)
    }
    match outcome:
        case outcomes.Rotated():
            log.info("rotated", **facts)
        case outcomes.Deferred():
            log.warning("deferred", **facts)
        case outcomes.Failed():
            log.error("needs a person", **facts)
        case outcomes.Fresh():
            log.debug("fresh", **facts)


def _missing(error: ModuleNotFoundError) -> ConfigError:
    extras = {"apscheduler": "daemon", "authlib": "sandbox", "boto3": "aws", "hvac": "vault"}
    package = (error.name or "").partition(".")[0]
    if package not in extras:
        raise error
    extra = extras[package]
    return ConfigError([Problem(f"extra {extra!r}", f"{package} is not installed", f"pip install 'rotator[{extra}]'")])


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
