"""docs/reference/configuration.md, from the models that read the file."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from rotator.config import provider_settings, values
from rotator.config.model import Settings
from rotator.config.profile_settings import ProfileFile
from rotator.config.provider_settings import ProviderFields
from rotator.config.secret_sources import SecretSource, Section
from rotator.config.store_settings import PlugIn
from rotator.profiles.schema import Variable
from tests.docs.reference.markdown import arguments, code, summary, table

HEAD = """# Configuration

One YAML file: `-c PATH`, else `$ROTATOR_CONFIG`, else `config/rotator.yaml`. `config/local.yaml`, `config/aws.yaml` and
`config/vault.yaml` are examples with every key explained. Unknown keys are errors, and `rotator check` prints all
problems at once. Durations are `90s`, `5m`, `2h`, `1d` or seconds. `${VAR}` in a text is taken from the environment,
and a variable that is missing is an error; `$${` stands for `${`. Relative paths count from the working directory.
`http://` is refused unless the host is a loopback address.
"""

SOURCE = """## A secret source

Where a secret stands, for no secret stands in the configuration: `{env: NAME}`, a variable; `{file: PATH}`, a file,
whose last line end does not count; `{store: NAME, secret: NAME, field: NAME}`, a field of a document in one of the
stores. It is read anew at each use, so that a rotated client secret is picked up."""

PROFILES = """## A profile

What a profile file states beside the fields of `providers.NAME`. A profile is a file in `rotator/profiles`, or a
plug-in ([extending.md](../extending.md))."""

WORDS = {
    "Text": "text",
    "Name": "name",
    "Scope": "scopes, separated by a space",
    "Listen": "`HOST:PORT`",
    "Pattern": "regular expression",
    "TokenEndpointUrl": "URL",
    "ServiceUrl": "URL without a query",
    "Duration": "duration",
    "DurationOrZero": "duration, or 0",
    "Count": "whole number from 1 on",
    "PositiveNumber": "number above 0",
    "Share": "number above 0, at most 1",
}
"""The kinds of value by their names in `rotator.config`; one that is not here shows its own name."""

KINDS: list[tuple[Any, str]] = [
    (kind, WORDS.get(name, name.lower()))
    for module in (values, provider_settings)
    for name, kind in vars(module).items()
    if get_origin(kind) is Annotated and kind is not SecretSource
]
PLAIN = {str: "text", bool: "`true` or `false`", int: "whole number", float: "number", type(None): "nothing"}
SPAN = {values.Duration, values.DurationOrZero}


@dataclass(frozen=True, slots=True)
class Place:
    """A mapping of the file: where it stands, and the model that reads it."""

    path: str
    model: type[BaseModel]

    @property
    def heading(self) -> str:
        """Such as `stores.NAME`, `type: vault`."""
        kind = _kind(self.model)
        return f"{code(self.path)}{f', {code(kind)}' if kind else ''}" if self.path else "The file"

    @property
    def anchor(self) -> str:
        """Of the heading, by GitHub's rules."""
        return "".join(c for c in self.heading.lower() if c.isalnum() or c in "-_ ").replace(" ", "-")


def page() -> str:
    """Return the page."""
    places = list(_places())
    parts = [HEAD]
    for place in places:
        if place.model not in SHAPES:
            parts += [f"## {place.heading}", summary(place.model), _keys(place, places)]
    known = arguments(ProfileFile)
    own = [
        (code(key), known.get(key, "")) for key in ProfileFile.model_fields if key not in ProviderFields.model_fields
    ]
    names = {key: field.alias or key for key, field in Variable.model_fields.items()}
    own += [(code(f"variables.NAME.{names[key]}"), text) for key, text in arguments(Variable).items() if key in names]
    return "\n\n".join([*parts, SOURCE, PROFILES, table(("key", "means"), own)])


def undescribed() -> list[str]:
    """Return the settings that no docstring describes."""
    return [
        f"{place.model.__module__}.{place.model.__name__}.{key}"
        for place in _places()
        for key in place.model.model_fields
        if key not in _said(place.model)
    ]


SHAPES = frozenset(get_args(get_args(SecretSource)[0]))


