"""JSON Schemas (draft 2020-12) of the configuration and of profile files, for editors, made from the models.

They are laxer than the loader, which also looks at what one key says of another, and never stricter: what the loader
accepts they accept. So a type whose validator takes more spellings than its annotation shows needs a `WithJsonSchema`,
as in `rotator.config.values`; tests/profiles/test_schemas.py looks for one that was forgotten.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema

from rotator.config.model import Settings
from rotator.config.profile_settings import ProfileFile
from rotator.config.provider_settings import ProviderSettings
from rotator.config.values import REFERENCE
from rotator.profiles import BUILT_IN, load_profile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel
    from pydantic_core import core_schema

    from rotator.profiles.schema import Variable

FOLDER = Path(__file__).parent

DIALECT = "https://json-schema.org/draft/2020-12/schema"

FILES = {"configuration": FOLDER / "configuration.schema.json", "profile": FOLDER / "profile.schema.json"}

_TAGS = ("type", "method")
"""The keys by which the members of a union are told apart, as for `rotator.config.values.one_type`."""

_ARGUMENT = re.compile(r"^    (\w+): (.+(?:\n {6,}.+)*)", re.MULTILINE)

_FROM_ENVIRONMENT = {"type": "string", "pattern": REFERENCE}


def texts() -> dict[str, str]:
    """Return the text of each schema, by its name in `FILES`."""
    made = {"configuration": configuration_schema(), "profile": profile_schema()}
    return {name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in made.items()}


def configuration_schema() -> dict[str, Any]:
    """Return the schema of a configuration."""
    schema = _schema_of(Settings, "rotator's configuration")
    entry = schema["$defs"][ProviderSettings.__name__]
    entry["allOf"] = [_with_profile(name) for name in BUILT_IN]
    entry["properties"]["profile"] = {
        "anyOf": [{"enum": list(BUILT_IN)}, {"type": "string", "minLength": 1}],
        "description": "A shipped profile; a file of your own, with a / in it or .yaml at its end; or a plug-in's.",
    }
    return schema


def profile_schema() -> dict[str, Any]:
    """Return the schema of a profile file."""
    return _schema_of(ProfileFile, "A provider profile for rotator")


def _with_profile(name: str) -> dict[str, Any]:
    """Return what an entry with a shipped profile may say: the profile's variables beside the fields, nothing else."""
    variables = load_profile(name).variables
    return {
        "if": {"properties": {"profile": {"const": name}}, "required": ["profile"]},
        "then": {
            "properties": {key: _variable(variable) for key, variable in variables.items()},
            "propertyNames": {"enum": sorted({*ProviderSettings.model_fields, *variables})},
        },
    }


def _variable(variable: Variable) -> dict[str, Any]:
    value: dict[str, Any] = {"type": "string", "minLength": 1, "description": variable.hint}
    if variable.default is not None:
        value["default"] = variable.default
    if variable.of:
        del value["type"], value["minLength"]
        value["anyOf"] = [{"enum": [*variable.of]}, _FROM_ENVIRONMENT]
    return value


# ------------------------------------------------------------------------------------------------- of any model


class _Generator(GenerateJsonSchema):
    """Pydantic's, with what the docstrings say of each key, and with `${VAR}` wherever a text is expected."""

    def model_schema(self, schema: core_schema.ModelSchema) -> dict[str, Any]:
        made = super().model_schema(schema)
        model: type[BaseModel] = schema["cls"]
        made["description"] = (model.__doc__ or "").partition("\n\n")[0].strip()
        said = _said_of_keys(model)
        for key, value in made.get("properties", {}).items():
            value.pop("title", None)
            if key in said:
                value.setdefault("description", said[key])
        return made

    def literal_schema(self, schema: core_schema.LiteralSchema) -> dict[str, Any]:
        made = super().literal_schema(schema)
        if not all(isinstance(value, str) for value in schema["expected"]):
            return made
        return {"anyOf": [made, _FROM_ENVIRONMENT]}


def _schema_of(model: type[BaseModel], title: str) -> dict[str, Any]:
    schema = model.model_json_schema(schema_generator=_Generator)
    for union in list(_unions(schema)):
        _mend(union, schema["$defs"])
    return {"$schema": DIALECT, **schema, "title": title}


def _said_of_keys(model: type[BaseModel]) -> dict[str, str]:
    """Return what the docstrings of a model and its bases say under `Args`, by key."""
    said: dict[str, str] = {}
    for one in model.__mro__:
        arguments = (one.__dict__.get("__doc__") or "").partition("Args:\n")[2]
        for key, text in _ARGUMENT.findall(re.sub("^    ", "", arguments, flags=re.MULTILINE)):
            info = model.model_fields.get(key)
            said.setdefault((info and info.alias) or key, " ".join(text.split()))
    return said


def _unions(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every `oneOf` in a schema: pydantic's form of a union whose members are told apart by a tag."""
    if isinstance(schema, dict):
        if "oneOf" in schema:
            yield schema
        for value in schema.values():
            yield from _unions(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _unions(value)


def _mend(union: dict[str, Any], definitions: Mapping[str, Any]) -> None:
    """Demand the tag of each member, as the loader does, and keep the plug-ins' member from taking the others' tags."""
    members = {member["$ref"]: definitions[member["$ref"].rpartition("/")[2]] for member in union.pop("oneOf")}
    union.pop("discriminator", None)
    known: list[str] = []
    tag = _TAGS[0]
    for member in members.values():
        for key in _TAGS:
            if value := _constant(member["properties"].get(key)):
                tag = key
                known.append(value)
                member["required"] = sorted({*member.get("required", ()), key})
    others = {"properties": {tag: {"not": {"enum": known}}}}
    union["anyOf"] = [
        {"$ref": reference} if _constant(member["properties"].get(tag)) else {"allOf": [{"$ref": reference}, others]}
        for reference, member in members.items()
    ]


def _constant(value: Mapping[str, Any] | None) -> str | None:
    """Return the one text that a tag may be."""
    for choice in (value or {}).get("anyOf", ()):
        if "const" in choice:
            return str(choice["const"])
    return None
