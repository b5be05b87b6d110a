"""How the configuration says where a secret comes from, and what all sections of it share."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from rotator.config.values import fault


class Section(BaseModel):
    """What all sections share: no unknown keys, no guessing between types, no values in messages."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class EnvSource(Section):
    """An environment variable."""

    env: str


class FileSource(Section):
    """A file; a line end at its end is not part of the secret."""

    file: str


class StoreSource(Section):
    """A field of a document in one of the stores."""

    store: str
    secret: str
    field: str


SOURCE_HINT = "write {env: NAME}, {file: PATH} or {store: NAME, secret: NAME, field: NAME}"


def source_of(value: object) -> object:
    """Refuse anything but the three shapes, in words that quote neither keys nor values: `{hunter2}` is a mapping."""
    for shape in (EnvSource, FileSource, StoreSource):
        if isinstance(value, shape):
            return value
        if isinstance(value, Mapping) and set(value) == set(shape.model_fields):
            if not all(isinstance(text, str) and text.strip() for text in value.values()):
                raise fault("names no source: each part must be a text", SOURCE_HINT)
            return shape.model_validate(value)
    if isinstance(value, str):
        raise fault("a secret must not stand in the configuration", SOURCE_HINT)
    raise fault("is not a source of a secret", SOURCE_HINT)


SecretSource = Annotated[EnvSource | FileSource | StoreSource, BeforeValidator(source_of)]
