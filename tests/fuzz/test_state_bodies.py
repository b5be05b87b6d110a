"""What a backend holds in the place of a record's text: the local state's file, a DynamoDB item, a Vault entry."""

from __future__ import annotations

import json
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.errors import RotatorError, StoreCorrupt
from rotator.state.dynamodb import DynamoDbStateStore
from rotator.state.local import LocalStateStore
from tests.effort import tried
from tests.fuzz.leaks import INSIDE, assert_secret
from tests.fuzz.mutations import DEEP, foreign_json, mutated_json
from tests.fuzz.vault_answers import vault_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "secret/memory:main#payroll"
BODY = {
    "format": 1,
    "identity": "memory:main#payroll",
    "presented": [{"digest": "5" * 32, "rotation_id": INSIDE, "claimed_at": "2026-01-01T00:00:00Z"}],
    "fence": 3,
}
TEXT = json.dumps(BODY)


class Table:
    """Stands for a DynamoDB client whose one item is anything: a real server takes only items of the right types."""

    def __init__(self, item: Any) -> None:
        self.item = item

    def get_item(self, **_: Any) -> dict[str, Any]:
        return {"Item": self.item}


def in_dynamodb(item: Any) -> Any:
    return DynamoDbStateStore(cast("Any", Table(item)), "table").read(KEY)


@pytest.fixture(scope="module")
def in_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Any], Any]]:
    """Put a value where the text of a record belongs, and read the record."""
    folder = tmp_path_factory.mktemp("state")
    path = folder / "state.db"
    store = LocalStateStore(path)
    store.compare_and_swap(KEY, BODY, expected=0)

    def read(text: Any, *, as_text: bool = False) -> Any:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA synchronous = OFF")
        value = "CAST(? AS TEXT)" if as_text else "?"
        connection.execute(f"UPDATE record SET body = {value}", (text,))
        connection.close()
        return store.read(KEY)

    yield read
    shutil.rmtree(folder)  # the canaries in it are the test's own; the leak hunt must not find them


def in_vault(data: Any) -> Any:
    answer = {"data": {"data": data, "metadata": {"version": 3, "created_time": "2026-01-01T00:00:00Z"}}}
    return vault_state(json.dumps(answer).encode()).read(KEY)


def assert_read_or_corrupt(read: Callable[[Any], Any], stored: Any, text: str | bytes | None) -> None:
    """Check that a reader returns the object that the text is, surely, or calls the record corrupt."""
    try:
        body, revision = read(stored)
    except StoreCorrupt as error:
        assert_secret(error, INSIDE)
        return
    assert isinstance(body, dict)
    assert revision >= 1
    if text is not None:
        assert json.loads(text, object_pairs_hook=lambda pairs: [len(pairs), dict(pairs)]) == once(body)


def once(value: Any) -> Any:
    """Return a value with every object as its number of names and itself, to find names that stood twice."""
    if isinstance(value, dict):
        return [len(value), {name: once(one) for name, one in value.items()}]
    return [once(one) for one in value] if isinstance(value, list) else value


@tried(100, cost=4)
@given(foreign_json([BODY]))
def test_a_damaged_file_of_the_local_state(in_file: Callable[[Any], Any], damaged: bytes) -> None:
    """A record's text in the local state is read as what it says or called corrupt, whether stored as text or bytes."""
    try:
        text = damaged.decode()
    except UnicodeDecodeError:
        assert_read_or_corrupt(in_file, damaged, None)
        assert_read_or_corrupt(lambda damaged: in_file(damaged, as_text=True), damaged, None)
    else:
        assert_read_or_corrupt(in_file, text, text)


@tried(150)
@given(mutated_json([{"id": {"S": KEY}, "revision": {"N": "3"}, "body": {"S": TEXT}}]))
def test_a_damaged_item_of_dynamodb(item: Any) -> None:
    """An item whose attributes are missing, of another type or of other values is read or called corrupt."""
    assert_read_or_corrupt(in_dynamodb, item, None)


@tried(100)
@given(foreign_json([BODY]).map(lambda damaged: damaged.decode("utf-8", "replace")))
def test_a_damaged_text_in_dynamodb(text: str) -> None:
    """The text of an item's body is read as what it says or called corrupt."""
    item = {"id": {"S": KEY}, "revision": {"N": "3"}, "body": {"S": text}}
    assert_read_or_corrupt(lambda text: in_dynamodb({**item, "body": {"S": text}}), text, text)


@tried(60, cost=4)
@given(
    st.one_of(
        mutated_json([{"record": TEXT}]),
        foreign_json([BODY]).map(lambda one: {"record": one.decode("utf-8", "replace")}),
    )
)
def test_a_damaged_entry_of_vault(data: Any) -> None:
    """An entry whose fields are others, or whose text is, is read as what it says, or is an error of the port."""
    text = data.get("record") if isinstance(data, dict) else None
    try:
        assert_read_or_corrupt(in_vault, data, text if isinstance(text, str) else None)
    except RotatorError as error:
        assert_secret(error, INSIDE)


# ------------------------------------------------------------------------------------------ what was found, by name

DAMAGED = {
    "deeper than parsers go": "[" * DEEP + "]" * DEEP,
    "claims that stand twice": TEXT[:-1] + ', "presented": []}',
    "a name twice deep inside": TEXT.replace('"digest"', '"digest": "6", "digest"'),
}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED.keys())
@pytest.mark.parametrize("backend", ["local", "dynamodb", "vault"])
def test_a_text_that_rotator_cannot_have_written_is_corrupt(
    in_file: Callable[[Any], Any], backend: str, text: str
) -> None:
    """A name that stands twice hides a claim, and a text beyond the parser's depth is no record."""
    item = {"id": {"S": KEY}, "revision": {"N": "3"}, "body": {"S": text}}
    readers = {
        "local": lambda: in_file(text),
        "dynamodb": lambda: in_dynamodb(item),
        "vault": lambda: in_vault({"record": text}),
    }
    with pytest.raises(StoreCorrupt):
        readers[backend]()
