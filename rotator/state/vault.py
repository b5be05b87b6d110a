"""State records in Vault's KV version 2 engine: the record's revision is the number of Vault's version.

Vault prunes old versions by itself (`max_versions`); only the newest one is ever read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from rotator.errors import StoreCorrupt, StoreRejected, VersionConflict
from rotator.state.bodies import body_of, one_by_one
from rotator.vault_errors import CasMismatch
from rotator.vault_kv import VaultKv

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rotator.errors import StoreError
    from rotator.ports import Stored
    from rotator.vault_session import VaultSession


class VaultStateStore:
    """See `rotator.ports.StateStore`. Thread-safe.

    Each record is one entry below `path`, its key percent-encoded into one path segment. A record that somebody
    deleted reads as none, at the revision that the next write has to expect.

    Args:
        session: The login to Vault. Its address must lead to the active node: a standby that lags breaks `read`.
        mount: Where the KV engine is mounted.
        path: The folder of the records.
    """

    shared = True
    batch = 1

    def __init__(self, session: VaultSession, mount: str, path: str) -> None:
        self._kv = VaultKv(session, mount)
        self._path = "/".join(part for part in path.split("/") if part)

    def read(self, key: str) -> Stored:
        """See `StateStore.read`.

        Raises:
            StoreCorrupt: Also for a record that Vault is going to delete by itself: its claims would be forgotten.
        """
        found = self._kv.read(self._entry(key), what=self._what(key))
        if found is None:
            return None, 0
        if found.data is None:
            return None, found.number
        if found.deletes_at is not None:
            raise StoreCorrupt(
                f"{self._what(key)}: Vault deletes it at {found.deletes_at.isoformat()}",
                hint="set delete_version_after of the mount and of the entry to 0s, and copy the entry onto itself",
            )
        try:
            body = body_of(found.data["record"])
        except (KeyError, ValueError):
            raise StoreCorrupt(
                f"{self._what(key)}: it is no record of rotator's",
                hint="somebody else wrote it: restore the version just before theirs; an older one forgets claims",
            ) from None
        return body, found.number

    def read_many(self, keys: Sequence[str]) -> Mapping[str, Stored | StoreError]:
        """See `StateStore.read_many`. Vault has no call for several entries."""
        return one_by_one(self.read, keys)

    def compare_and_swap(self, key: str, body: Mapping[str, Any], *, expected: int) -> int:
        """See `StateStore.compare_and_swap`."""
        try:
            # As text: Vault would decode and encode an object anew, and need not keep a number's form.
            text = json.dumps(dict(body), allow_nan=False)
        except ValueError:
            raise StoreRejected(f"{self._what(key)}: the record has no JSON form") from None
        try:
            return self._kv.write(self._entry(key), {"record": text}, cas=expected, what=self._what(key)).number
        except CasMismatch:
            raise VersionConflict(self._what(key), expected=expected) from None

    def keys(self, prefix: str) -> list[str]:
        """See `StateStore.keys`; a record that somebody deleted is still listed."""
        names = self._kv.names(self._path, what=f"state in Vault: {self._kv.mount}/{self._path}")
        decoded = ((name, unquote(name)) for name in names if not name.endswith("/"))
        return [key for name, key in decoded if key.startswith(prefix) and _segment(key) == name]

    def prove_writable(self) -> None:
        """See `StateStore.prove_writable`; asks Vault what the token may do below `path`."""
        probe = "probe"
        # Read as well: what the token may do is answered for mounts that do not exist, too.
        self._kv.read(self._entry(probe), what=self._what(probe))
        self._kv.need(self._entry(probe), frozenset({"create", "read", "update"}), what=self._what(probe))

    def _entry(self, key: str) -> str:
        return f"{self._path}/{_segment(key)}"

    def _what(self, key: str) -> str:
        return f"state in Vault: {self._kv.mount}/{self._path}, key {key}"


def _segment(key: str) -> str:
    """Return the key as one path segment; `unquote` turns it back."""
    if not key.strip("."):
        return key.replace(".", "%2E")  # a segment of dots alone is resolved on the way
    return quote(key, safe=":")
