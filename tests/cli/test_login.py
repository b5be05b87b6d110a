"""`rotator login`: both ways in, tried against the sandbox over HTTP, with a person who says yes, no, or nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rotator import login as logins
from rotator.cli import logins as cli_logins
from rotator.cli.context import Context
from rotator.escrow.file import FileEscrow
from rotator.records import SealedEntry
from rotator.testing.sandbox import DEFAULT_CLIENT_SECRET
from tests.app import situations
from tests.cli.persons import answering, saying

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.app.stage import Ended, Stage

LOGIN = ("login", "alpha")


@pytest.fixture
def offered(stage: Stage) -> Stage:
    """A credential that nobody has seeded, at a provider that offers logins."""
    return with_endpoints(stage)


def with_endpoints(stage: Stage) -> Stage:
    entry = stage.config["providers"]["acme"]
    entry |= {
        "authorization_endpoint": f"{stage.face().token_endpoint}/authorize",
        "device_authorization_endpoint": f"{stage.face().token_endpoint}/device",
        "login_scope": "openid offline_access",
    }
    stage.credential("alpha")
    return stage


def test_a_browser_brings_the_first_token_set(offered: Stage, browser: list[str]) -> None:
    """By a code with PKCE; the credential is rotated like any other from then on."""
    ended = offered.cli(*LOGIN)
    assert ended.code == 0, ended.err
    assert "alpha: stored as version" in ended.out
    [address] = browser
    assert "code_challenge_method=S256" in address
    assert "scope=openid+offline_access" in address
    assert offered.is_live()
    assert offered.cli("once", "--force").code == 0
    assert offered.is_live()


OWN = ("response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method")


@pytest.mark.parametrize("way", [(), ("--device",)])
def test_what_a_login_sets_itself_goes_before_the_providers_parameters(
    offered: Stage, browser: list[str], monkeypatch: pytest.MonkeyPatch, way: tuple[str, ...]
) -> None:
    """Also where they come by a way that no configuration was checked on."""
    saying(offered, "approved", monkeypatch)
    parameters = (*((name, "planted") for name in OWN), ("audience", "https://api/"))
    monkeypatch.setattr(Context, "app", with_parameters(parameters))
    ended = offered.cli(*LOGIN, *way, "--timeout", "20")
    assert ended.code == 0, ended.err
    assert offered.document()["scope"] == "openid offline_access"
    assert not any("planted" in address for address in browser)
    assert all("audience=" in address for address in browser)


def with_parameters(parameters: tuple[tuple[str, str], ...]) -> Callable[..., Any]:
    real = Context.app

    def app(*arguments: Any, **options: Any) -> Any:
        made = real(*arguments, **options)
        [credential] = made.credentials
        changed = replace(credential, provider=replace(credential.provider, login_parameters=parameters))
        return replace(made, credentials=[changed])

    return app


def test_a_device_that_is_approved_brings_it_too(offered: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address and the code are shown."""
    saying(offered, "approved", monkeypatch)
    ended = offered.cli(*LOGIN, "--device")
    assert ended.code == 0, ended.err
    assert "and enter " in ended.out
    assert "user_code=" in ended.out
    assert offered.is_live()


@pytest.mark.parametrize(("person", "code"), [("approves", 0), ("denies", 1)])
def test_a_person_answers_a_device_over_http(
    offered: Stage, monkeypatch: pytest.MonkeyPatch, person: Any, code: int
) -> None:
    """At the address that was shown, as curl would; the sandbox's person says yes or no."""
    offered.face().settings.person = person
    answering(monkeypatch)
    ended = offered.cli(*LOGIN, "--device")
    assert ended.code == code, ended.err
    assert ("the person said no" in ended.err) == bool(code)
    assert not code or offered.face().report.requests == 1
    assert code or offered.is_live()


def test_a_dead_grant_names_the_way_back_and_that_works(offered: Stage, browser: list[str]) -> None:
    """The latch's own words are the command."""
    offered.seed()
    offered.face().revoke(1)
    ended = offered.cli("once", "--force")
    assert ended.code == 1
    assert "rotator login alpha" in ended.out
    assert offered.cli(*LOGIN).code == 0
    assert offered.cli("once", "--force").code == 0
    assert offered.is_live()


def test_without_a_browser_the_address_is_printed(offered: Stage, browser: list[str]) -> None:
    """For a machine that has none; nobody who comes back in time is told."""
    ended = offered.cli(*LOGIN, "--no-browser", "--timeout", "0")
    assert browser == []
    assert f"{offered.face().token_endpoint}/authorize?" in ended.out
    assert ended.code == 1
    assert "nobody came back" in ended.err
    assert "begin anew: rotator " in ended.err


