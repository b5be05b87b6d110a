"""Pydantic's errors in the words of the configuration file."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from pydantic import BaseModel, Tag

from rotator.config.findings import Finding, Path
from rotator.plugins import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (type(None), "nothing"),
    (bool, "true or false"),
    ((int, float), "a number"),
    (str, "a text"),
    (date, "a date"),
    (list, "a list"),
    (dict, "a mapping"),
)

_WANTED = {
    "string_type": "a text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}


def findings_of(error: ValidationError, model: type[BaseModel]) -> list[Finding]:
    """Translate all errors of one validation of `model`."""
    return [_finding(details, model) for details in error.errors(include_url=False)]


def path_of(loc: tuple[int | str, ...]) -> Path:
    """Return the path in the file: without pydantic's marks for union members (`#…`) and keys (`[key]`)."""
    return tuple(part for part in loc if not (isinstance(part, str) and (part.startswith("#") or part == "[key]")))


def _finding(details: ErrorDetails, model: type[BaseModel]) -> Finding:
    path = path_of(details["loc"])
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "rotator":
        return Finding((*path, *context["at"]), context["what"], context["hint"])
    if kind == "missing":
        return Finding(path, "is missing")
    if kind == "extra_forbidden":
        return Finding(path, "unknown key", suggestion(str(path[-1]), _known_keys(model, details["loc"][:-1])))
    if kind == "literal_error":
        choices = re.findall(r"'([^']+)'", context["expected"])
        hint = suggestion(value, choices) if isinstance(value, str) else ""
        return Finding(path, f"must be one of {', '.join(choices)}", hint if "mean" in hint else "")
    if kind in _WANTED:
        hint = "put it in quotes" if kind == "string_type" and isinstance(value, int | float | date) else ""
        return Finding(path, f"must be {_WANTED[kind]}, not {_kind_of(value)}", hint)
    return Finding(path, details["msg"].removeprefix("Value error, "))


def _kind_of(value: Any) -> str:
    return next((name for kinds, name in _KINDS if isinstance(value, kinds)), "what it is")


def _known_keys(model: type[BaseModel], loc: tuple[int | str, ...]) -> Iterable[str]:
    """Return the keys of the section that pydantic's `loc` leads to."""
    annotation: Any = model
    for part in loc:
        annotation = _inside(annotation, part)
    section: type[BaseModel] = _plain(annotation)
    return [info.alias or name for name, info in section.model_fields.items()]


def _inside(annotation: Any, part: int | str) -> Any:
    """Return the annotation of what `part` selects: a field, a list item, a dict's value or a union's member."""
    annotation = _plain(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.model_fields[str(part)].annotation
    if isinstance(part, str) and part.startswith("#"):
        return next(member for member in get_args(annotation) if Tag(part) in getattr(member, "__metadata__", ()))
    return get_args(annotation)[1 if get_origin(annotation) is dict else 0]


def _plain(annotation: Any) -> Any:
    """Return the annotation without `Annotated` and without `| None`."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    members = [member for member in get_args(annotation) if member is not type(None)]
    return _plain(members[0]) if type(None) in get_args(annotation) and len(members) == 1 else annotation