def _kind(model: type[BaseModel]) -> str:
    for key in ("type", "method"):
        field = model.model_fields.get(key)
        if field is not None and get_origin(field.annotation) is Literal:
            return f"{key}: {get_args(field.annotation)[0]}"
    return "type: a plug-in's" if model is PlugIn else ""


def _places() -> Iterator[Place]:
    """Walk the models from the top, each at the first place where it stands."""
    seen: set[type[BaseModel]] = set(SHAPES)
    waiting = [Place("", Settings)]
    while waiting:
        place = waiting.pop(0)
        if place.model in seen:
            continue
        seen.add(place.model)
        yield place
        below = []
        for key, hint in _hints(place.model).items():
            path = f"{place.path}.{key}" if place.path else key
            below += [Place(f"{path}{suffix}", model) for model, suffix in _models(hint)]
        waiting = below + waiting


def _hints(model: type[BaseModel]) -> dict[str, Any]:
    hints = get_type_hints(model, include_extras=True)
    return {key: hints[key] for key in model.model_fields}


def _models(hint: Any, suffix: str = "") -> Iterator[tuple[type[BaseModel], str]]:
    """Yield the sections that a type can hold, with what stands between: `.NAME` in a mapping, `[]` in a list."""
    if inspect.isclass(hint) and issubclass(hint, Section):
        yield hint, suffix
        return
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        yield from _models(inner[0], suffix)
    elif origin in {dict, Mapping}:
        yield from _models(inner[1], f"{suffix}.NAME")
    elif origin in {tuple, list}:
        yield from _models(inner[0], f"{suffix}[]")
    elif origin in {Union, types.UnionType}:
        for one in inner:
            yield from _models(one, suffix)


def _keys(place: Place, places: list[Place]) -> str:
    hints = _hints(place.model)
    said = _said(place.model)
    rows = [
        (code(key), _type(hints[key], places), _default(place.model, key, hints[key]), said.get(key, ""))
        for key in place.model.model_fields
    ]
    return table(("key", "value", "default", "means"), rows)


def _said(model: type[BaseModel]) -> dict[str, str]:
    """Return what is said of each key: by the model, its parents, or the field itself."""
    said: dict[str, str] = {}
    for one in reversed(model.__mro__):
        said |= arguments(one)
    for key, field in model.model_fields.items():
        if field.description:
            said[key] = field.description
        elif get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1:
            said.setdefault(key, "chooses this kind")
    return said


def _type(hint: Any, places: list[Place]) -> str:
    if hint == SecretSource:
        return "[a secret source](#a-secret-source)"
    for kind, word in KINDS:
        if hint == kind:
            return word
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _type(inner[0], places)
    if origin is Literal:
        return " or ".join(code(one) for one in inner)
    if origin in {Union, types.UnionType}:
        return " or ".join(dict.fromkeys(_type(one, places) for one in inner if one is not type(None)))
    if origin in {dict, Mapping}:
        return f"by name: {_type(inner[1], places)}"
    if origin in {tuple, list}:
        return f"a list of: {_type(inner[0], places)}"
    if inspect.isclass(hint) and issubclass(hint, Section):
        found = next(place for place in places if place.model is hint)
        return f"[{_kind(hint).replace('type: ', '').replace('method: ', '') or 'a mapping'}](#{found.anchor})"
    return PLAIN.get(hint, getattr(hint, "__name__", str(hint)))


def _default(model: type[BaseModel], key: str, hint: Any) -> str:
    field = model.model_fields[key]
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value in (None, (), {}):
        return ""
    return code(_shown(value, span=_is_span(hint)))


def _is_span(hint: Any) -> bool:
    if any(hint == span for span in SPAN):
        return True
    return get_origin(hint) in {Union, types.UnionType} and any(_is_span(one) for one in get_args(hint))


def _shown(value: Any, *, span: bool = False) -> str:
    if isinstance(value, BaseModel):
        return "{" + ", ".join(f"{key}: {_shown(getattr(value, key))}" for key in type(value).model_fields) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_shown(one) for one in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}{'s' if span and value else ''}"
    return str(value)
