"""A credential whose `grant` is changed and changed back, on one secret: neither grant's state disturbs the other's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rotator.documents import standing_digests
from rotator.errors import StoreUnavailable
from rotator.first_token import first_token
from rotator.looks import _of_record
from rotator.model import Listed
from rotator.stores.local import LocalSecretStore
from rotator.token_endpoint import HttpTokenEndpoint

if TYPE_CHECKING:
    from rotator.model import RefreshRequest
    from tests.app.stage import Stage

STANDING = "client_credentials"


def to(stage: Stage, grant: str) -> None:
    """Set the credential's grant."""
    stage.config["credentials"][0]["grant"] = grant


def standing(stage: Stage) -> None:
    stage.credential("alpha", grant=STANDING)
    assert stage.cli("login", "alpha").code == 0


def waiting(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rotate while the store is down: what arrived waits in escrow."""

    def down(*_: object, **__: object) -> None:
        raise StoreUnavailable("down")

    stage.until_due()
    with monkeypatch.context() as broken:
        broken.setattr(LocalSecretStore, "compare_and_swap", down)
        assert stage.cli("once").code == 75
    stage.advance(200)


def test_a_standing_grant_comes_back_after_a_login_in_between(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token of it that waited in escrow when the grant was changed does not make it look spent."""
    standing(stage)
    waiting(stage, monkeypatch)
    to(stage, "refresh_token")
    stage.seed()
    stage.until_due()
    assert stage.cli("once").code == 0
    assert stage.cli("escrow", "list").out == ""

    to(stage, STANDING)
    stage.until_due()

    assert stage.cli("once").code == 0


def test_a_successor_in_escrow_outlives_a_stay_with_a_standing_grant(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 2: it is written when the credential has its refresh token again, and the old one is not presented."""
    stage.ready()
    waiting(stage, monkeypatch)
    to(stage, STANDING)
    assert stage.cli("once", "--force").code == 0

    to(stage, "refresh_token")
    assert stage.cli("once").code == 0

    assert stage.is_live()
    assert stage.face().report.spent_twice == ()


def test_what_waits_for_the_other_grant_is_told_by_escrow_replay(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command that a notification names says what is to be done, and ends with 1."""
    stage.ready()
    waiting(stage, monkeypatch)
    to(stage, STANDING)
    assert stage.cli("once", "--force").code == 0

    told = stage.cli("escrow", "replay")

    assert told.code == 1
    assert "came by another `grant`" in told.out
    assert "set `grant` of alpha back, then: rotator escrow replay" in told.out


def test_the_age_of_a_login_outlives_a_stay_with_a_standing_grant(stage: Stage) -> None:
    """`refresh_token_absolute` counts from the login: a week of another grant does not put its end off."""
    stage.config["providers"]["acme"]["refresh_token_absolute"] = "30d"
    stage.ready()
    stage.until_due()
    assert stage.cli("once").code == 0
    before = stage.record().grant
    to(stage, STANDING)
    for _ in range(2):
        stage.advance(7 * 86_400)
        assert stage.cli("once").code == 0

    to(stage, "refresh_token")
    assert stage.cli("once", "--force").code == 0

    after = stage.record().grant
    assert before is not None
    assert after is not None
    assert after.expires_at == before.expires_at


@pytest.mark.parametrize(("first", "then"), [("refresh_token", STANDING), (STANDING, "refresh_token")])
def test_a_record_of_the_other_grant_tells_a_start_nothing(stage: Stage, first: str, then: str) -> None:
    """What the record says of a grant that the credential has no more is not shown: the document is read."""
    stage.credential("alpha")
    to(stage, first)
    if first == STANDING:
        assert stage.cli("login", "alpha").code == 0
    else:
        stage.seed()
    stage.until_due()
    assert stage.cli("once").code == 0

    def told() -> bool:
        app = stage.app()
        credential = app.credential("alpha")
        stored = app.stores["main"].read("alpha")
        return _of_record(credential, Listed(stored.identity, stored.version), stage.record()) is not None

    assert told()
    to(stage, then)
    assert not told()


def test_a_doubt_of_a_standing_grant_is_not_given_up(stage: Stage) -> None:
    """There is nothing to give up, and giving it up would end it for good: it is asked again by itself."""
    standing(stage)
    stage.until_due()
    stage.face().fault("drop_after_processing")
    assert stage.cli("once").code == 75

    refused = stage.cli("resolve", "alpha", "--discard")

    assert refused.code == 2
    assert "nothing of alpha is spent" in refused.err
    stage.advance(70)
    assert stage.cli("once").code == 0


def test_two_logins_at_once_destroy_no_token(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 4: whoever finds that the document was made meanwhile leaves what is in it."""
    stage.credential("alpha", grant=STANDING)
    other, read = stage.app(), LocalSecretStore.read
    raced: list[bool] = []

    def reading(self: LocalSecretStore, secret: str) -> Any:
        if raced:
            return read(self, secret)
        raced.append(True)
        try:
            return read(self, secret)
        finally:  # between the look and the making of the document another login is done
            first_token(other, other.credential("alpha"))
            stage.face().fault("rate_limited", wait_s=600)

    monkeypatch.setattr(LocalSecretStore, "read", reading)
    stage.cli("login", "alpha")

    assert stage.face().access_token_valid(stage.document()["access_token"])


def test_a_put_is_a_persons_word_also_in_a_standing_doubt(stage: Stage) -> None:
    """Somebody puts a token by hand while a reply is missing: it is taken."""
    standing(stage)
    stage.until_due()
    stage.face().fault("drop_after_processing")
    assert stage.cli("once").code == 75
    file = stage.folder / "token.json"
    file.write_text(json.dumps({"access_token": "by-hand", "expires_in": 3600}))
    assert stage.cli("put", "alpha", str(file)).code == 0


def test_each_secret_has_its_own_names_for_its_standing_grants(stage: Stage) -> None:
    """They are the same for nobody else, and none is a refresh token's."""
    standing(stage)
    stage.credential("beta")
    stage.seed("beta")
    identity = stage.record().identity
    assert not standing_digests(identity) & standing_digests(stage.record("beta").identity)
    assert stage.digest("beta") not in standing_digests(identity)


def test_what_a_login_brought_is_not_compared_with_the_clients_own_token(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person's ID token and scope say nothing about a token that the client gets for itself."""
    stage.ready()
    assert {"id_token", "scope"} <= stage.document().keys()
    sent: list[RefreshRequest] = []
    refresh = HttpTokenEndpoint.refresh

    def watched(self: Any, request: RefreshRequest, **more: Any) -> Any:
        sent.append(request)
        return refresh(self, request, **more)

    monkeypatch.setattr(HttpTokenEndpoint, "refresh", watched)
    to(stage, STANDING)
    assert stage.cli("once", "--force").code == 0
    assert [(one.id_token, one.granted_scope) for one in sent] == [(None, None)]
