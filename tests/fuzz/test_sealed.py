"""Sealed texts and the keys that seal them, damaged: opened as they were, or refused in words without a secret."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.documents import document_text, merged
from rotator.errors import ConfigError, EscrowCorrupt, SealBroken, StoreCorrupt
from rotator.model import Document
from rotator.policy import decide
from rotator.received import Received, opened, sealed_tokens
from rotator.records import SealedEntry
from rotator.redact import Secret
from rotator.seal import AesSeal, key_from_env, key_from_file, key_from_kms
from tests.core.parts import DIGEST, NOW, stored, token_set
from tests.core.situations import situation
from tests.effort import tried
from tests.fuzz.leaks import INSIDE, INSIDE_TOO, assert_secret
from tests.fuzz.mutations import foreign_json, mutated_bytes, mutated_json
from tests.rotation.world import provider

if TYPE_CHECKING:
    from pathlib import Path

KEY = base64.b64encode(b"canary key of thirty-two bytes!!")
SEAL = AesSeal(lambda: base64.b64decode(KEY))
CONTEXT = f"escrow|identity|{DIGEST}"
SEALED = SEAL.seal(INSIDE.encode(), CONTEXT)
TOKENS = token_set(access_token=Secret(INSIDE), refresh_token=Secret(INSIDE_TOO))
ENTRY = sealed_tokens(Received(TOKENS, NOW, DIGEST, "r-0"), SEAL, "identity", "payroll")
PLAIN = json.loads(SEAL.open(ENTRY.sealed, CONTEXT))


@tried(300)
@given(mutated_bytes([SEALED.encode(), base64.b64decode(SEALED)]), mutated_bytes([CONTEXT.encode()], most=1))
def test_a_damaged_seal_opens_as_it_was_or_not_at_all(damaged: bytes, context: bytes) -> None:
    """Only what was sealed comes out, only in its context, and the refusal quotes neither content nor key."""
    for text in (damaged.decode("latin-1"), base64.b64encode(damaged).decode()):
        try:
            assert SEAL.open(text, context.decode("latin-1")) == INSIDE.encode()
            assert context == CONTEXT.encode()
        except SealBroken as error:
            assert_secret(error, INSIDE, KEY.decode())


@tried(200)
@given(foreign_json([PLAIN]))
def test_sealed_content_of_another_making_is_corrupt_or_usable(content: bytes) -> None:
    """What opens and is no token set of this version is corrupt; what is taken for one can be merged."""
    entry = replace(ENTRY, sealed=SEAL.seal(content, CONTEXT))
    try:
        waiting = opened(entry, SEAL)
    except EscrowCorrupt as error:
        assert_secret(error, INSIDE, INSIDE_TOO)
        return
    if content == json.dumps(PLAIN).encode():  # damaged, a token may stand where none belongs
        assert_secret(waiting, INSIDE, INSIDE_TOO)
    assert waiting.sent_at.tzinfo is not None
    assert waiting.tokens is not None
    for now_s in (0.0, 3599.0):
        decide(replace(situation(now_s), stored=stored(), waiting=(waiting,)))
    before = Document({"refresh_token": "old"})
    assert document_text(merged(before, waiting.tokens, sent_at=waiting.sent_at.astimezone(UTC), provider=provider()))


@tried(150)
@given(
    mutated_json(
        [{name: getattr(ENTRY, name) for name in ("identity", "parent", "rotation_id", "credential", "sealed")}]
    )
)
def test_an_entry_with_other_fields_does_not_open(fields: dict[str, Any]) -> None:
    """Identity and parent are sealed along: an entry that was moved to another secret or token does not open there."""
    texts = {name: value for name, value in fields.items() if hasattr(ENTRY, name) and isinstance(value, str)}
    entry = replace(ENTRY, **texts)
    try:
        assert opened(entry, SEAL).tokens == TOKENS
        assert (entry.identity, entry.parent) == (ENTRY.identity, ENTRY.parent)
    except EscrowCorrupt as error:
        assert_secret(error, INSIDE, INSIDE_TOO)


# ----------------------------------------------------------------------------------------------------- the keys


keys = st.one_of(
    mutated_bytes([KEY, KEY + b"\n", b" " + KEY + b"\r\n"]), st.binary(max_size=64), st.just(b"A" * 70_000)
)


@tried(150, cost=2)
@given(keys, st.sampled_from([0o600, 0o400, 0o644, 0o660]))
def test_a_damaged_key_file_is_32_bytes_or_a_problem(tmp_path: Path, content: bytes, mode: int) -> None:
    """A key file gives 32 bytes or a ConfigError that does not quote it."""
    path = tmp_path / "seal.key"
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    try:
        key = key_from_file(path, create=False)
    except ConfigError as error:
        assert_secret(error, KEY.decode())
    else:
        assert len(key) == 32
        assert not mode & 0o077
        assert base64.b64decode(content.strip()) == key


@tried(150)
@given(keys)
def test_a_damaged_key_variable_is_32_bytes_or_a_problem(content: bytes) -> None:
    """The same for a variable, whatever text the environment holds."""
    for text in (content.decode("latin-1"), content.decode("utf-8", "surrogateescape")):
        try:
            assert len(key_from_env("SEAL_KEY", {"SEAL_KEY": text})) == 32
        except ConfigError as error:
            assert_secret(error, KEY.decode())


class State:
    """Shows one body."""

    def __init__(self, body: Any) -> None:
        self.body = body

    def read(self, _: str) -> tuple[Any, int]:
        return self.body, 1


class Kms:
    """Unwraps anything to the key, if it is bytes at all."""

    def decrypt(self, *, CiphertextBlob: bytes, **_: Any) -> dict[str, bytes]:  # noqa: N803 - boto3's name
        assert isinstance(CiphertextBlob, bytes)
        return {"Plaintext": base64.b64decode(KEY)}


@tried(150)
@given(mutated_json([{"wrapped": KEY.decode()}]))
def test_a_damaged_wrapped_key_is_corrupt(body: Any) -> None:
    """The state's entry for a key of KMS is one or is called corrupt."""
    try:
        key = key_from_kms(cast("Any", Kms()), "alias/rotator", cast("Any", State(body)))
    except StoreCorrupt as error:
        assert_secret(error, KEY.decode())
    else:
        assert key == base64.b64decode(KEY)


# ------------------------------------------------------------------------------------------ what was found, by name

STRANGE = {
    "an access token that is a number": {**PLAIN, "tokens": {**PLAIN["tokens"], "access_token": 5}},
    "a local time": {**PLAIN, "sent_at": "2026-01-01T00:00:00"},
    "a lifetime in a text": {**PLAIN, "tokens": {**PLAIN["tokens"], "expires_in_s": "3600"}},
    "the end of the calendar": {**PLAIN, "sent_at": "9999-12-31T23:59:59-23:59"},
}


@pytest.mark.parametrize("plain", STRANGE.values(), ids=STRANGE.keys())
def test_sealed_content_with_other_types_is_corrupt(plain: dict[str, Any]) -> None:
    """What another version sealed is not taken for a token set because it opens."""
    entry = SealedEntry(
        "identity", DIGEST, "tokens", "r", "payroll", NOW, SEAL.seal(json.dumps(plain).encode(), CONTEXT)
    )
    with pytest.raises(EscrowCorrupt):
        opened(entry, SEAL)
