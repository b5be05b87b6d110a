"""When a refresh token is good: rotation, grace, reuse, ends of life."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import jwt
import pytest

from rotator.redact import Secret
from rotator.testing.memory import SequentialIds
from rotator.testing.sandbox import DEFAULT_CLIENT_ID, Client, SandboxServer, auth0_face, dailypay_face

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.testing.memory import VirtualClock
    from rotator.testing.sandbox import FaceSettings
    from tests.sandbox.conftest import Refresh, Serve


def test_a_login_returns_a_complete_token_response(serve: Serve) -> None:
    """A login's response has every member that a document is seeded from."""
    tokens = serve(dailypay_face()).login(DEFAULT_CLIENT_ID)
    assert tokens.keys() == {"access_token", "refresh_token", "token_type", "expires_in", "scope", "id_token"}
    assert (tokens["token_type"], tokens["expires_in"]) == ("bearer", 3600)


def test_tokens_are_recognised_by_their_prefix(serve: Serve) -> None:
    """Every token says by its beginning that it is the sandbox's."""
    tokens = serve(auth0_face()).login(DEFAULT_CLIENT_ID)
    assert tokens["access_token"].startswith("sandbox_at_")
    assert tokens["refresh_token"].startswith("sandbox_rt_")


def test_tokens_come_from_the_injected_ids(serve: Serve, clock: VirtualClock) -> None:
    """Two sandboxes with the same ids and time issue the same tokens."""
    first, second = (
        serve(auth0_face(sends_id_token=False), ids=SequentialIds()).login(DEFAULT_CLIENT_ID) for _ in range(2)
    )
    assert first == second


def test_nobody_logs_in_through_a_client_that_does_not_exist(serve: Serve) -> None:
    """A login names the client that is missing."""
    with pytest.raises(LookupError, match="no client 'nobody'"):
        serve(auth0_face()).login("nobody")


def test_a_refresh_replaces_the_refresh_token(serve: Serve, refresh: Refresh) -> None:
    """A refresh answers with two new tokens, and the new refresh token is the live one."""
    face = serve(auth0_face())
    old = face.login(DEFAULT_CLIENT_ID)
    new = refresh(face, old["refresh_token"]).json
    assert new["access_token"] != old["access_token"]
    assert new["refresh_token"] != old["refresh_token"]
    assert face.live_refresh_token(1) == Secret(new["refresh_token"])
    assert face.report.rotations == face.report.refreshes == 1


def test_a_chain_of_refreshes_goes_on(serve: Serve, refresh: Refresh) -> None:
    """Each new refresh token can be used in its turn."""
    face = serve(dailypay_face())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    for _ in range(5):
        token = refresh(face, token).json["refresh_token"]
    assert face.report.rotations == 5
    assert face.report.processed == {f"1.{step}": 1 for step in range(5)}
    assert face.report.spent_twice == ()


@pytest.mark.parametrize(("settings", "status"), [(auth0_face, 403), (dailypay_face, 400)])
def test_a_used_refresh_token_is_a_dead_grant(
    serve: Serve, refresh: Refresh, settings: Callable[[], FaceSettings], status: int
) -> None:
    """Presenting a used refresh token is refused as invalid_grant with the tenant's status."""
    face = serve(settings())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    refresh(face, token)
    assert refresh(face, token).error == (status, "invalid_grant")
    assert face.report.reuse_detections == face.report.families_revoked == 1
    assert face.report.spent_twice == (face.label(token),) == ("1.0",)


def test_reuse_kills_the_successor_too(serve: Serve, refresh: Refresh) -> None:
    """After a reuse no refresh token of the family works, while other families live on."""
    face = serve(auth0_face())
    token, other = (face.login(DEFAULT_CLIENT_ID)["refresh_token"] for _ in range(2))
    successor = refresh(face, token).json["refresh_token"]
    refresh(face, token)
    assert refresh(face, successor).status == 403
    assert face.live_refresh_token(face.family_of(successor)) is None
    assert refresh(face, other).status == 200
    assert face.report.families_revoked == 1


@pytest.mark.parametrize(("settings", "survives"), [(auth0_face, True), (dailypay_face, False)])
def test_access_tokens_after_reuse(
    serve: Serve, refresh: Refresh, settings: Callable[[], FaceSettings], *, survives: bool
) -> None:
    """Reuse kills a family's access tokens at a Hydra and leaves them alone at Auth0."""
    face = serve(settings())
    bystander = face.login(DEFAULT_CLIENT_ID)["access_token"]
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    newest = refresh(face, token).json["access_token"]
    refresh(face, token)
    assert face.access_token_valid(newest) is survives
    assert face.access_token_valid(bystander)


@pytest.mark.parametrize(("settings", "survives"), [(auth0_face, True), (dailypay_face, False)])
def test_the_old_access_token_after_a_refresh(
    serve: Serve, refresh: Refresh, settings: Callable[[], FaceSettings], *, survives: bool
) -> None:
    """A refresh revokes the access token before it at a Hydra and leaves it alone at Auth0."""
    face = serve(settings())
    old = face.login(DEFAULT_CLIENT_ID)
    new = refresh(face, old["refresh_token"]).json
    assert face.access_token_valid(old["access_token"]) is survives
    assert face.access_token_valid(new["access_token"])


