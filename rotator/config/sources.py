"""Secrets read from where the configuration says they are, anew at each use: a rotated one is picked up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rotator.config.secret_sources import EnvSource, FileSource, StoreSource
from rotator.errors import ConfigError, Problem, RotatorError
from rotator.model import Malformed
from rotator.redact import Secret

if TYPE_CHECKING:
    from rotator.model import Versioned

ReadSecret = Callable[[str, str], "Versioned"]
"""Store name and secret to what the store returns, as `SecretStore.read` does."""


def reader(
    source: EnvSource | FileSource | StoreSource, *, where: str, env: Mapping[str, str], read_secret: ReadSecret
) -> Callable[[], Secret]:
    """Return a function that reads the source.

    Args:
        source: As configured.
        where: Names the credential and the key, for messages.
        env: Where variables are looked up.
        read_secret: Reads a document from a store.

    Returns:
        A function without arguments. It raises ConfigError, naming `where` and the source, when the source does not
        yield a text, and StoreUnavailable when its store does not answer.
    """

    def read() -> Secret:
        text = _text(source, where, env, read_secret)
        if not text:
            raise ConfigError([Problem(where, f"{description(source)} is empty", "put the secret there")])
        return Secret(text)

    return read


def description(source: EnvSource | FileSource | StoreSource) -> str:
    """Return the source in words, such as `the environment variable DAILYPAY_SECRET`."""
    if isinstance(source, EnvSource):
        return f"the environment variable {source.env}"
    if isinstance(source, FileSource):
        return f"the file {source.file}"
    return f"the field {source.field} of {source.secret} in store {source.store}"


def _text(
    source: EnvSource | FileSource | StoreSource, where: str, env: Mapping[str, str], read_secret: ReadSecret
) -> str:
    if isinstance(source, EnvSource):
        if source.env not in env:
            raise ConfigError([Problem(where, f"{description(source)} is not set", f"set {source.env}")])
        return env[source.env]
    if isinstance(source, FileSource):
        return _file(source, where)
    return _field(source, where, read_secret)


def _file(source: FileSource, where: str) -> str:
    try:
        return Path(source.file).read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError:  # its text quotes what it could not decode
        raise ConfigError([Problem(where, f"{description(source)} is not UTF-8 text")]) from None
    except OSError as error:
        what = f"{description(source)} cannot be read: {error.strerror}"
        raise ConfigError([Problem(where, what, "check the path and its permissions")]) from error


def _field(source: StoreSource, where: str, read_secret: ReadSecret) -> str:
    try:
        content = read_secret(source.store, source.secret).content
    except RotatorError as error:
        if error.then == "retry":
            raise  # the store is away for a while, and nothing is wrong with the configuration
        raise ConfigError(
            [Problem(where, f"{description(source)} cannot be read: {error.message}", error.hint)]
        ) from error
    if isinstance(content, Malformed):
        raise ConfigError([Problem(where, f"{description(source)}: the secret is no document: {content.problem}")])
    value = content.fields.get(source.field)
    if not isinstance(value, str):
        what = f"{description(source)} is {'not there' if value is None else 'not a text'}"
        raise ConfigError([Problem(where, what, "put the secret there as a JSON string")])
    return value