def test_a_no_in_the_browser_changes_nothing(offered: Stage, browser: list[str]) -> None:
    """And is told as what it is."""
    offered.seed()
    before = offered.version()
    offered.face().settings.person = "denies"
    ended = offered.cli(*LOGIN)
    assert (ended.code, "the person said no" in ended.err) == (1, True)
    assert offered.version() == before


def test_a_device_that_is_denied_changes_nothing(offered: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says so."""
    saying(offered, "denied", monkeypatch)
    ended = offered.cli(*LOGIN, "--device")
    assert (ended.code, "the person said no" in ended.err) == (1, True)


def test_a_code_that_nobody_enters_ends(offered: Stage) -> None:
    """By the server's time, asking no oftener than it wants."""
    offered.face().settings.device_lives_s = 60.0
    ended = offered.cli(*LOGIN, "--device")
    assert (ended.code, "not entered in time" in ended.err) == (1, True)
    assert offered.face().report.requests <= 60 / 5


def test_who_asks_too_often_slows_down(offered: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interval that the server lengthens is kept to."""
    offered.face().settings.device_interval_s = 30.0  # told as 30, and meant as more
    monkeypatch.setattr(logins, "number", lambda _, name, default: 5.0 if name == "interval" else 600.0)
    ended = offered.cli(*LOGIN, "--device")
    assert ended.code == 1
    assert offered.face().report.requests < 600 / 15


# ---------------------------------------------------------------------------------------------- the issuer


def found_by(stage: Stage, **changes: Any) -> Stage:
    face = stage.face()
    entry = stage.config["providers"]["acme"]
    entry |= {"issuer": face.issuer, "login_scope": "openid offline_access", **changes}
    stage.credential("alpha")
    return stage


def test_endpoints_are_found_at_the_issuer(stage: Stage, browser: list[str]) -> None:
    """Where the configuration has none."""
    assert found_by(stage).cli(*LOGIN).code == 0
    assert stage.is_live()


def lying(**changes: str) -> Callable[[Any], dict[str, str]]:
    real: Any = type.__getattribute__(_face_type(), "metadata")
    return lambda face: {**real.fget(face), **changes}


def _face_type() -> type:
    from rotator.testing.sandbox.face import Face

    return Face


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"issuer": "https://elsewhere.example"}, "names another issuer"),
        ({"token_endpoint": "https://elsewhere.example/token"}, "names another token endpoint"),
    ],
)
def test_metadata_that_lies_is_not_followed(
    stage: Stage, browser: list[str], monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], told: str
) -> None:
    """Nobody's browser is sent anywhere, and no credential leaves."""
    monkeypatch.setattr(_face_type(), "metadata", property(lying(**changes)))
    ended = found_by(stage).cli(*LOGIN)
    assert (ended.code, told in ended.err) == (1, True)
    assert browser == []
    assert stage.face().report.requests == 0


def test_an_issuer_without_metadata_is_told(stage: Stage) -> None:
    """With what to set instead."""
    ended = found_by(stage, issuer=f"{stage.server.url}/nothing").cli(*LOGIN)
    assert (ended.code, "has no metadata" in ended.err) == (1, True)
    assert "authorization_endpoint" in ended.err


@pytest.mark.parametrize("way", [(), ("--device",)])
def test_a_provider_without_such_a_login_is_told(stage: Stage, way: tuple[str, ...]) -> None:
    """With the other way, or the endpoint to set."""
    stage.credential("alpha")
    ended = stage.cli(*LOGIN, *way)
    assert (ended.code, "has no " in ended.err) == (1, True)


# ---------------------------------------------------------------------------------------------- nothing is lost


def test_a_token_set_that_cannot_be_put_is_kept(
    offered: Stage, browser: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a file that only its owner reads, with the command that puts it; a login is a person's time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rotator.retrying.FIRST_WAIT_S", 0.01)
    with pytest.MonkeyPatch.context() as patch:
        ended = broken_at_the_end(offered, patch)
    assert ended.code == 1
    [file] = tmp_path.glob("rotator-login-*.json")
    assert file.stat().st_mode & 0o777 == 0o600
    assert f"rotator put alpha {file.name}" in ended.err
    assert offered.cli("put", "alpha", str(file)).code == 0
    assert offered.is_live()
    file.unlink()


def test_what_can_be_kept_nowhere_is_told_without_a_traceback(
    offered: Stage, browser: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither in the store nor in a file: the person logs in again."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    ended = broken_at_the_end(offered, monkeypatch)
    assert (ended.code, "nor can it be kept here: No such file" in ended.err) == (1, True)
    assert "begin anew" in ended.err


def broken_at_the_end(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Ended:
    from rotator.errors import StoreDenied
    from rotator.stores.local import LocalSecretStore

    def denied(*_: Any, **__: Any) -> Any:
        raise StoreDenied("store main: not allowed")

    monkeypatch.setattr(LocalSecretStore, "compare_and_swap", denied)
    return stage.cli(*LOGIN)


def test_a_port_that_is_taken_is_told_before_the_browser_opens(offered: Stage, browser: list[str]) -> None:
    """Exit code 2."""
    with cli_logins.Loopback(0) as taken:
        port = taken.redirect_uri.split(":")[2].partition("/")[0]
        ended = offered.cli(*LOGIN, "--port", port)
    assert (ended.code, "cannot listen" in ended.err) == (2, True)
    assert browser == []


def test_no_secret_is_shown(offered: Stage, browser: list[str]) -> None:
    """Neither the client's nor a token."""
    ended = offered.cli(*LOGIN)
    for secret in (DEFAULT_CLIENT_SECRET, "sandbox_at_", "sandbox_rt_", "sandbox_code_"):
        assert secret not in ended.out + ended.err


# ---------------------------------------------------------------------------------------------- the way out


def offer_revocation(stage: Stage) -> None:
    stage.config["providers"]["acme"]["revocation_endpoint"] = f"{stage.face().token_endpoint}/revoke"


def revocable(stage: Stage) -> Stage:
    offer_revocation(stage)
    stage.ready()
    return stage


def test_a_grant_is_ended_by_an_operators_word(stage: Stage) -> None:
    """At the provider, and here: nothing of it is sent any more, and nobody is told of a death."""
    ended = revocable(stage).cli("revoke", "alpha", "--yes")
    assert (ended.code, "alpha: revoked" in ended.out) == (0, True)
    assert stage.face().live_refresh_token(1) is None
    again = stage.cli("once", "--force")
    assert again.code == 1
    assert "revoked by an operator" in again.out
    assert stage.face().report.requests == 0
    events = stage.audit_file.read_text()
    assert '"reason": "revoke"' in events
    assert "reauthorization_required" not in events
    stage.seed()
    assert stage.cli("once", "--force").code == 0


def test_it_is_asked_for_and_never_done_by_itself(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word nothing is sent."""
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: "n")
    ended = revocable(stage).cli("revoke", "alpha")
    assert ended.code != 0
    assert stage.face().live_refresh_token(1) is not None


def test_a_provider_that_does_not_revoke_leaves_the_grant_alive(stage: Stage) -> None:
    """RFC 7009 section 2.2.1: the token has to be taken for alive; refreshes go on."""
    revocable(stage).face().settings.person = "denies"
    ended = stage.cli("revoke", "alpha", "--yes")
    assert (ended.code, "taken for alive: HTTP 503" in ended.err) == (1, True)
    stage.face().settings.person = "approves"
    assert stage.cli("once", "--force").code == 0


def test_a_provider_without_revocation_is_told(stage: Stage) -> None:
    """With what to do instead."""
    stage.ready()
    ended = stage.cli("revoke", "alpha", "--yes")
    assert (ended.code, "has no revocation_endpoint" in ended.err) == (1, True)


def test_what_waits_in_escrow_is_not_lost_to_a_revocation(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The document's token is the old one then: first the new ones are written back."""
    revocable(stage)
    entry = SealedEntry("identity", "parent", "tokens", "rotation", "alpha", stage.clock.now(), "sealed")
    monkeypatch.setattr(FileEscrow, "waiting", lambda *_: (entry,))
    ended = stage.cli("revoke", "alpha", "--yes")
    assert (ended.code, "wait in escrow" in ended.err) == (2, True)
    assert stage.face().live_refresh_token(1) is not None


def test_a_revocation_does_not_get_in_the_way_of_a_rotation(stage: Stage) -> None:
    """While somebody is at work on the secret nothing is sent: its reply would come too late for a spent token."""
    situations.held(stage)
    offer_revocation(stage)
    ended = stage.cli("revoke", "alpha", "--yes")
    assert (ended.code, "is at work on alpha" in ended.err) == (2, True)
    assert stage.face().live_refresh_token(1) is not None
