"""The commands by which a person sees to one credential: its token, its login, and a word on its doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from rotator.cli import shown
from rotator.cli.context import Context, Exit, say, warn
from rotator.cli.options import Span, json_option, name_argument
from rotator.errors import ConfigError, Problem

if TYPE_CHECKING:
    from rotator.operations import Word


@click.command()
@name_argument
@click.pass_obj
def token(context: Context, name: str) -> int:
    """Print the stored access token and nothing else. Its output is a secret; the reading is audited."""
    from rotator.operations import Operations  # noqa: PLC0415 - beside its use

    app = context.app("operator")
    secret, expired = Operations(app).access_token(app.credential(name))
    say(secret.reveal())
    if expired:
        warn(f"rotator: this access token has expired; see: rotator explain {name}")
    return Exit.WELL


@click.command()
@name_argument
@click.argument("file", required=False, default="-", metavar="[FILE|-]", type=click.Path())
@json_option
@click.pass_obj
def put(context: Context, name: str, file: str, as_json: bool) -> int:
    """Seed or replace a credential's document from a token response (JSON) in FILE or on stdin."""
    from rotator.operations import Operations  # noqa: PLC0415 - beside its use

    app = context.app("operator")
    credential = app.credential(name)
    try:
        with click.open_file(file, "rb") as stream:
            text = cast("bytes", stream.read())
    except OSError as error:
        raise ConfigError([Problem(file, f"cannot be read: {error.strerror}", "name a file, or - for stdin")]) from None
    written = Operations(app).put(credential, text)
    say(shown.stored_json(credential, written) if as_json else f"{name}: stored as version {written.version}")
    return Exit.WELL


@click.command()
@name_argument
@click.option("--device", is_flag=True, help="Show a code to be entered on any other device.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Where the browser comes back to: http://127.0.0.1:PORT/callback.",
)
@click.option("--no-browser", is_flag=True, help="Print the address instead of opening it.")
@click.option("--timeout", type=Span(), default="5m", show_default=True, help="How long to wait for the browser.")
@json_option
@click.pass_obj
def login(context: Context, name: str, device: bool, port: int, no_browser: bool, timeout: float, as_json: bool) -> int:
    """Log in at a credential's provider and put the token set."""
    from rotator.cli.logins import log_in  # noqa: PLC0415 - a server and a browser, on use

    return log_in(context, name, device=device, port=port, browser=not no_browser, timeout_s=timeout, as_json=as_json)


@click.command()
@name_argument
@click.option("--yes", is_flag=True, help="Ask nothing.")
@json_option
@click.pass_obj
def revoke(context: Context, name: str, yes: bool, as_json: bool) -> int:
    """End a credential's grant at its provider, and latch it."""
    from rotator.cli.logins import end_grant  # noqa: PLC0415 - on use

    if not yes:  # on stderr: stdout is for results
        click.confirm("End this grant at the provider? Somebody has to log in again", abort=True, err=True)
    return end_grant(context, name, as_json=as_json)


@click.command()
@name_argument
@click.option("--replay", "word", flag_value="replay", help="Present a refresh token in doubt one more time.")
@click.option("--discard", "word", flag_value="discard", help="Give a rotation in doubt up.")
@click.option("--clear", "word", flag_value="clear", help="Take a latch away, or end a pause.")
@json_option
@click.pass_obj
def resolve(context: Context, name: str, word: str | None, as_json: bool) -> int:
    """Say an operator's word on a rotation in doubt or a latch."""
    from rotator.operations import Operations  # noqa: PLC0415 - beside its use

    if word is None:
        raise click.UsageError("say one of --replay, --discard and --clear")
    app = context.app("operator")
    done = Operations(app).resolve(app.credential(name), cast("Word", word))
    say(shown.json_text({"name": name, "word": word, "done": done}) if as_json else f"{name}: {done}")
    return Exit.WELL
