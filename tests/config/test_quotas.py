"""How fast a store may be written, and in which way: what the configuration says, and what it must not say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rotator.config.model import AwsSecretsManagerStore, LocalStore, PlugIn, VaultStore
from rotator.config.quotas import quota_of
from rotator.limits import StoreQuota
from tests.config.right_config import load, problems, put

if TYPE_CHECKING:
    from collections.abc import Callable

ABOVE_ZERO = ("must be more than 0", "nothing at all would never be done; leave the key out for the default")
A_SHARE = ("must be more than 0 and at most 1", "0.5 is half")


def on_aws(**keys: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda content: content.update(stores={"main": {"type": "aws-secrets-manager", **keys}})


def quota(env: dict[str, str] | None = None, **keys: Any) -> StoreQuota | None:
    return quota_of(load(on_aws(**keys), **({"env": env} if env else {})).stores["main"])


def test_a_store_in_aws_may_take_half_of_the_accounts_writes() -> None:
    """Without a word, 25 of 50 writes a second, two of them for each rotation: one rotation in 80 ms."""
    found = quota()
    assert found == StoreQuota(writes_per_s=25.0, writes_per_rotation=2)
    assert found.interval_s == 0.08


def test_fenced_writes_make_twice_as_many_rotations_of_the_same_quota() -> None:
    """A fenced rotation is one write: one rotation in 40 ms."""
    found = quota(writes="fenced")
    assert found == StoreQuota(writes_per_s=25.0, writes_per_rotation=1)
    assert found.interval_s == 0.04


def test_quota_and_share_are_the_configurations() -> None:
    """Both numbers count, whole or not, and what is left out keeps its default; a variable may hold one."""
    assert quota(write_quota={"per_second": 10, "share": 0.2}) == StoreQuota(2.0, 2)
    assert quota(write_quota={"share": 1}) == StoreQuota(50.0, 2)
    assert quota({"WRITES": "0.5"}, write_quota={"per_second": "${WRITES}"}) == StoreQuota(0.25, 2)


def test_other_stores_have_no_quota() -> None:
    """Vault, a local file and a plug-in are written as fast as they answer."""
    for store in (
        VaultStore(type="vault", address="https://v:8200"),
        LocalStore(type="local", path="x"),
        PlugIn(type="other"),
    ):
        assert quota_of(store) is None
    assert quota_of(AwsSecretsManagerStore(type="aws-secrets-manager")) is not None


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("per_second", 0, ABOVE_ZERO),
        ("per_second", -5, ABOVE_ZERO),
        ("per_second", -(10**12), ABOVE_ZERO),
        ("per_second", float("nan"), ABOVE_ZERO),
        ("per_second", float("inf"), ("must be at most 1000000000", "")),
        ("per_second", 10**12, ("must be at most 1000000000", "")),
        ("per_second", "many", ("must be a number", "")),
        ("per_second", True, ("must be a number", "")),
        ("per_second", None, ("must be a number", "")),
        ("share", 0, A_SHARE),
        ("share", -0.1, A_SHARE),
        ("share", 1.01, A_SHARE),
        ("share", float("nan"), A_SHARE),
        ("share", "half", ("must be a number", "")),
        ("shares", 0.5, ("unknown key", "did you mean 'share'?")),
    ],
)
def test_a_quota_that_lets_nothing_through_is_refused(key: str, value: Any, told: tuple[str, str]) -> None:
    """Zero, less, more than all and no number are configuration errors that say where and what instead."""
    assert problems(on_aws(write_quota={key: value})) == [(f"stores.main.write_quota.{key}", *told)]


def test_another_way_to_write_is_refused() -> None:
    """`writes` is strict or fenced, and only Secrets Manager has the choice."""
    assert problems(on_aws(writes="fence")) == [
        ("stores.main.writes", "must be one of strict, fenced", "did you mean 'fenced'?")
    ]
    [(where, what, _)] = problems(put("stores.main.writes", "fenced"))
    assert (where, what) == ("stores.main.writes", "unknown key")


def test_fenced_writes_are_warned_of() -> None:
    """`check` says what is weaker about them, and nothing about strict ones."""
    [warning] = load(on_aws(writes="fenced")).warnings
    assert warning.where.endswith("stores.main.writes")
    assert "weaker than strict" in warning.what
    assert load(on_aws(writes="strict")).warnings == []
