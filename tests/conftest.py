"""What all tests share."""

import pytest

pytest.register_assert_rewrite("rotator.testing")

from tests.servers import fake_session, ministack_url, moto_url, new_name  # noqa: E402 - after the rewrite is set up

__all__ = ["fake_session", "ministack_url", "moto_url", "new_name"]

pytest_plugins = ["tests.leak_hunt"]