def test_an_access_token_ends_with_its_lifetime(serve: Serve, clock: VirtualClock) -> None:
    """An access token is valid until its lifetime is over and not at that instant."""
    face = serve(auth0_face(lifetime_s=60))
    token = face.login(DEFAULT_CLIENT_ID)["access_token"]
    clock.advance(59.9)
    assert face.access_token_valid(token)
    clock.advance(0.1)
    assert not face.access_token_valid(token)


def test_a_changed_lifetime_holds_from_the_next_answer_on(serve: Serve, refresh: Refresh) -> None:
    """The settings may be changed while the server runs."""
    face = serve(auth0_face())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    face.settings.lifetime_s = 7
    assert refresh(face, token).json["expires_in"] == 7


def test_an_invented_access_token_is_not_valid(serve: Serve) -> None:
    """An access token that was not issued here is not valid."""
    assert not serve(auth0_face()).access_token_valid("sandbox_at_invented")


def test_a_face_that_does_not_rotate_keeps_the_refresh_token(serve: Serve, refresh: Refresh) -> None:
    """Without rotation the answer has no refresh token and the old one works again and again."""
    face = serve(dailypay_face(rotates=False))
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    first, second = refresh(face, token).json, refresh(face, token).json
    assert "refresh_token" not in first
    assert face.live_refresh_token(1) == Secret(token)
    assert not face.access_token_valid(first["access_token"])
    assert face.access_token_valid(second["access_token"])
    assert (face.report.refreshes, face.report.rotations) == (2, 0)


def test_a_replay_within_the_window_branches(serve: Serve, refresh: Refresh, clock: VirtualClock) -> None:
    """A branching tenant gives a replay within the window another successor, and both successors work."""
    face = serve(auth0_face(grace_window_s=10))
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    first = refresh(face, token).json["refresh_token"]
    clock.advance(9.9)
    second = refresh(face, token).json["refresh_token"]
    assert first != second
    assert face.live_refresh_token(1) == Secret(second)
    assert refresh(face, first).status == refresh(face, second).status == 200
    assert (face.report.grace_replays, face.report.reuse_detections) == (1, 0)


def test_a_replay_within_the_window_is_idempotent(serve: Serve, refresh: Refresh) -> None:
    """An idempotent tenant answers a replay within the window with the same tokens."""
    face = serve(auth0_face(grace_window_s=10, replay_answer="idempotent"))
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    assert refresh(face, token).json == refresh(face, token).json
    assert (face.report.grace_replays, face.report.rotations) == (1, 1)


def test_the_window_closes(serve: Serve, refresh: Refresh, clock: VirtualClock) -> None:
    """A replay at the end of the window is a reuse, measured from the first use and not from the latest."""
    face = serve(auth0_face(grace_window_s=10))
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    refresh(face, token)
    clock.advance(6)
    assert refresh(face, token).status == 200
    clock.advance(4)
    assert refresh(face, token).status == 403
    assert face.report.reuse_detections == 1


def test_an_older_token_is_a_reuse_even_within_the_window(serve: Serve, refresh: Refresh) -> None:
    """Once the successor was used, its predecessor triggers the detection within the window too."""
    face = serve(auth0_face(grace_window_s=10))
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    refresh(face, refresh(face, token).json["refresh_token"])
    assert refresh(face, token).status == 403
    assert face.report.reuse_detections == 1


def test_an_idle_refresh_token_dies_alone(serve: Serve, refresh: Refresh, clock: VirtualClock) -> None:
    """A refresh token that was not used in time is refused, which is no reuse."""
    face = serve(dailypay_face(rt_idle_s=100))
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    clock.advance(99)
    token = refresh(face, token).json["refresh_token"]
    clock.advance(100)
    answer = refresh(face, token)
    assert answer.error == (400, "invalid_grant")
    assert answer.json["error_description"].endswith("The refresh token expired.")
    assert face.live_refresh_token(1) is None
    assert face.report.reuse_detections == 0


def test_use_keeps_a_refresh_token_that_does_not_rotate_alive(
    serve: Serve, refresh: Refresh, clock: VirtualClock
) -> None:
    """Idle time counts from the last use."""
    face = serve(auth0_face(rotates=False, rt_idle_s=100))
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    for _ in range(3):
        clock.advance(99)
        assert refresh(face, token).status == 200


def test_rotation_does_not_prolong_a_login(serve: Serve, refresh: Refresh, clock: VirtualClock) -> None:
    """The absolute lifetime counts from the login, however often the refresh token was rotated."""
    face = serve(auth0_face(rt_idle_s=None, rt_absolute_s=100))
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    clock.advance(99)
    token = refresh(face, token).json["refresh_token"]
    clock.advance(1)
    assert refresh(face, token).error == (403, "invalid_grant")


