"""What a login that fails tells its person to do: something that mends it, and that can be pasted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rotator.cli import commands, logins
from rotator.testing.sandbox.face import Face
from tests.cli.persons import saying
from tests.notify.receiver import closed_port

if TYPE_CHECKING:
    from tests.app.stage import Stage

LOGIN = ("login", "alpha")
CLIENT = "the provider refuses the client's credentials: check client_id, client_secret"


@pytest.fixture
def offered(stage: Stage) -> Stage:
    stage.config["providers"]["acme"]["issuer"] = stage.face().issuer
    stage.credential("alpha")
    return stage


# ------------------------------------------------------------------------------------------ what mends a refusal


@pytest.mark.usefixtures("browser")
def test_a_client_that_is_refused_at_the_end_of_a_login_is_to_be_mended(
    offered: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To begin anew would end the same way."""
    monkeypatch.setenv("CLIENT_SECRET", "wrong")
    ended = offered.cli(*LOGIN)
    assert (ended.code, "the code was refused: HTTP 401, invalid_client" in ended.err) == (1, True)
    assert CLIENT in ended.err
    assert "begin anew" not in ended.err


def test_a_device_whose_client_is_refused_likewise(offered: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the token endpoint, after the person has said yes."""
    saying(offered, "approved", monkeypatch)
    monkeypatch.setenv("CLIENT_SECRET", "wrong")
    ended = offered.cli(*LOGIN, "--device")
    assert (ended.code, CLIENT in ended.err, "begin anew" in ended.err) == (1, True, False)


def test_a_client_that_no_device_endpoint_knows_likewise(offered: Stage) -> None:
    """Before there is a code."""
    offered.config["credentials"][0]["client_id"] = "nobody"
    ended = offered.cli(*LOGIN, "--device")
    assert (ended.code, "no code was handed out: HTTP 401, invalid_client" in ended.err) == (1, True)
    assert CLIENT in ended.err


# ------------------------------------------------------------------------------------------------ the command line


def test_the_way_of_a_login_is_kept(offered: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--device` and the configuration of the command line stand in the suggested one."""
    saying(offered, "denied", monkeypatch)
    ended = offered.cli(*LOGIN, "--device")
    assert f"begin anew: rotator -c {offered.file} login alpha --device\n" in ended.err


def test_the_port_of_a_login_is_kept(offered: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider may have that address registered and no other."""
    monkeypatch.setattr(logins.webbrowser, "open", lambda _: True)
    port = closed_port()
    ended = offered.cli(*LOGIN, "--port", str(port), "--timeout", "0")
    assert f"begin anew: rotator -c {offered.file} login alpha --port {port}\n" in ended.err


def test_a_configuration_out_of_the_environment_is_not_repeated(
    offered: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there for the next command too."""
    monkeypatch.setattr(logins.webbrowser, "open", lambda _: True)
    monkeypatch.setenv("ROTATOR_CONFIG", str(offered.save()))
    assert commands.run([*LOGIN, "--timeout", "0"]) == 1
    assert "begin anew: rotator login alpha\n" in offered.capture.readouterr().err


def test_a_path_with_a_space_can_be_pasted(offered: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell reads it as one word."""
    monkeypatch.setattr(logins.webbrowser, "open", lambda _: True)
    offered.save()
    folder = offered.folder / "of two"
    folder.mkdir()
    ended = offered.cli(*LOGIN, "--timeout", "0", config=offered.file.rename(folder / "r.yaml"), save=False)
    assert f"begin anew: rotator -c '{folder}/r.yaml' login alpha\n" in ended.err


# ------------------------------------------------------------------------------------------------- the metadata


def saying_of_itself(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Let a provider's metadata say something else; None leaves a member out."""
    real: Any = Face.__dict__["metadata"]

    def metadata(face: Face) -> dict[str, Any]:
        said = {**real.fget(face), **changes}
        return {name: value for name, value in said.items() if value is not None}

    monkeypatch.setattr(Face, "metadata", property(metadata))


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("http://elsewhere.example/authorize", "must begin with https"),
        ("", "is empty"),
        (["https://x.example"], "not a text"),
    ],
)
def test_an_address_in_the_metadata_that_is_refused_is_told(
    offered: Stage, browser: list[str], monkeypatch: pytest.MonkeyPatch, address: Any, why: str
) -> None:
    """With the reason; not as one that is missing, for the issuer is set."""
    saying_of_itself(monkeypatch, authorization_endpoint=address)
    ended = offered.cli(*LOGIN)
    assert (ended.code, browser) == (1, [])
    assert f"the authorization_endpoint in the metadata at {offered.face().issuer} " in ended.err
    assert why in ended.err
    assert "set authorization_endpoint of the provider acme" in ended.err


@pytest.mark.usefixtures("browser")
def test_an_address_that_a_login_does_not_need_may_be_wrong(offered: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser's login goes on where the device endpoint is refused."""
    saying_of_itself(monkeypatch, device_authorization_endpoint="http://elsewhere.example/device")
    assert offered.cli(*LOGIN).code == 0


@pytest.mark.parametrize(("member", "told"), [("issuer", "names no issuer"), ("token_endpoint", "no token endpoint")])
def test_metadata_that_leave_themselves_out_are_told_so(
    offered: Stage, monkeypatch: pytest.MonkeyPatch, member: str, told: str
) -> None:
    """Not as those of another one."""
    saying_of_itself(monkeypatch, **{member: None})
    ended = offered.cli(*LOGIN)
    assert (ended.code, told in ended.err, "None" in ended.err) == (1, True, False)
