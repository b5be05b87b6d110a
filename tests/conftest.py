"""What all tests share."""

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("rotator.testing")

from tests.effort import tried  # noqa: E402 - after the rewrite is set up
from tests.servers import fake_session, ministack_url, moto_url, new_name  # noqa: E402

__all__ = ["fake_session", "ministack_url", "moto_url", "new_name"]

pytest_plugins = ["tests.leak_hunt"]

settings.register_profile("as everywhere", tried(100))
settings.load_profile("as everywhere")
