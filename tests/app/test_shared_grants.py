"""Credentials that share a secret or a grant are refused before one of them spends the other's token."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from rotator import outcomes
from rotator.bell import Bell
from rotator.dispatch import Dispatcher
from rotator.job import Job
from tests.app.stage import poll

if TYPE_CHECKING:
    from rotator.outcomes import Outcome
    from tests.app.stage import Stage


def run(stage: Stage, *, force: bool = False) -> dict[str, Outcome]:
    app = stage.app()
    return {outcome.name: outcome for outcome in app.passes.run(app.credentials, horizon_s=900.0, force=force)}


def test_two_credentials_on_one_secret_are_refused_by_the_configuration(stage: Stage) -> None:
    """Two entries that name one secret end every command with 2 and the name of the first one."""
    stage.ready()
    stage.credential("beta", secret="alpha")

    ended = stage.cli("once")

    assert ended.code == 2
    assert "credentials[1] (beta).secret: credential alpha already rotates this secret" in ended.err
    assert stage.face().report.requests == 0


def test_two_stores_that_become_one_secret_are_refused_by_the_pass(stage: Stage) -> None:
    """A link that is turned towards another store's file once the configuration is read: the pass refuses both
    credentials, and nothing is sent.
    """
    stage.ready()
    (stage.folder / "elsewhere").mkdir()
    link = stage.folder / "link"
    link.symlink_to("elsewhere")
    stage.config["stores"]["same"] = {"type": "local", "path": str(link / "secrets.db")}
    stage.config["credentials"][0]["store"] = "main"
    stage.credential("beta", secret="alpha", store="same")
    stage.until_due()
    app = stage.app()
    link.unlink()
    link.symlink_to(".")

    results = app.passes.run(app.credentials, horizon_s=900.0, force=True)

    assert {outcome.name: getattr(outcome, "reason", "") for outcome in results} == {
        "alpha": "unusable",
        "beta": "unusable",
    }
    assert stage.face().report.requests == 0


def test_two_documents_with_one_refresh_token_are_both_refused(stage: Stage) -> None:
    """Two secrets that hold one grant are told with each other's name and what to do, and neither is sent."""
    stage.ready("alpha", "beta", "gamma")
    stage.write("beta", refresh_token=stage.document("alpha")["refresh_token"])
    stage.until_due()

    ended = stage.cli("once", "--json")

    failed = {one["name"]: one for one in ended.json["failed"]}
    assert set(failed) == {"alpha", "beta"}
    assert "it shares one grant with beta" in failed["alpha"]["error"]
    assert "it shares one grant with alpha" in failed["beta"]["error"]
    assert failed["beta"]["action"].startswith("give each credential a login of its own")
    assert [one["name"] for one in ended.json["rotated"]] == ["gamma"]
    assert (ended.code, stage.face().report.requests) == (1, 1)


def test_a_copy_of_a_spent_token_is_refused(stage: Stage) -> None:
    """A document with the token that another credential has already spent is refused, and not sent."""
    stage.ready("alpha", "beta")
    stage.write("beta", refresh_token=stage.document("alpha")["refresh_token"])
    stage.until_due()
    copied = stage.document("beta")["refresh_token"]
    stage.write("beta", refresh_token=None)
    run(stage)
    stage.write("beta", refresh_token=copied)

    results = run(stage)

    assert isinstance(results["beta"], outcomes.Failed)
    assert results["beta"].reason == "unusable"
    assert stage.face().report.spent_twice == ()


def test_naming_one_of_two_that_share_a_grant_spends_it_once(stage: Stage) -> None:
    """Two passes, each with one name, do not present the refresh token that both documents hold twice."""
    stage.ready("alpha", "beta")
    stage.write("beta", refresh_token=stage.document("alpha")["refresh_token"])
    stage.until_due()

    stage.cli("once", "--name", "alpha")
    stage.cli("once", "--name", "beta")

    assert stage.face().report.spent_twice == ()


def test_a_document_that_nobody_compared_is_left_alone(stage: Stage) -> None:
    """A worker that is told what was compared acts on no other version, whether it changed before its look or after."""
    stage.ready("alpha")
    stage.until_due()
    app = stage.app()
    [outcome] = app.passes.run(app.credentials, horizon_s=900.0, compared={"alpha": "another"})
    assert (getattr(outcome, "reason", ""), stage.face().report.requests) == ("changed", 0)
    bell = Bell()
    with ThreadPoolExecutor(1) as pool:
        dispatcher = Dispatcher(app.rotation, app.observer, app.budget, stage.clock, pool, bell.ring)
        dispatcher.add(Job(app.credentials[0], horizon_s=900.0, version="another", pinned=True))
        dispatcher.pump()
        [(_, outcome)] = poll(dispatcher.finished, "the job")
    bell.close()
    assert (getattr(outcome, "reason", ""), stage.face().report.requests) == ("changed", 0)
    [outcome] = app.passes.run(app.credentials, horizon_s=900.0, compared={"alpha": stage.version("alpha")})
    assert isinstance(outcome, outcomes.Rotated)
