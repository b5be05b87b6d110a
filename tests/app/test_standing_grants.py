"""Grants that need no refresh token: client credentials and JWT bearer, on the same path as every other."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from rotator.documents import jwt_claims
from rotator.errors import Refused, StoreUnavailable
from rotator.first_token import first_token
from rotator.records import HISTORY_KEPT
from rotator.redact import Secret
from rotator.stores.local import LocalSecretStore
from rotator.testing.memory import MemorySecretStore
from rotator.testing.sandbox import DEFAULT_CLIENT_ID
from rotator.testing.sandbox.clients import Client

if TYPE_CHECKING:
    from rotator.testing.sandbox.messages import TokenRequest
    from tests.app.stage import Stage

SERVICE = "service-account"
KINDS = ("client_credentials", "jwt_bearer")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(autouse=True)
def no_key_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNING_KEY", "")


@pytest.fixture
def standing(stage: Stage, kind: str) -> Stage:
    """A credential with a standing grant, and no document yet."""
    return configured(stage, kind)


def configured(stage: Stage, kind: str, **more: Any) -> Stage:
    stage.config["credentials"] = []
    if kind == "client_credentials":
        stage.credential("alpha", grant=kind, **more)
        return stage
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    stage.face().settings.clients[SERVICE] = Client(SERVICE, auth="none", public_key=public)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    os.environ["SIGNING_KEY"] = private.decode()
    stage.provider("acme", client_auth="none", algorithm="ES256")
    own = {"client_id": SERVICE, "client_secret": None, "private_key": {"env": "SIGNING_KEY"}, "grant": kind}
    stage.credential("alpha", **{**own, **more})
    return stage


def given(stage: Stage) -> dict[str, Any]:
    """Let the credential have its first token."""
    assert stage.cli("login", "alpha").code == 0
    return stage.document()


def standing_replies(stage: Stage) -> int:
    return stage.face().report.standing


# -------------------------------------------------------------------------------------------------- the usual way


def test_login_makes_the_document_and_gets_the_first_token(standing: Stage) -> None:
    """Nobody logs in: one command, and the document holds a token that works and no refresh token."""
    missing = standing.cli("once")  # does not make the secret: its name may be mistyped
    assert (missing.code, "rotator login alpha" in missing.out) == (1, True)
    assert "rotator login alpha" in standing.cli("status").out

    done = standing.cli("login", "alpha")

    assert done.code == 0, done.err
    document = standing.document()
    assert standing.face().access_token_valid(document["access_token"])
    assert "refresh_token" not in document
    assert document["expires_at"] == document["issued_at"] + 3600


def test_it_is_refreshed_when_due_and_left_alone_before(standing: Stage) -> None:
    """The schedule is the same as with a refresh token."""
    first = given(standing)
    assert standing.cli("once", "--horizon", "1m").code == 0
    assert standing.document() == first

    standing.until_due()
    assert standing.cli("once", "--json").json["rotated"][0]["name"] == "alpha"

    assert standing.document()["access_token"] != first["access_token"]
    assert standing_replies(standing) == 2


def test_every_rotation_is_audited_and_no_refresh_token_is_told_of(standing: Stage) -> None:
    """`rotation.started` goes before, `.succeeded` after, with no digest of a token that there is none of."""
    given(standing)
    standing.until_due()
    standing.cli("once")

    told = [event["event"] for event in standing.events]
    assert told == ["credential.seeded", *["rotation.started", "rotation.succeeded"] * 2]
    assert all("refresh_token_digest" not in event for event in standing.events)


def test_a_persons_fields_stay(standing: Stage) -> None:
    """Promise 3: what somebody else keeps in the document is kept."""
    given(standing)
    standing.write(note="mine", refresh_token="left from before")
    standing.until_due()

    assert standing.cli("once").code == 0

    assert (standing.document()["note"], standing.document()["refresh_token"]) == ("mine", "left from before")


def test_many_rotations_leave_a_record_that_does_not_grow(standing: Stage) -> None:
    """A grant that is used again and again is no list of spent tokens."""
    given(standing)
    sizes = []
    for _ in range(8):
        standing.until_due()
        assert standing.cli("once").code == 0
        sizes.append(len(standing.record().history))
    assert standing.record().presented == ()
    assert sizes[-2:] == [HISTORY_KEPT, HISTORY_KEPT]


def test_two_credentials_of_one_client_are_no_shared_grant(stage: Stage) -> None:
    """Each document has a token of its own, though one client asks for both."""
    configured(stage, "client_credentials")
    stage.credential("beta", grant="client_credentials", token_parameters={"audience": "https://api.example"})
    assert stage.cli("login", "alpha").code == stage.cli("login", "beta").code == 0

    assert stage.cli("once", "--force").code == 0
    assert stage.document("alpha")["access_token"] != stage.document("beta")["access_token"]


# --------------------------------------------------------------------------------------------------- what goes wrong


def test_a_lost_reply_is_asked_for_again(standing: Stage) -> None:
    """Nothing was spent: the doubt ends by itself, and no person is needed."""
    given(standing)
    standing.until_due()
    standing.face().fault("drop_after_processing")
    assert standing.cli("once").code == 75
    standing.advance(70)

    assert standing.cli("once").code == 0

    assert standing.face().access_token_valid(standing.document()["access_token"])
    assert [event["event"] for event in standing.events][-3:] == [
        "rotation.in_doubt",
        "rotation.started",
        "rotation.succeeded",
    ]


def test_a_token_that_arrived_survives_a_store_that_is_down(standing: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 2: it waits in escrow, and the next run writes it back without a request."""
    first = given(standing)
    standing.until_due()
    with monkeypatch.context() as broken:
        broken.setattr(LocalSecretStore, "compare_and_swap", _refuse)
        assert standing.cli("once").code == 75
    assert standing.document() == first
    assert standing.cli("escrow", "list").out.startswith("alpha\ttokens")

    assert standing.cli("once").code == 0

    assert standing_replies(standing) == 2
    assert standing.face().access_token_valid(standing.document()["access_token"])
    assert standing.cli("escrow", "list").out == ""


