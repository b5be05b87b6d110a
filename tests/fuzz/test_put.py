"""What people give to `rotator put`: stored as a document that can be worked with, or refused in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from rotator.documents import stored_tokens
from rotator.errors import Defect, Refused, RotatorError
from rotator.model import StoredTokens
from rotator.operations import Operations
from tests.effort import tried
from tests.fuzz.apps import local_app
from tests.fuzz.leaks import INSIDE, INSIDE_TOO, PROCESS, assert_secret
from tests.fuzz.mutations import foreign_json

if TYPE_CHECKING:
    from rotator.wiring import App

RESPONSES: list[dict[str, Any]] = [
    {"access_token": INSIDE_TOO, "refresh_token": INSIDE, "token_type": "Bearer", "expires_in": 3600, "scope": "a b"},
    {
        "refresh_token": INSIDE,
        "access_token": INSIDE_TOO,
        "expires_at": "2026-01-01T01:00:00Z",
        "issued_at": 1767225600,
    },
    {"refresh_token": INSIDE, "client_id": "c", "client_secret": PROCESS, "id_token": "a.b.c", "more": {"x": [1]}},
]
SECRETS = (INSIDE, INSIDE_TOO, PROCESS)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    return local_app(tmp_path_factory.mktemp("put"), "operator")


@tried(100, cost=6)
@given(foreign_json(RESPONSES))
def test_a_damaged_response_is_stored_whole_or_refused(app: App, damaged: bytes) -> None:
    """What was stored can be read, looked at and put again; what was refused changed nothing; no word quotes it."""
    [credential] = app.credentials
    store = app.stores[credential.store]
    try:
        written = Operations(app).put(credential, damaged)
    except Refused as error:
        assert_secret(error, *SECRETS)
        return
    assert_secret(written, *SECRETS)
    read = store.read(credential.secret)
    assert read == written
    assert isinstance(stored_tokens(read, credential.provider), StoredTokens)
    [(_, observed)] = app.passes.look([credential])
    assert not isinstance(observed, Defect), observed
    assert not isinstance(observed, RotatorError)
    assert_secret(observed, *SECRETS)
    token = json.loads(damaged)["refresh_token"]
    assert read.content.fields["refresh_token"] == token  # type: ignore[union-attr]


def test_the_audit_trail_of_what_was_put_holds_no_secret(app: App) -> None:
    """Every line that the fuzzing above left in the trail is JSON without a canary."""
    [credential] = app.credentials
    Operations(app).put(credential, json.dumps(RESPONSES[0]))
    [sink] = app.settings.audit
    lines = Path(sink.path).read_text(encoding="utf-8").splitlines()
    assert lines
    for line in lines:
        assert json.loads(line)["event"] == "credential.seeded"
        assert_secret(line, *SECRETS)
