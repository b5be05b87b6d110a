"""`--shard`: several processes that share a fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.app.stage import poll

if TYPE_CHECKING:
    from tests.app.stage import Stage

NAMES = [f"c{number}" for number in range(12)]


def rotated(stage: Stage, *arguments: str) -> list[str]:
    ended = stage.cli("once", "--force", "--json", *arguments)
    assert ended.code == 0
    return [one["name"] for one in ended.json["rotated"]]


def test_the_shards_together_rotate_everything_once(stage: Stage) -> None:
    """Each credential belongs to one of three passes."""
    stage.ready(*NAMES)
    parts = [rotated(stage, "--shard", f"{number}/3") for number in range(3)]
    assert sorted(name for part in parts for name in part) == sorted(NAMES)
    assert all(parts)
    assert stage.face().report.requests == len(NAMES)


def test_the_environment_names_the_shard_too(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a StatefulSet or an Indexed Job does; `status` shows that shard, and a name goes before it."""
    stage.ready(*NAMES)
    shown = []
    for number in range(2):
        monkeypatch.setenv("ROTATOR_SHARD", f"{number}/2")
        shown.append({one["name"] for one in stage.cli("status", "--json").json["credentials"]})
    assert shown[0] | shown[1] == set(NAMES)
    assert not shown[0] & shown[1]
    stranger = min(shown[0])
    assert rotated(stage, "--name", stranger) == [stranger]


def test_the_pods_of_an_indexed_job_share_the_fleet(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them get the same arguments, and each its number."""
    stage.ready(*NAMES)
    parts = []
    for number in range(3):
        monkeypatch.setenv("JOB_COMPLETION_INDEX", str(number))
        parts.append(rotated(stage, "--shard", "auto/3"))
    assert sorted(name for part in parts for name in part) == sorted(NAMES)
    assert all(parts)


def test_without_a_number_a_shard_by_the_environment_is_bad_usage(stage: Stage) -> None:
    """Nothing is rotated by guess."""
    stage.ready("alpha")
    ended = stage.cli("once", "--force", "--shard", "auto/3")
    assert ended.code == 2
    assert "JOB_COMPLETION_INDEX" in ended.err
    assert stage.face().report.requests == 0


def test_the_daemon_sees_to_its_shard_alone(real_stage: Stage) -> None:
    """What is configured and what is found alike."""
    stage = real_stage
    stage.ready(*NAMES)
    process = stage.spawn("run", "--shard", "0/2")
    mine = {one["name"] for one in stage.cli("status", "--json", "--shard", "0/2").json["credentials"]}
    assert process.stderr is not None
    line = poll(process.stderr.readline, "a line of the log")
    while "running" not in line:
        line = poll(process.stderr.readline, "the start")
    assert f"credentials={len(mine)}" in line or f'"credentials": {len(mine)}' in line
    process.terminate()
    assert stage.ended(process).code == 0


def test_shards_that_overlap_by_mistake_spend_nothing_twice(real_stage: Stage) -> None:
    """Two processes that both believe to be the only one: claims and leases leave one request per credential."""
    stage = real_stage
    stage.ready(*NAMES)
    processes = [stage.spawn("once", "--force", "--json", "--shard", shard) for shard in ("0/1", "0/2", "1/2")]
    for process in processes:
        assert stage.ended(process).code in {0, 75}
    assert stage.face().report.spent_twice == ()
    assert stage.face().report.reuse_detections == 0


@pytest.mark.parametrize("shard", ["3/3", "a/b", "0/0", "-1/2", "1"])
@pytest.mark.parametrize("command", ["once", "status", "run"])
def test_a_shard_that_is_none_is_bad_usage(stage: Stage, command: str, shard: str) -> None:
    """Exit code 2, what is wrong, and the form that is meant."""
    stage.ready("alpha")
    ended = stage.cli(command, "--shard", shard)
    assert ended.code == 2
    assert "is not a shard" in ended.err
