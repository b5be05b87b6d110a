"""One credential whose store, state, escrow and audit trail lie in a folder; the provider is in memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rotator import outcomes
from rotator.audit.sinks import JsonlFileSink
from rotator.clocks import SystemIds
from rotator.errors import RotatorError
from rotator.escrow.file import FileEscrow
from rotator.model import Document
from rotator.seal import AesSeal
from rotator.state.local import LocalStateStore
from rotator.stores.local import LocalSecretStore
from tests.rotation.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from rotator.outcomes import Outcome


class DiskWorld(World):
    """The world of `tests.rotation` with the local adapters in the place of those in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.places = {
            "escrow": self.folder / "escrow",
            "audit": self.folder / "audit.jsonl",
            "store": self.folder / "secrets.db",
            "state": self.folder / "state.db",
        }
        seal = AesSeal(lambda: bytes(32))
        # Parts that live as long as one process are made anew for each run; these read the disk on every call.
        self.store = LocalSecretStore("main", self.places["store"], seal, self.clock)  # type: ignore[assignment]
        self.state = LocalStateStore(self.places["state"])  # type: ignore[assignment]
        self.escrow = FileEscrow(self.places["escrow"], SystemIds())  # type: ignore[assignment]
        self.first = self.provider.login()
        document = Document({**self.first, "note": "keep me"})
        self.store.compare_and_swap(self.credential.secret, document, expected=None, write_id="seed")

    def seed(self, **fields: object) -> None:
        """Nothing yet: `__post_init__` seeds the store on disk."""

    @property
    def document(self) -> dict[str, Any]:
        content = self.store.read(self.credential.secret).content
        assert isinstance(content, Document)
        return dict(content.fields)

    @property
    def events(self) -> list[str]:
        """The whole lines of the audit file."""
        found = []
        for line in self.places["audit"].read_bytes().splitlines() if self.places["audit"].exists() else []:
            try:
                found.append(json.loads(line)["event"])
            except ValueError:
                continue
        return found

    def run(self) -> Outcome:
        """One process runs once: what was kept in memory before is gone."""
        self.escrow = FileEscrow(self.places["escrow"], SystemIds())  # type: ignore[assignment]
        sink = JsonlFileSink(self.places["audit"])
        try:
            return self.replica(audit=sink).run()
        except RotatorError as error:  # as `Passes.look` does
            return outcomes.of_error(self.credential.name, error)
        finally:
            sink.close()
