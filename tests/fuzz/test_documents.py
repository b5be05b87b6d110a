"""Secrets whose content somebody damaged: a document, or a word on why it is none; never lost fields, never a crash."""

from __future__ import annotations

import json
import sqlite3
import threading
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from rotator.documents import document_text, merged, parse_document, stored_tokens
from rotator.errors import RotatorError, StoreCorrupt, StoreUnavailable
from rotator.ledger import provider_key
from rotator.model import Document, Malformed, Versioned
from rotator.observe import client_id_of
from rotator.policy import Decision, decide
from rotator.records import ProviderRecord
from rotator.seal import AesSeal
from rotator.state.local import LocalStateStore
from rotator.stores.aws import _versioned
from rotator.stores.local import LocalSecretStore
from rotator.testing.memory import VirtualClock
from tests.core.parts import EPOCH_S, NOW, jwt, stored, token_set
from tests.core.situations import situation
from tests.effort import tried
from tests.fuzz.leaks import INSIDE, INSIDE_TOO, PROCESS, assert_secret, spellings
from tests.fuzz.mutations import RAW, foreign_json, mutated_json
from tests.fuzz.vault_answers import vault_secrets
from tests.rotation.world import provider

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VALID: list[dict[str, Any]] = [
    {"refresh_token": INSIDE, "access_token": INSIDE_TOO, "expires_at": EPOCH_S + 3600, "issued_at": EPOCH_S},
    {
        "access_token": jwt(exp=EPOCH_S + 3600, sub=INSIDE_TOO),
        "refresh_token": INSIDE,
        "token_type": "Bearer",
        "expires_in": 3600,
        "scope": "user:read offline_access",
        "id_token": jwt(iss="https://id.example", sub="user-1", aud=["client-1"]),
        "client_id": "client-1",
        "client_secret": PROCESS,
        "team": {"name": "payroll", "numbers": [1, 2.5, 1e20, None, True], "deep": {"er": ["x"]}},
    },
    {"refresh_token": INSIDE, "expires_at": "2026-01-01T01:00:00+00:00"},
]
DEFAULTED = provider(default_lifetime_s=3600.0)
SECRETS = (INSIDE, INSIDE_TOO, PROCESS)


def assert_usable(stored_as: Versioned) -> None:
    """Check that whatever a store returned can be decided about, merged into and written back."""
    content = stored_as.content
    if isinstance(content, Malformed):
        assert_secret(content, *SECRETS)
        return
    tokens = stored_tokens(stored_as, DEFAULTED)
    # A damaged document may hold a secret where a name or a scope belongs; only there it may be shown.
    public = repr([content.fields.get(name) for name in ("scope", "client_id")])
    secrets = [one for one in SECRETS if not any(spelling in public for spelling in spellings(one))]
    assert_secret(tokens, *secrets)
    for now_s in (0.0, 3599.0):
        decision = decide(replace(situation(now_s), stored=stored_as))
        assert isinstance(decision, Decision)
        assert_secret(decision, *secrets)
    after = merged(content, token_set(), sent_at=NOW, provider=DEFAULTED)
    text = document_text(after)
    again = parse_document(text.encode())
    assert again == after
    foreign = {name: value for name, value in content.fields.items() if name not in after.fields or name == "team"}
    assert all(again.fields.get(name) == value for name, value in foreign.items() if name == "team")


@tried(400)
@given(foreign_json(VALID))
def test_a_damaged_document_can_be_decided_about_and_written_back(damaged: bytes) -> None:
    """It is a document whose fields survive a rotation, or malformed in words that do not quote it."""
    for content in (damaged, damaged.decode("utf-8", "replace")):
        document = parse_document(content)
        assert isinstance(document, Document | Malformed)
        assert_usable(replace(stored(), content=document))


@tried(200)
@given(foreign_json(VALID))
def test_a_number_is_written_back_as_it_was(damaged: bytes) -> None:
    """A document that is read and written means the same to a reader that keeps every digit."""
    document = parse_document(damaged)
    if isinstance(document, Document):
        exact = {"parse_float": Decimal}
        assert json.loads(document_text(document), **exact) == json.loads(damaged, **exact)


# ---------------------------------------------------------------------------------------------------- the stores


@pytest.fixture(scope="module")
def in_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Versioned]:
    """Put columns into the row of a local secret, and read it."""
    path: Path = tmp_path_factory.mktemp("store") / "secrets.db"
    seal = AesSeal(lambda: bytes(32))
    store = LocalSecretStore("main", path, seal, VirtualClock())
    store.compare_and_swap("payroll", Document(VALID[0]), expected=None, write_id="w")

    def read(content: bytes | None = None, **columns: Any) -> Versioned:
        if content is not None:
            columns["sealed"] = seal.seal(content, "secret:payroll")
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA synchronous = OFF")
        for name, value in columns.items():
            connection.execute(f"UPDATE secret SET {name} = ?", (value,))
        connection.close()
        return store.read("payroll")

    return read


@tried(60, cost=4)
@given(foreign_json(VALID))
def test_a_damaged_secret_of_the_local_store(in_file: Callable[..., Versioned], damaged: bytes) -> None:
    """What is sealed there, though it is no document, is returned as a malformed one."""
    assert_usable(in_file(damaged))


ROW = {"version": 1, "created_at": "2026-01-01T00:00:00+00:00", "sealed": "AQ==", "write_id": "w"}


