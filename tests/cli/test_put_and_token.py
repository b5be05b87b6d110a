"""`rotator put` and `rotator token`: seeding a document, and reading its access token."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rotator.testing.sandbox import DEFAULT_CLIENT_ID
from tests.app import situations

if TYPE_CHECKING:
    from tests.app.stage import Ended, Stage


def put(stage: Stage, content: object, name: str = "alpha") -> Ended:
    file = stage.folder / "answer.json"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    return stage.cli("put", name, str(file))


def login(stage: Stage) -> dict[str, Any]:
    return dict(stage.face().login(DEFAULT_CLIENT_ID))


# ---------------------------------------------------------------------------------------------------------- put


def test_put_seeds_a_new_secret(stage: Stage) -> None:
    """The answer of a provider becomes the document, with the instants that its lifetime means."""
    stage.credential()
    answer = login(stage)

    ended = put(stage, answer)

    now = int(stage.clock.now().timestamp())
    assert (ended.code, ended.out, ended.err) == (0, "alpha: stored as version 1\n", "")
    assert stage.document() == {**answer, "issued_at": now, "expires_at": now + 3600}
    [event] = stage.events
    assert event["event"] == "credential.seeded"
    assert event["version_after"] == "1"
    assert "version_before" not in event
    assert event["expires_at"].startswith("2026-01-01T01:00:00")
    assert event["actor"]["mode"] == "operator"


def test_put_replaces_and_keeps_what_it_does_not_know(stage: Stage) -> None:
    """Fields that the answer does not name stay, but for the old tokens' times."""
    stage.ready()
    stage.write(team="payroll", client_id="kept", expires_at=stage.document()["expires_at"])
    stage.advance(100)
    answer = login(stage)
    del answer["expires_in"]

    ended = put(stage, answer)

    document = stage.document()
    assert ended.out == "alpha: stored as version 3\n"
    assert (document["team"], document["client_id"]) == ("payroll", "kept")
    assert document["refresh_token"] == answer["refresh_token"]
    assert document["issued_at"] == int(stage.clock.now().timestamp())
    assert "expires_at" not in document
    assert "expires_in" not in document


def test_put_believes_the_times_in_the_answer(stage: Stage) -> None:
    """An answer with its own issue time is counted from there, and one with its own expiry is left as it is."""
    stage.credential()
    answer = login(stage)

    put(stage, {**answer, "issued_at": "2025-12-31T23:50:00Z", "expires_in": 3600})
    counted = stage.document()
    put(stage, {**login(stage), "expires_at": "2026-01-01T05:00:00Z", "expires_in": 3600})
    stated = stage.document()

    assert counted["expires_at"] == 1767228600
    assert stated["expires_at"] == "2026-01-01T05:00:00Z"


