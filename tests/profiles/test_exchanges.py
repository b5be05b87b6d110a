"""What providers are documented to send, played through the real client with the shipped profiles."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from rotator.clocks import SystemClock, SystemIds
from rotator.config import load_config, resolve
from rotator.config.provider_settings import ProviderSettings
from rotator.config.providers import merge
from rotator.documents import merged
from rotator.model import Document, Refreshed, RefreshRequest, Rejected
from rotator.profiles import BUILT_IN
from rotator.redact import Secret
from rotator.token_endpoint import HttpTokenEndpoint
from tests.config.right_config import no_store
from tests.oauth.scripted_server import ScriptedServer, answering, message
from tests.profiles.recorded import Exchange, recorded

if TYPE_CHECKING:
    from rotator.model import Credential, TokenAnswer
    from tests.oauth.scripted_server import Heard

EXCHANGES = list(recorded())

FROM_THE_RUN = {"host", "content-length", "user-agent"}
"""Headers that are not the profile's."""

PATIENCE_S = 3.0
"""How much of a time until a reset may pass while the test runs."""


def credential_of(exchange: Exchange, token_endpoint: str) -> Credential:
    """Return the credential of a configuration with the shipped profile, of which the endpoint alone is another."""
    client = exchange.said["client"]
    secret = {"client_secret": {"env": "CLIENT_SECRET"}} if "secret" in client else {}
    configuration = {
        "version": 1,
        "stores": {"dev": {"type": "local", "path": "var/store.db"}},
        "providers": {"it": {"profile": exchange.profile, **exchange.said["entry"], "token_endpoint": token_endpoint}},
        "credentials": [{"name": "one", "provider": "it", "client_id": client["id"], **secret}],
    }
    env = {"CLIENT_SECRET": client.get("secret", "")}
    settings = load_config(json.dumps(configuration), env)
    [credential] = resolve(settings, read_secret=no_store, env=env).credentials
    return credential


def play(exchange: Exchange) -> tuple[TokenAnswer, Heard, Credential]:
    """Send the refresh of a credential to a server that replies as recorded."""
    reply = exchange.reply
    now = datetime.now(UTC)
    resets = {
        name: str(int((now + timedelta(seconds=ahead_s)).timestamp()))
        for name, ahead_s in reply.get("reset_in_s", {}).items()
    }
    headers = [f"{name}: {value}" for name, value in (reply["headers"] | resets).items()]
    raw = message(reply["body"].encode(), f"{reply['status']} Recorded", *headers)
    with ScriptedServer(answering(raw)) as server:
        credential = credential_of(exchange, server.url(path=exchange.path))
        request = RefreshRequest(
            provider=credential.provider,
            refresh_token=Secret(exchange.said["refresh_token"]),
            client_id=credential.client_id,
            client_secret=credential.client_secret(),
            scope=credential.scope,
        )
        answer = HttpTokenEndpoint(SystemClock(), SystemIds()).refresh(request, deadline_s=10.0)
        assert server.connections == 1
        [heard] = server.heard
    return answer, heard, credential


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.id)
def test_a_recorded_exchange_is_played_as_it_is_documented(exchange: Exchange) -> None:
    """The request is the documented one, all of it, and the answer is understood as documented."""
    answer, heard, _ = play(exchange)

    assert heard.line == f"POST {exchange.path} HTTP/1.1"
    assert {name: value for name, value in heard.headers if name.lower() not in FROM_THE_RUN} == exchange.headers
    assert exchange.parameters_in(heard.body) == exchange.said["parameters"]
    assert type(answer).__name__ == exchange.answer, answer
    if isinstance(answer, Refreshed):
        assert tokens_in(answer) == {"id_token": None, "refresh_expires_in_s": None, **exchange.said["tokens"]}
        assert list(answer.warnings) == [*exchange.said.get("warnings", [])]
        return
    for name, value in exchange.said.get("fields", {}).items():
        expected = pytest.approx(value, abs=PATIENCE_S) if name == "retry_after_s" else value
        assert getattr(answer, name) == expected, name


def tokens_in(answer: Refreshed) -> dict[str, Any]:
    """Return the token set in the open; it may be published."""
    assert answer.tokens.extra_problem is None
    return {
        name: value.reveal() if isinstance(value, Secret) else value
        for name in ("access_token", "refresh_token", "id_token", "token_type", "scope", "expires_in_s",
                     "refresh_expires_in_s")
        for value in [getattr(answer.tokens, name)]
    }  # fmt: skip


@pytest.mark.parametrize(
    "exchange", [one for one in EXCHANGES if "stored_lifetime_s" in one.said], ids=lambda exchange: exchange.id
)
def test_an_answer_without_a_lifetime_is_stored_with_the_profiles(exchange: Exchange) -> None:
    """What is written says when the token ends, counted from the request; the vendor's own clock is not taken over."""
    answer, _, credential = play(exchange)
    assert isinstance(answer, Refreshed)
    sent_at = datetime(2026, 11, 21, 12, tzinfo=UTC)
    before = Document({"refresh_token": exchange.said["refresh_token"]})
    written = merged(before, answer.tokens, sent_at=sent_at, provider=credential.provider).fields
    assert written["issued_at"] == int(sent_at.timestamp())
    assert written["expires_at"] == written["issued_at"] + exchange.said["stored_lifetime_s"]


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.id)
def test_an_exchange_goes_where_the_profile_sends_it(exchange: Exchange) -> None:
    """The path that is played is the profile's own, at the provider's own host; and the exchange names its source."""
    entry = ProviderSettings.model_validate({"profile": exchange.profile, **exchange.said["entry"]})
    found, faults = merge("it", entry)
    assert faults == []
    assert found is not None
    assert found.provider.token_endpoint == exchange.said["endpoint"]
    assert exchange.said["source"].startswith(("https://", "RFC "))


@pytest.mark.parametrize("profile", BUILT_IN)
def test_every_shipped_profile_has_a_success_and_a_dead_grant(profile: str) -> None:
    """No profile ships whose two most important answers were never played."""
    answers = {exchange.answer for exchange in EXCHANGES if exchange.profile == profile}
    assert {Refreshed.__name__, Rejected.__name__} <= answers


def test_every_exchange_belongs_to_a_shipped_profile() -> None:
    """A file under a wrong name would play nothing of what ships."""
    assert {exchange.profile for exchange in EXCHANGES} <= set(BUILT_IN)
