"""Which shard sees to which credential."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.model import Credential
from rotator.shards import MOST, Shard
from tests.effort import tried
from tests.rotation.world import provider


def placed(secret: str, store: str = "main", name: str = "any") -> Credential:
    return Credential(name, provider(), store, secret)


def shard_of(credential: Credential, of: int) -> int:
    [number] = [number for number in range(of) if Shard(number, of).holds(credential)]
    return number


@tried(200)
@given(st.text(max_size=30), st.text(max_size=10), st.integers(1, 12))
def test_each_credential_has_one_shard(secret: str, store: str, of: int) -> None:
    """Of any number of shards one holds it, and none other."""
    assert 0 <= shard_of(placed(secret, store), of) < of


@tried(200)
@given(st.text(max_size=30), st.integers(1, 12))
def test_with_one_shard_more_credentials_move_to_the_new_one_only(secret: str, of: int) -> None:
    """Who does not move to the new shard stays where it was."""
    before, after = shard_of(placed(secret), of), shard_of(placed(secret), of + 1)
    assert after in {before, of}


@pytest.mark.parametrize("of", [1, 2, 5, 10])
def test_with_one_shard_more_as_few_move_as_can(of: int) -> None:
    """About one in n + 1 of four thousand, and the shards are about as large as each other."""
    count = 4_000
    places = [placed(f"app/{number}") for number in range(count)]
    after = [shard_of(one, of + 1) for one in places]
    moved = sum(shard_of(one, of) != new for one, new in zip(places, after, strict=True))
    assert abs(moved - count / (of + 1)) < 5 * (count / (of + 1)) ** 0.5
    sizes = [after.count(number) for number in range(of + 1)]
    assert max(sizes) - min(sizes) < 8 * (count / (of + 1)) ** 0.5


def test_a_shard_is_the_same_in_every_process() -> None:
    """Fixed for ever: another hash would move every fleet at an upgrade."""
    assert [shard_of(placed(f"app/{number}"), 5) for number in range(10)] == FIXED


FIXED = [0, 4, 2, 4, 2, 0, 4, 1, 3, 1]


def test_the_name_counts_for_nothing_and_the_store_does() -> None:
    """A renamed credential stays; secrets of one name in many stores are spread."""
    assert len({shard_of(placed("s", name=name), 7) for name in "abcdef"}) == 1
    assert len({shard_of(placed("s", store=store), 7) for store in "abcdefghij"}) > 1


@pytest.mark.parametrize(("text", "shard"), [("0/1", Shard(0, 1)), ("2/3", Shard(2, 3)), (" 1/2 ", Shard(1, 2))])
def test_a_shard_is_written_as_number_and_count(text: str, shard: Shard) -> None:
    """Counted from 0."""
    assert Shard.read(text, {}) == shard


@pytest.mark.parametrize(
    "text", ["", "1", "3/3", "0/0", "-1/2", "a/b", "1/2/3", "1.0/2", "0/٣", f"0/{MOST + 1}", "9" * 50]
)
def test_what_is_no_shard_is_told(text: str) -> None:
    """With the form that is meant."""
    with pytest.raises(ValueError, match="is not a shard"):
        Shard.read(text, {})


@pytest.mark.parametrize(("index", "shard"), [("0", Shard(0, 3)), ("2", Shard(2, 3)), ("4", Shard(1, 3))])
@pytest.mark.parametrize("name", ["JOB_COMPLETION_INDEX", "ROTATOR_SHARD_INDEX"])
def test_the_environment_gives_the_number(name: str, index: str, shard: Shard) -> None:
    """Modulo the count: twice as many processes are two for each shard."""
    assert Shard.read("auto/3", {name: index}) == shard


@pytest.mark.parametrize("env", [{}, {"JOB_COMPLETION_INDEX": ""}])
def test_a_number_that_nobody_gave_is_told(env: dict[str, str]) -> None:
    """With the variables that would hold it: to be shard 0 without being told so would leave others to nobody."""
    with pytest.raises(ValueError, match=r"needs JOB_COMPLETION_INDEX, .* or ROTATOR_SHARD_INDEX"):
        Shard.read("auto/3", env)


@pytest.mark.parametrize("index", ["-1", "one", "1.5", "٣", "1" * 10])
def test_an_index_that_is_no_number_is_told(index: str) -> None:
    """By the name of its variable."""
    with pytest.raises(ValueError, match="needs a number, counted from 0, in JOB_COMPLETION_INDEX"):
        Shard.read("auto/3", {"JOB_COMPLETION_INDEX": index})