@tried(80, cost=4)
@given(
    mutated_json(
        [ROW], hostile=("", " ", "x", "\x00", 0, -1, 1.5, 2**62, "2026-02-30T00:00:00", "2026-01-01", "9" * 400)
    )
)
def test_a_damaged_row_of_the_local_store(in_file: Callable[..., Versioned], row: dict[str, Any]) -> None:
    """Columns that no rotator wrote are an error of the port."""
    good = {"created_at": ROW["created_at"], "version": 1, "write_id": "w"}
    plain = {
        name: value
        for name, value in row.items()
        if name in ROW and isinstance(value, str | int | float) and "\ud800" not in str(value)
    }
    content = None if "sealed" in plain and plain["sealed"] != ROW["sealed"] else json.dumps(VALID[0]).encode()
    plain.pop("sealed", None) if content else None
    try:
        assert_usable(in_file(content, **{**good, **plain}))
    except StoreCorrupt as error:
        assert_secret(error, *SECRETS)


@tried(100)
@given(mutated_json([{"SecretString": json.dumps(VALID[0]), "SecretBinary": json.dumps(VALID[1]).encode().hex()}]))
def test_a_secret_of_aws_is_text_binary_or_neither(answer: dict[str, Any]) -> None:
    """Whatever GetSecretValue has for a value is a document or malformed."""
    text = answer.get("SecretString")
    if text is None or isinstance(text, str):
        assert_usable(_versioned({**answer, "ARN": "arn:x", "VersionId": "v", "CreatedDate": NOW}))  # type: ignore[typeddict-item]


ENTRY = {"data": {"data": VALID[1], "metadata": {"version": 3, "created_time": "2026-01-01T00:00:00.1Z"}}}


@tried(150, cost=2)
@given(foreign_json([ENTRY, {**ENTRY, "errors": []}]))
def test_a_damaged_answer_of_vault(damaged: bytes) -> None:
    """What Vault, or something before it, answers is a document or an error of the port."""
    for status in (200, 400, 404, 500):
        try:
            assert_usable(vault_secrets(damaged, status).read("team/payroll"))
        except RotatorError as error:
            assert_secret(error, *SECRETS)


METADATA = {"current_version": 1, "versions": {"1": {"destroyed": False}}, "custom_metadata": {"team": INSIDE_TOO}}


@tried(100, cost=4)
@given(foreign_json([{"data": {**METADATA, "keys": ["app", "a b", "payroll"]}}, {"data": {"keys": ["deep/", "app"]}}]))
def test_a_damaged_listing_of_vault(damaged: bytes) -> None:
    """What Vault, or something before it, answers to a search is what was found or an error of the port."""
    for status in (200, 404):
        store = vault_secrets(damaged, status)
        for listing in (lambda: store.find("", {}), lambda: store.versions(["team/payroll"])):  # noqa: B023 - at once
            try:
                listed = listing().values()
            except RotatorError as error:
                assert_secret(error, *SECRETS)
            else:
                assert all(isinstance(one.version, str) and one.identity for one in listed)


# ------------------------------------------------------------------------------------------ what was found, by name


def test_a_document_that_is_read_can_be_written_back_from_a_deeper_place() -> None:
    """A depth that the parser just takes may be beyond the encoder's, which runs when the tokens are spent."""
    levels = [depth for depth in range(50, 1000, 10) if isinstance(nested(depth), Document)]

    def at_depth(frames: int, document: Document) -> str:
        return at_depth(frames - 1, document) if frames else document_text(document)

    assert levels
    assert at_depth(200, nested(max(levels)))  # type: ignore[arg-type]


def test_an_answer_of_vault_that_is_too_deep_is_an_error_of_the_port() -> None:
    """Depths beyond the parser's, and those that could not be written back."""
    for depth in (200, 900, 100_000):
        answer = '{"data": {"data": {"refresh_token": "r", "a": %s}, "metadata": {"version": 3}}}'
        deep = "[" * depth + "]" * depth
        store = vault_secrets((answer % deep).encode())
        try:
            assert isinstance(store.read("team/payroll").content, Malformed)
        except StoreUnavailable as error:
            assert_secret(error, *SECRETS)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_an_answer_of_vault_with_a_number_that_is_no_json_is_malformed(number: str) -> None:
    """Hvac's parser reads it, and Vault would refuse to write it back when the tokens are spent."""
    answer = f'{{"data": {{"data": {{"refresh_token": "r", "a": [{number}]}}, "metadata": {{"version": 3}}}}}}'
    assert isinstance(vault_secrets(answer.encode()).read("team/payroll").content, Malformed)


def nested(depth: int) -> Document | Malformed:
    """Read a document with so many levels in a thread's fresh stack."""
    text = '{"refresh_token":"r","deep":' + "[" * depth + "]" * depth + "}"
    results: list[Document | Malformed] = []
    thread = threading.Thread(target=lambda: results.append(parse_document(text)))
    thread.start()
    thread.join()
    return results[0]


def test_a_client_id_that_is_no_unicode_text_leads_to_a_record(tmp_path: Path) -> None:
    """Half a surrogate pair in the document's client_id is no crash of the state, which is asked before the request."""
    document = parse_document('{"refresh_token": "r", "client_id": "\\ud800"}')
    credential = replace(situation().credential, client_id=None)
    key = provider_key("https://id.example/token", client_id_of(credential, replace(stored(), content=document)))
    state = LocalStateStore(tmp_path / "state.db")
    state.compare_and_swap(key, {"format": 1, "identity": key}, expected=0)
    assert state.read(key)[1] > 0
    assert ProviderRecord(key).identity.encode()


def test_every_raw_value_is_a_document_or_a_word_on_it() -> None:
    """Each value that no encoder writes, as the value of a foreign field."""
    for raw in RAW.values():
        text = f'{{"refresh_token":"r","foreign":{raw}}}'
        document = parse_document(text)
        if isinstance(document, Document):
            assert json.loads(document_text(document), parse_float=Decimal) == json.loads(text, parse_float=Decimal)
