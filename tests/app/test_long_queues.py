"""Passes over more than there are threads for: what waits is not read for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rotator import outcomes
from rotator.rotation import Rotation
from rotator.stores.local import LocalSecretStore

if TYPE_CHECKING:
    import pytest

    from tests.app.stage import Stage

WORKERS = 2


def test_in_a_long_queue_each_is_read_once_more_and_no_oftener(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the look at all of them together: when its turn comes, not when it begins to wait as well."""
    stage.config["workers"] = WORKERS
    names = ["alpha", *(f"c{number}" for number in range(11))]
    stage.ready(*names)
    stage.until_due()
    reads: list[str] = []
    real, send = LocalSecretStore.read, Rotation.run

    def counted(self: Any, secret: str) -> Any:
        reads.append(secret)
        return real(self, secret)

    def slow(self: Any, *given: Any, **more: Any) -> Any:
        stage.advance(1.0)
        return send(self, *given, **more)

    monkeypatch.setattr("rotator.dispatch.GOOD_FOR_S", 0.5)  # what was read before the one ahead of it was sent is old
    monkeypatch.setattr(LocalSecretStore, "read", counted)
    monkeypatch.setattr(Rotation, "run", slow)
    app = stage.app()
    results = app.passes.run(app.credentials, horizon_s=900.0)
    assert {type(one) for one in results} == {outcomes.Rotated}
    assert set(reads) == set(names)
    assert len(reads) <= len(names) + WORKERS  # those with which the pass begins are read at once