def test_put_reads_stdin(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file, and with `-`, the answer comes from stdin."""
    stage.credential()
    for arguments in (("put", "alpha"), ("put", "alpha", "-")):
        answer = login(stage)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(answer).encode())))

        assert stage.cli(*arguments).code == 0
        assert stage.document()["refresh_token"] == answer["refresh_token"]


def test_put_reads_the_pipe_of_a_process(real_stage: Stage) -> None:
    """`rotator put NAME` in a pipeline takes what the program before it prints."""
    real_stage.credential()
    answer = login(real_stage)

    done = subprocess.run(
        [sys.executable, "-m", "rotator", "-c", str(real_stage.save()), "put", "alpha"],
        input=json.dumps(answer),
        env={**os.environ, **real_stage.env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "alpha: stored as version 1\n")
    assert real_stage.document()["refresh_token"] == answer["refresh_token"]


UNUSABLE = [
    ("", "it is empty"),
    (b"\xff\xfe\x00canary", "it is binary, not text"),
    ("{canary", "it is not JSON"),
    ("[]", "it is not a JSON object"),
    ('{"refresh_token": "canary", "refresh_token": "canary2"}', "a name stands in it twice"),
    ({"access_token": "canary"}, "it has no refresh_token"),
    ({"refresh_token": ""}, "it has no refresh_token"),
    ({"refresh_token": 17, "access_token": "canary"}, "it has no refresh_token"),
]


@pytest.mark.parametrize(("content", "problem"), UNUSABLE, ids=[problem for _, problem in UNUSABLE])
def test_put_refuses_what_is_no_token_response(stage: Stage, content: object, problem: str) -> None:
    """What cannot be used is refused with 2 and the reason, never quoted, and nothing is stored or audited."""
    stage.credential()

    ended = put(stage, content)

    assert (ended.code, ended.out) == (2, "")
    assert f"rotator: the token response cannot be used: {problem}\n    → " in ended.err
    assert "canary" not in ended.err
    assert stage.cli("explain", "alpha").code == 1
    assert stage.events == []


@pytest.mark.parametrize(
    "content",
    [{}, {"error": "invalid_grant", "error_description": "dead"}, {"refresh_token": 17}, {"token_type": "Bearer"}],
    ids=["empty", "an error", "no text", "no token"],
)
def test_put_refuses_an_answer_without_tokens_over_a_good_document(stage: Stage, content: object) -> None:
    """An answer that brings no token is refused, and leaves the document that is there as it is."""
    stage.ready()
    before = stage.document()

    ended = put(stage, content)

    assert ended.code == 2
    assert "the token response cannot be used" in ended.err
    assert (stage.document(), stage.version()) == (before, "1")


def test_put_wants_a_refresh_token_in_the_answer(stage: Stage) -> None:
    """An answer with an access token only is refused: the two would not be of one login."""
    stage.ready()

    ended = put(stage, {"access_token": "canary-new", "expires_in": 60, "token_type": "Bearer"})

    assert ended.code == 2
    assert stage.version() == "1"


def test_put_replaces_what_was_no_document(stage: Stage) -> None:
    """A secret that could not be used is replaced by the answer."""
    situations.without_refresh_token(stage)
    answer = login(stage)

    assert put(stage, answer).code == 0
    assert stage.document()["refresh_token"] == answer["refresh_token"]


def test_put_of_an_unreadable_file_is_bad_usage(stage: Stage) -> None:
    """A file that is not there, or is a folder, ends with 2 and its name."""
    stage.credential()

    missing = stage.cli("put", "alpha", str(stage.folder / "nothing.json"))
    folder = stage.cli("put", "alpha", str(stage.folder))

    assert (missing.code, folder.code) == (2, 2)
    assert f"{stage.folder / 'nothing.json'}: cannot be read: No such file" in missing.err
    assert f"{stage.folder}: cannot be read: Is a directory" in folder.err


def test_put_refuses_a_spent_refresh_token(stage: Stage) -> None:
    """A refresh token that was already presented is refused, so that nobody puts an old answer back."""
    situations.due(stage)
    old = stage.document()
    stage.cli("once")

    ended = put(stage, old)

    assert ended.code == 2
    assert "this refresh token was already presented to the provider" in ended.err
    assert stage.version() == "2"


def test_put_refuses_a_rejected_refresh_token(stage: Stage) -> None:
    """A refresh token that the provider rejected is refused with the error and the way out."""
    situations.latched(stage)

    ended = put(stage, stage.document())

    assert ended.code == 2
    assert "the provider rejected this very refresh token (invalid_grant)" in ended.err
    assert "rotator resolve alpha --clear" in ended.err


def test_put_stores_nothing_that_it_cannot_audit(stage: Stage) -> None:
    """With an audit file that cannot be written the document stays as it is, and the code is 75."""
    stage.ready()
    stage.config["audit"] = [{"type": "jsonl", "path": str(stage.folder / "nowhere" / "audit.jsonl")}]

    ended = put(stage, login(stage))

    assert (ended.code, ended.out) == (75, "")
    assert stage.version() == "1"


def test_put_ends_a_latch(stage: Stage) -> None:
    """A new refresh token in the store makes a latched credential work again, without another word."""
    situations.latched(stage)
    put(stage, login(stage))

    assert stage.cli("status", "--json").json["credentials"][0]["state"] == "fresh"
    assert stage.cli("once", "--force").code == 0
    assert stage.is_live()


def test_put_that_loses_a_race_is_temporary(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """When somebody writes between the reading and the write, put ends with 75 and overwrites nothing."""
    stage.ready()
    answer = login(stage)
    from rotator.stores.local import LocalSecretStore

    real = LocalSecretStore.compare_and_swap

    def late(store: LocalSecretStore, secret: str, document: Any, **how: Any) -> Any:
        monkeypatch.undo()
        stage.write(note="first")
        return real(store, secret, document, **how)

    monkeypatch.setattr(LocalSecretStore, "compare_and_swap", late)
    monkeypatch.setenv("CLIENT_SECRET", "x")

    ended = put(stage, answer)

    assert ended.code == 75
    assert "no longer at version 1" in ended.err


# -------------------------------------------------------------------------------------------------------- token


def test_token_prints_the_access_token_and_nothing_else(stage: Stage) -> None:
    """Stdout is the access token and a line feed; the reading is in the audit trail, without the token."""
    stage.ready()
    token = stage.document()["access_token"]

    ended = stage.cli("token", "alpha")

    assert (ended.code, ended.out, ended.err) == (0, f"{token}\n", "")
    assert stage.events[-1]["event"] == "credential.read"
    assert stage.events[-1]["version_before"] == "1"
    assert token not in stage.audit_file.read_text()


def test_a_reading_that_cannot_be_audited_prints_nothing(stage: Stage) -> None:
    """With an audit file that cannot be written the token stays inside, and the code is 75."""
    stage.ready()
    stage.config["audit"] = [{"type": "jsonl", "path": str(stage.folder / "nowhere" / "audit.jsonl")}]

    ended = stage.cli("token", "alpha")

    assert (ended.code, ended.out) == (75, "")
    assert "credential.read of alpha was not recorded" in ended.err


def test_the_audit_is_written_before_the_token_is_printed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the output is written the event is already in the file."""
    stage.ready()
    seen: list[list[str]] = []

    class Watching(io.StringIO):
        def write(self, text: str) -> int:
            seen.append(stage.event_names())
            return super().write(text)

    monkeypatch.setattr(sys, "stdout", Watching())
    stage.cli("token", "alpha")

    assert seen
    assert all(names[-1] == "credential.read" for names in seen)


def test_an_expired_token_is_printed_with_a_word_on_stderr(stage: Stage) -> None:
    """An expired access token still comes out, and stderr says so."""
    stage.ready()
    stage.advance(3600)

    ended = stage.cli("token", "alpha")

    assert ended.code == 0
    assert ended.out == f"{stage.document()['access_token']}\n"
    assert ended.err == "rotator: this access token has expired; see: rotator explain alpha\n"


def test_a_document_without_access_token_has_none_to_print(stage: Stage) -> None:
    """Before the first rotation there may be no access token: the code is 2 and the hint says how to get one."""
    stage.ready()
    stage.write(access_token=None)

    ended = stage.cli("token", "alpha")

    assert (ended.code, ended.out) == (2, "")
    assert "alpha holds no access token yet" in ended.err
    assert "→ rotator once --name alpha" in ended.err


def test_an_unusable_document_has_no_token_to_print(stage: Stage) -> None:
    """A secret that cannot be used ends with 2 and what to do."""
    situations.without_refresh_token(stage)

    ended = stage.cli("token", "alpha")

    assert (ended.code, ended.out) == (2, "")
    assert "it has no refresh_token" in ended.err
    assert "rotator put alpha" in ended.err


def test_a_missing_secret_needs_a_person(stage: Stage) -> None:
    """A secret that is not there ends with 1."""
    stage.credential()

    assert stage.cli("token", "alpha").code == 1


def test_a_store_without_key_names_the_key(stage: Stage) -> None:
    """A local store whose key is another one than it was written with ends with 1 and the hint, and no token."""
    stage.ready()
    key = Path(f"{stage.folder / 'secrets.db'}.key")
    key.unlink()

    ended = stage.cli("token", "alpha")

    assert (ended.code, ended.out) == (1, "")
    assert "does not open" in ended.err
