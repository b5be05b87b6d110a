"""What a store's settings say about how fast it may be written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rotator.config.store_settings import AwsSecretsManagerStore
from rotator.limits import StoreQuota

if TYPE_CHECKING:
    from rotator.config.store_settings import StoreSettings


def quota_of(store: StoreSettings) -> StoreQuota | None:
    """Return the quota of a store's writes; None where the backend has none."""
    if not isinstance(store, AwsSecretsManagerStore):
        return None
    quota = store.write_quota
    # See `rotator.stores.aws_writes` and `rotator.stores.aws_fenced` for the calls.
    return StoreQuota(quota.per_second * quota.share, 1 if store.writes == "fenced" else 2)
