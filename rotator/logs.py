"""Operational logs on stderr: lines for people on a terminal, JSON lines for everything else.

All of `logging` goes this way, the libraries' records included. No line holds a value that could be a secret: secrets
are masked by type, and of an exception that is not ours only its type and the places it passed are shown.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import structlog

from rotator.audit.sinks import rfc3339, shown
from rotator.errors import RotatorError
from rotator.redact import without
from rotator.terminals import takes_escapes

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

LOGGER: Final = "rotator"

CHAIN_SHOWN: Final = 8
"""How many exceptions of one chain are shown; also the end of a chain that leads back to itself."""

TEXT_SHOWN: Final = 2000
"""How much of one text a terminal gets to see; JSON lines are not cut."""


def configure_logging(level: str, stream: TextIO | None = None) -> structlog.stdlib.BoundLogger:
    """Send all logs to a stream and return rotator's own logger.

    Replaces whatever handlers the root logger has: AWS Lambda brings one that would print each line a second time.
    Calling it again replaces its own. structlog's global configuration is neither read nor changed.

    Args:
        level: The least level of rotator's own logs: `debug`, `info`, `warning`, `error` or `critical`. The libraries
            log from `warning` on whatever it is: at `debug` botocore and httpcore log whole requests and answers.
        stream: stderr if None. A terminal gets lines for people.

    Raises:
        ValueError: There is no such level.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"no such log level: {level}")
    target = sys.stderr if stream is None else stream
    handler = _LineHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=[_as_fields, *_renderers(terminal=target.isatty())])
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)
    # It has a level of its own (`rotator.aws_session`), which the root's does not touch.
    logging.getLogger("botocore").setLevel(max(number, logging.WARNING))
    own = logging.getLogger(LOGGER)
    own.setLevel(number)
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        own,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        context_class=dict,
        cache_logger_on_first_use=False,
    )
    return logger


class _LineHandler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name that logging calls
        """Say that a line was lost. The standard handler prints the record's arguments, as they are."""
        kind = sys.exc_info()[0]
        lost = {
            "level": "error",
            "logger": record.name,
            "event": "a log line could not be written",
            "error": kind.__name__ if kind else "",
        }
        with contextlib.suppress(OSError, ValueError):  # the stream itself is closed or broken
            self.stream.write(json.dumps(lost) + self.terminator)
            self.flush()


def _as_fields(_: object, __: str, logged: EventDict) -> EventDict:
    """Order the fields, and describe an exception without its values."""
    record: logging.LogRecord = logged.pop("_record")
    del logged["_from_structlog"]
    error = _exception(logged.pop("exc_info", None))
    fields = {
        "ts": rfc3339(datetime.fromtimestamp(record.created, UTC)),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": logged.pop("event"),
    }
    described = {"exception": _described(error)} if error else {}
    return fields | {name: value for name, value in logged.items() if name not in fields} | described


def _exception(exc_info: object) -> BaseException | None:
    """Return the exception behind the three forms in which logging's callers name one."""
    match exc_info:
        case BaseException():
            return exc_info
        case (_, BaseException() as error, _):
            return error
        case True:
            return sys.exc_info()[1]
        case _:
            return None


def _described(error: BaseException) -> list[str]:
    """Return one text per exception of the chain, the last one raised first."""
    texts: list[str] = []
    link: BaseException | None = error
    while link is not None and len(texts) < CHAIN_SHOWN:
        # Another's text may quote what was sent: botocore's ParamValidationError quotes the parameters.
        message = f": {link}" if isinstance(link, RotatorError) else ""
        places = [
            f"{'/'.join(Path(frame.f_code.co_filename).parts[-2:])}:{line} {frame.f_code.co_name}"
            for frame, line in traceback.walk_tb(link.__traceback__)
        ]
        texts.append(f"{type(link).__name__}{message} [{', '.join(places)}]")
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return texts


def _renderers(*, terminal: bool) -> list[Processor]:
    if not terminal:
        return [structlog.processors.JSONRenderer(default=shown)]
    lines = structlog.dev.ConsoleRenderer(
        colors=takes_escapes(os.environ),
        sort_keys=False,
        timestamp_key="ts",
        exception_formatter=structlog.dev.plain_traceback,  # never reached; the default would print local variables
    )
    return [_as_texts, lines]


def _as_texts(_: object, __: str, fields: EventDict) -> EventDict:
    """Turn every value into what its JSON form would say, fit for a terminal; an exception gets lines of its own."""
    texts = {name: _as_text(value) for name, value in fields.items()}
    match texts:
        case {"exception": [*chain]}:
            texts["exception"] = "\n".join(chain)
    return texts


def _as_text(value: Any) -> Any:
    plain = json.loads(json.dumps(value, default=shown))
    return without(plain, (), limit=TEXT_SHOWN) if isinstance(plain, str) else plain
