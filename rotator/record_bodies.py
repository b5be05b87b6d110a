"""The stored form of the state records: JSON that only a record of this version can have become."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter

from rotator.errors import StoreCorrupt
from rotator.records import ProviderRecord, StateRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 1
"""Written into every body. A reader that meets another number stops: an older rotator must not guess."""


def to_body(record: StateRecord | ProviderRecord) -> dict[str, Any]:
    """Return the JSON form of a record; defaults are left out, so that idle records stay small."""
    body: dict[str, Any] = _adapter(type(record)).dump_python(record, mode="json", exclude_defaults=True)
    return {"format": FORMAT, **body}


def state_record(identity: str, body: Mapping[str, Any] | None) -> StateRecord:
    """Read a record; a missing body is an empty record.

    Raises:
        StoreCorrupt: The body is not one that this version wrote.
    """
    return StateRecord(identity) if body is None else _decode(StateRecord, identity, body)


def provider_record(identity: str, body: Mapping[str, Any] | None) -> ProviderRecord:
    """Read a provider's record; a missing body is an empty record.

    Raises:
        StoreCorrupt: The body is not one that this version wrote.
    """
    return ProviderRecord(identity) if body is None else _decode(ProviderRecord, identity, body)


_Record = TypeVar("_Record", StateRecord, ProviderRecord)


def _decode(kind: type[_Record], identity: str, body: Mapping[str, Any]) -> _Record:
    fields = dict(body)
    try:
        if fields.pop("format", None) != FORMAT:
            raise ValueError("unknown format")
        # As JSON: only there does pydantic take texts for instants and yet no text for a number.
        record: _Record = _adapter(kind).validate_json(json.dumps(fields), strict=True)
        if record.identity != identity:
            raise ValueError("another identity")
        claimed: list[str] = getattr(record, "digests", [])
        if len(set(claimed)) != len(claimed):
            raise ValueError("two claims on one token")
    except (ValueError, OverflowError, RecursionError) as error:  # pydantic's ValidationError is a ValueError
        raise StoreCorrupt(
            f"the state record of {identity} cannot be read: {type(error).__name__}",
            hint="restore it from a backup that is not older than the last rotation; without it claims are forgotten",
        ) from None
    return record


_ADAPTERS: dict[str, TypeAdapter[Any]] = {}


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    # Built on first use: building costs some milliseconds that `--help` should not pay.
    adapter = _ADAPTERS.get(kind.__name__)
    if adapter is None:
        adapter = _ADAPTERS[kind.__name__] = TypeAdapter(kind)
    return adapter