def test_a_damaged_entry_in_escrow_stops_nothing(standing: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a refresh token somebody has to see to it first; here the next token takes its place."""
    given(standing)
    standing.until_due()
    with monkeypatch.context() as broken:
        broken.setattr(LocalSecretStore, "compare_and_swap", _refuse)
        assert standing.cli("once").code == 75
    [entry] = (standing.folder / "escrow").glob("*.json")
    content = json.loads(entry.read_text())
    entry.write_text(json.dumps({**content, "sealed": content["sealed"][::-1]}))
    standing.advance(70)

    assert standing.cli("once").code == 0

    assert standing.face().access_token_valid(standing.document()["access_token"])
    assert standing.cli("escrow", "list").out == ""


def _refuse(*_: object, **__: object) -> None:
    raise StoreUnavailable("down")


def test_a_lost_reply_calls_nobody(standing: Stage) -> None:
    """It is a pause, and a case of nothing: it is asked again by itself."""
    given(standing)
    standing.until_due()
    standing.face().fault("drop_after_processing")
    ended = standing.cli("once", "--json")
    assert [(one["name"], one["reason"]) for one in ended.json["deferred"]] == [("alpha", "reply_lost")]
    assert standing.cli("status", "--json").json["credentials"][0]["state"] == "cooling_down"
    assert "its answer was lost" in standing.cli("audit", "show").out
    assert "refresh token" not in standing.cli("audit", "show").out


def test_a_refused_grant_is_no_dead_one(stage: Stage) -> None:
    """JWT bearer: invalid_grant is told as what somebody has to mend there, and tried again by itself."""
    configured(stage, "jwt_bearer", subject="nobody@example.com")
    stage.face().settings.unapproved = frozenset({"nobody@example.com"})
    assert stage.cli("login", "alpha").code == 1
    assert stage.event_names() == ["credential.seeded", "rotation.started", "rotation.failed"]
    failed = stage.cli("once", "--json").json["failed"][0]
    assert (failed["reason"], failed["error"]) == ("misconfigured", "invalid_grant")
    assert "somebody has to approve it" in failed["action"]
    assert stage.record().presented == ()

    stage.face().settings.unapproved = frozenset()
    stage.advance(3700)

    assert stage.cli("once").code == 0


def test_the_providers_pacing_is_law_here_too(standing: Stage) -> None:
    """Promise 5: after a 429 nothing is sent before the time is up, not even by force."""
    given(standing)
    standing.until_due()
    standing.face().fault("rate_limited", wait_s=600)
    assert standing.cli("once").code == 75
    arrived = standing.face().report.requests
    standing.advance(500)

    assert standing.cli("once", "--force").code == 75

    assert standing.face().report.requests == arrived


def test_of_two_runs_at_once_one_asks(stage: Stage) -> None:
    """The claim is the same as with a refresh token: a second replica finds it held."""
    configured(stage, "client_credentials")
    given(stage)
    stage.until_due()
    apps = [stage.app(), stage.app()]
    barrier = threading.Barrier(2)

    def run(app: Any) -> None:
        seen = app.passes.look(app.credentials, horizon_s=0.0)
        barrier.wait()
        app.rotation.run(seen[0][1])

    threads = [threading.Thread(target=run, args=(app,)) for app in apps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert standing_replies(stage) == 2


def test_a_secret_with_something_else_in_it_is_not_overwritten(standing: Stage) -> None:
    """Login makes a document where there is none, and touches nothing that it does not understand."""
    store = MemorySecretStore("main", standing.clock)
    store.raw_put("alpha", "not a document")
    app = replace(standing.app(), stores={"main": store})

    with pytest.raises(Refused, match="it is not JSON") as refused:
        first_token(app, app.credential("alpha"))

    assert "rotator put alpha" in refused.value.hint
    assert store.raw_get("alpha") == "not a document"


def test_there_is_nothing_to_revoke(standing: Stage) -> None:
    """Revoking ends a login's grant; a client's own ends at the provider, and the message says so."""
    given(standing)
    refused = standing.cli("revoke", "alpha", "--yes")
    assert refused.code == 2
    assert "no refresh token to revoke" in refused.err


# -------------------------------------------------------------------------------------------------- what is sent


def requests_of(stage: Stage) -> list[TokenRequest]:
    """Return a list to which every request is added from now on; no fault hits any of them."""
    seen: list[TokenRequest] = []

    def noted(request: TokenRequest) -> bool:
        seen.append(request)
        return False

    stage.face().fault("unavailable", times=None, when=noted)
    return seen


def test_the_assertion_says_who_asks_for_whom(stage: Stage) -> None:
    """`sub` is the subject, claims of the credential go before the provider's, and null leaves one out."""
    configured(stage, "jwt_bearer", subject="jo@example.com", assertion_claims={"team": "data", "nbf": None})
    stage.config["providers"]["acme"]["assertion_claims"] = {"team": "all", "level": 3}
    seen = requests_of(stage)
    given(stage)

    [request] = seen
    claims = jwt_claims(Secret(request.parameters["assertion"]))
    assert (claims["iss"], claims["sub"], claims["team"], claims["level"]) == (SERVICE, "jo@example.com", "data", 3)
    assert claims["aud"] == stage.face().token_endpoint
    assert "client_id" not in request.parameters
    assert "nbf" not in claims


def test_client_credentials_send_their_parameters_and_scope(stage: Stage) -> None:
    """`token_parameters` of the credential go over the provider's; the client authenticates as ever."""
    configured(stage, "client_credentials", scope="read write", token_parameters={"audience": "https://api.example"})
    stage.config["providers"]["acme"]["token_parameters"] = {"audience": "https://other.example", "resource": "r"}
    seen = requests_of(stage)
    given(stage)

    [request] = seen
    assert {
        name: request.parameters[name] for name in ("grant_type", "scope", "audience", "resource", "client_id")
    } == {
        "grant_type": "client_credentials",
        "scope": "read write",
        "audience": "https://api.example",
        "resource": "r",
        "client_id": DEFAULT_CLIENT_ID,
    }


def test_the_scope_of_the_last_token_binds_nobody(stage: Stage) -> None:
    """There is no login whose grant a wider scope could exceed: it is asked for from then on."""
    entry = configured(stage, "client_credentials", scope="read").config["credentials"][0]
    given(stage)
    entry["scope"] = "read write"

    assert stage.cli("once", "--force").code == 0

    assert stage.document()["scope"] == "read write"


# ------------------------------------------------------------------------------------------------ the configuration


@pytest.mark.parametrize(
    ("entry", "provider", "told"),
    [
        ({"grant": "jwt_bearer"}, {}, "(alpha).private_key: is missing: grant: jwt_bearer signs its assertions"),
        (
            {"grant": "client_credentials", "client_secret": None},
            {"client_auth": "none"},
            "(alpha).grant: is of clients that authenticate, and provider acme has client_auth: none",
        ),
        ({"subject": "jo"}, {}, "(alpha).subject: is never used: the grant is refresh_token"),
        (
            {"grant": "client_credentials", "assertion_claims": {"a": 1}},
            {},
            "(alpha).assertion_claims: is never used: the grant is client_credentials",
        ),
        (
            {"grant": "client_credentials", "token_parameters": {"client_id": "x"}},
            {},
            "(alpha).token_parameters.client_id: is set by rotator itself",
        ),
        (
            {},
            {"token_parameters": {"grant_type": "x"}},
            "providers.acme.token_parameters.grant_type: is set by rotator",
        ),
        ({"grant": "password"}, {}, "(alpha).grant: must be one of refresh_token, client_credentials"),
    ],
)
def test_what_does_not_fit_the_grant_is_told(
    stage: Stage, entry: dict[str, Any], provider: dict[str, Any], told: str
) -> None:
    """A configuration that could not work, or whose keys would never be used, is refused with file, key and reason."""
    stage.config["providers"]["acme"].update(provider)
    stage.credential("alpha", **entry)
    ended = stage.cli("check")
    assert ended.code == 2
    assert told in ended.err
