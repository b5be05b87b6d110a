"""The kinds of value that settings are made of, each with its own words for what is wrong.

Types for pydantic models. A fault carries `what` and `hint`; neither quotes the value, which may be a secret that
somebody put in the wrong place.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from rotator.config.durations import HINT, parse_duration
from rotator.config.endpoints import endpoint_fault
from rotator.plugins import suggestion

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@:-]{0,127}")
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")  # RFC 6749 section 3.3
_DECIMAL = re.compile(r"[0-9]{1,10}(\.[0-9]{1,10})?")
MOST = 10**9
"""More than can be meant, and few enough to count with."""

_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")


def fault(what: str, hint: str = "", *, at: tuple[str, ...] = ()) -> PydanticCustomError:
    """Return the error that a validator raises; `at` leads from the validated value to the part that is wrong."""
    return PydanticCustomError("rotator", "{what}", {"what": what, "hint": hint, "at": at})


def _text(value: str) -> str:
    if not value.strip():
        raise fault("is empty")
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise fault("holds a control character", "a line break, perhaps: write it on one line, in quotes")
    return value


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        hint = "begin with a letter or digit, then letters, digits and . _ / @ : - (128 at most)"
        raise fault("is not a name", hint)
    return value


def _scope(value: str) -> str:
    if not all(_SCOPE_TOKEN.fullmatch(token) for token in value.split(" ")):
        raise fault("is not a scope", "separate scopes by single spaces, or leave the key out (RFC 6749 section 3.3)")
    return value


def _listen(value: str) -> str:
    match = _HOST_AND_PORT.fullmatch(value)
    if match is None or int(match[2]) > 65535:  # noqa: PLR2004 - the highest port
        raise fault("is not an address to listen on", "write HOST:PORT, such as 127.0.0.1:9464")
    return value


def _duration(*, zero: bool) -> Callable[[object], float]:
    def validate(value: object) -> float:
        try:
            return parse_duration(value, zero=zero)
        except ValueError as error:
            raise fault(str(error), HINT) from None

    return validate


def _count(value: object) -> object:
    """Accept a text of digits too, which is what `${VAR}` yields."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(MOST)):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise fault("must be a whole number")
    return value


def _positive(value: int) -> int:
    if value < 1:
        raise fault("must be at least 1")
    if value > MOST:
        raise fault(f"must be at most {MOST}")
    return value


def _number(value: object) -> float:
    """Accept a text of digits too, which is what `${VAR}` yields."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise fault("must be a number")
    if value > MOST:
        raise fault(f"must be at most {MOST}")
    return float(max(value, -1))  # whatever is below is as wrong, and need not fit


def _above_zero(value: float) -> float:
    if not value > 0:
        raise fault("must be more than 0", "nothing at all would never be done; leave the key out for the default")
    return value


def _share(value: float) -> float:
    if not 0 < value <= 1:
        raise fault("must be more than 0 and at most 1", "0.5 is half")
    return value


def _endpoint(*, query: bool) -> Callable[[str], str]:
    def validate(value: str) -> str:
        found = endpoint_fault(value, query=query)
        if found:
            raise fault(*found)
        return value

    return validate


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError):
        raise fault("is not a regular expression", "see the syntax of Python's `re`") from None
    return value


def one_type(key: str, known: tuple[str, ...], more: Callable[[], tuple[str, ...]] = tuple) -> BeforeValidator:
    """Return a validator for a mapping whose `key` says which kind it is.

    Args:
        key: `type` or `method`.
        known: The built-in kinds.
        more: Asked for further kinds on a miss.
    """

    def validate(value: object) -> object:
        kind = value.get(key) if isinstance(value, Mapping) else getattr(value, key, None)
        if isinstance(kind, str):
            if kind in known or kind in (offered := more()):
                return value
            raise fault(f"is not a known {key}", suggestion(kind, (*known, *offered)), at=(key,))
        if not isinstance(value, Mapping):
            raise fault(f"must be a mapping with a `{key}`", suggestion("", known))
        what = "is missing" if kind is None else "must be text"
        raise fault(what, suggestion("", known), at=(key,))

    return BeforeValidator(validate)


def kind_of(value: Any, key: str, known: tuple[str, ...]) -> str:
    """Return the tag of a mapping or of an instance: `#kind` for a known one, else `#plug-in`.

    The mark keeps tags apart from keys in the paths of pydantic's errors.
    """
    kind = value.get(key) if isinstance(value, Mapping) else getattr(value, key)
    return f"#{kind}" if kind in known else "#plug-in"


REFERENCE = r"\$\{"
"""In the JSON Schemas: a text with `${VAR}` in it, of which an editor cannot know what it will be."""


def _spelled(pattern: str, *others: dict[str, Any]) -> WithJsonSchema:
    """Tell editors of a text by its pattern, or of `others`; laxer than the validators, and never stricter."""
    text = {"type": "string", "pattern": f"{pattern}|{REFERENCE}"}
    return WithJsonSchema({"anyOf": [*others, text]} if others else text)


_IN_SCHEMAS = {
    "text": WithJsonSchema({"type": "string", "minLength": 1}),
    "name": _spelled(f"^{_NAME.pattern}$"),
    "scope": _spelled(f"^{_SCOPE_TOKEN.pattern}( {_SCOPE_TOKEN.pattern})*$"),
    "listen": _spelled(":[0-9]{1,5}$"),
    "url": _spelled("^[Hh][Tt][Tt][Pp][Ss]?://"),
    "duration": _spelled(r"^[0-9]+(\.[0-9]+)?[smhd]?$", {"type": "number", "minimum": 0}),
    "count": _spelled("^[0-9]+$", {"type": "integer", "minimum": 1}),
    "number": _spelled(f"^{_DECIMAL.pattern}$", {"type": "number", "exclusiveMinimum": 0}),
}

Text = Annotated[str, AfterValidator(_text), _IN_SCHEMAS["text"]]
Name = Annotated[str, AfterValidator(_name), _IN_SCHEMAS["name"]]
Scope = Annotated[str, AfterValidator(_scope), _IN_SCHEMAS["scope"]]
Listen = Annotated[str, AfterValidator(_listen), _IN_SCHEMAS["listen"]]
Pattern = Annotated[str, AfterValidator(_pattern)]
TokenEndpointUrl = Annotated[str, AfterValidator(_endpoint(query=True)), _IN_SCHEMAS["url"]]
ServiceUrl = Annotated[str, AfterValidator(_endpoint(query=False)), _IN_SCHEMAS["url"]]
Duration = Annotated[float, BeforeValidator(_duration(zero=False)), _IN_SCHEMAS["duration"]]
DurationOrZero = Annotated[float, BeforeValidator(_duration(zero=True)), _IN_SCHEMAS["duration"]]
Count = Annotated[int, AfterValidator(_positive), BeforeValidator(_count), _IN_SCHEMAS["count"]]
PositiveNumber = Annotated[float, AfterValidator(_above_zero), BeforeValidator(_number), _IN_SCHEMAS["number"]]
Share = Annotated[float, AfterValidator(_share), BeforeValidator(_number), _IN_SCHEMAS["number"]]
Listed = Field(strict=False)
"""For tuples: YAML has lists only."""