def test_a_refresh_token_without_ends_lives_on(serve: Serve, refresh: Refresh, clock: VirtualClock) -> None:
    """With neither lifetime set a refresh token works after years."""
    face = serve(dailypay_face(rt_idle_s=None, rt_absolute_s=None))
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    clock.advance(10 * 365 * 86_400)
    assert refresh(face, token).status == 200


def test_a_login_can_be_revoked(serve: Serve, refresh: Refresh) -> None:
    """A person who revokes a login at the provider ends it."""
    face = serve(auth0_face())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    face.revoke(face.family_of(token))
    assert refresh(face, token).error == (403, "invalid_grant")


def test_an_unknown_refresh_token_is_a_dead_grant(serve: Serve, refresh: Refresh) -> None:
    """A refresh token that was never issued is refused with the hint that Hydra gives."""
    face = serve(dailypay_face())
    answer = refresh(face, "sandbox_rt_invented")
    assert answer.error == (400, "invalid_grant")
    assert answer.json["error_description"].endswith("The refresh token is malformed or not valid.")
    assert face.report.presented == {"unknown": 1}


def test_another_clients_refresh_token_is_refused_without_harm(serve: Serve, refresh: Refresh) -> None:
    """A client that presents another's refresh token is refused, and the owner can still use it."""
    face = serve(auth0_face())
    face.settings.clients["other"] = Client("other", "none")
    token = face.login("other")["refresh_token"]
    assert refresh(face, token).error == (403, "invalid_grant")
    assert refresh(face, token, credentials={"client_id": "other"}).status == 200


def test_one_of_many_simultaneous_refreshes_wins(serve: Serve, refresh: Refresh) -> None:
    """Of many requests with the same refresh token at the same time exactly one rotates it."""
    face = serve(auth0_face())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    statuses: list[int] = []
    gate = threading.Barrier(8)

    def present() -> None:
        gate.wait()
        statuses.append(refresh(face, token).status)

    threads = [threading.Thread(target=present) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [403] * 7
    assert (face.report.rotations, face.report.families_revoked) == (1, 1)


def test_id_tokens_keep_to_the_login(serve: Serve, refresh: Refresh, clock: VirtualClock) -> None:
    """A refreshed ID token has the login's subject and time, and its own time of issue."""
    face = serve(auth0_face())
    tokens = face.login(DEFAULT_CLIENT_ID, subject="sandbox|alice")
    clock.advance(50)
    new = refresh(face, tokens["refresh_token"]).json
    before, after = (jwt.decode(reply["id_token"], options={"verify_signature": False}) for reply in (tokens, new))
    assert (after["sub"], after["aud"]) == ("sandbox|alice", DEFAULT_CLIENT_ID)
    assert after["iss"] == before["iss"] == face.token_endpoint.removesuffix("oauth/token")
    assert after["auth_time"] == before["auth_time"]
    assert after["iat"] == before["iat"] + 50


def test_no_id_token_without_openid(serve: Serve) -> None:
    """A login without the scope openid has no ID token."""
    assert "id_token" not in serve(auth0_face()).login(DEFAULT_CLIENT_ID, scope="offline_access")


@pytest.mark.parametrize("number", [0, 2])
def test_a_login_that_was_not_made_has_no_live_token(serve: Serve, number: int) -> None:
    """Asking for a login that was not made is an error and not an answer."""
    face = serve(auth0_face())
    face.login(DEFAULT_CLIENT_ID)
    with pytest.raises(LookupError, match=f"no login number {number}"):
        face.live_refresh_token(number)


def test_a_foreign_refresh_token_has_no_family(serve: Serve) -> None:
    """Asking for the family of a token that was not issued here is an error."""
    with pytest.raises(LookupError, match="was not issued here"):
        serve(auth0_face()).family_of("sandbox_rt_invented")


def test_the_dump_has_counts_only(serve: Serve, refresh: Refresh) -> None:
    """The dump tells what happened without any token in it."""
    face = serve(auth0_face())
    token = face.login(DEFAULT_CLIENT_ID)["refresh_token"]
    refresh(face, token)
    dump = face.dump()
    assert (dump["requests"], dump["live_families"], dump["presented"]) == (1, 1, {"1.0": 1})
    assert "sandbox_" not in str(dump)


def test_faces_must_not_share_a_path() -> None:
    """Two tenants cannot have the same token endpoint."""
    with pytest.raises(ValueError, match="must differ"):
        SandboxServer([auth0_face("one"), auth0_face("two")])


def test_the_url_is_known_while_it_listens() -> None:
    """A server that does not listen has no URL, before its start and after its stop, and stops twice without harm."""
    server = SandboxServer()
    with pytest.raises(RuntimeError, match="not started"):
        _ = server.url
    with server:
        assert server.url.startswith("http://127.0.0.1:")
        server.stop()
    with pytest.raises(RuntimeError, match="not started"):
        _ = server.url
    assert server.failures == ()


def test_an_unknown_face_is_named() -> None:
    """Asking for a tenant that is not there lists those that are."""
    with pytest.raises(LookupError, match="no face 'okta'; there are auth0, dailypay"):
        SandboxServer().face("okta")
