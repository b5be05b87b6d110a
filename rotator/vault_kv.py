"""The verbs of one KV version 2 mount that the Vault stores are made of, with their answers checked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rotator.errors import StoreDenied, StoreMissing, StoreUnavailable, StoreWriteInDoubt
from rotator.vault_errors import Absent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rotator.vault_session import VaultSession


@dataclass(frozen=True, slots=True, repr=False)
class KvVersion:
    """The newest version at a path. Not shown: it holds the values.

    Args:
        data: None when this version is deleted or destroyed.
        deletes_at: When the mount will delete it by itself (`delete_version_after`), if it will.
    """

    number: int
    data: Mapping[str, Any] | None
    created_at: datetime | None
    deletes_at: datetime | None


@dataclass(frozen=True, slots=True)
class KvMetadata:
    """What is known of the newest version at a path without its values.

    Args:
        labels: The custom metadata of the path, which belongs to all its versions.
    """

    number: int
    labels: Mapping[str, str]


class VaultKv:
    """One mount. Thread-safe; errors as `VaultSession.call`, with `Absent` turned into None.

    Args:
        session: The login.
        mount: Where the engine is mounted, slashes inside allowed.
    """

    def __init__(self, session: VaultSession, mount: str) -> None:
        self.session = session
        self.mount = mount.strip("/")

    def read(self, path: str, *, what: str) -> KvVersion | None:
        """Return the newest version; None where nothing was ever written.

        Raises:
            StoreMissing: There is no such mount, or it is not of version 2.
        """
        try:
            answer = self.session.call(
                lambda client: client.secrets.kv.v2.read_secret_version(
                    path, mount_point=self.mount, raise_on_deleted_version=True
                ),
                what=what,
            )
        except Absent as absent:
            if absent.version is None:
                self._prove(what)
                return None
            return _version(absent.version, None, what=what)
        match answer:
            case {"data": {"metadata": dict(metadata), "data": dict() | None as data}}:
                self.session.proven_mounts.add(self.mount)
                return _version(metadata, data, what=what)
        # What an earlier write through `data/` left in a version 1 mount reads like this.
        self._prove(what)
        raise _odd(what)

    def write(self, path: str, data: Mapping[str, Any], *, cas: int, what: str) -> KvVersion:
        """Write a version if `cas` is the newest one; 0 is none.

        Raises:
            CasMismatch: It is not; nothing was written.
        """
        # A version 1 mount would take the write, check-and-set included, for plain data: an overwrite.
        self._prove(what)
        answer = self.session.call(
            lambda client: client.secrets.kv.v2.create_or_update_secret(
                path, secret=dict(data), cas=cas, mount_point=self.mount
            ),
            what=what,
            write=True,
        )
        match answer:
            case {"data": {"version": int()} as metadata}:
                return _version(metadata, data, what=what)
        raise StoreWriteInDoubt(f"{what}: Vault's answer has not the form of KV version 2", hint="read it again")

    def metadata(self, path: str, *, what: str) -> KvMetadata | None:
        """Return what stands beside the newest version, without reading its value; None where it is none or deleted."""
        try:
            answer = self.session.call(
                lambda client: client.secrets.kv.v2.read_secret_metadata(path, mount_point=self.mount), what=what
            )
        except Absent:
            self._prove(what)
            return None
        match answer:
            case {"data": {"current_version": int(number), "versions": dict(versions)} as metadata}:
                pass
            case _:
                raise _odd(what)
        newest = versions.get(str(number))
        if not isinstance(newest, dict) or newest.get("destroyed"):
            return None
        # With `delete_version_after` a living version has a deletion time, in the future.
        deletes_at = _instant(newest.get("deletion_time"))
        if deletes_at and deletes_at <= self.session.clock.now():
            return None
        custom = metadata.get("custom_metadata")  # null where there is none, and unknown to Vault before 1.9
        labels = {str(name): str(value) for name, value in custom.items()} if isinstance(custom, dict) else {}
        return KvMetadata(number, labels)

    def names(self, folder: str, *, what: str) -> list[str]:
        """Return the names in a folder, of deleted ones too; folders in it end in a slash."""
        try:
            answer = self.session.call(
                lambda client: client.secrets.kv.v2.list_secrets(folder, mount_point=self.mount), what=what
            )
        except Absent:
            self._prove(what)
            return []
        match answer:
            case {"data": {"keys": list(names)}}:
                return [str(name) for name in names]
        raise _odd(what)

    def need(self, path: str, capabilities: frozenset[str], *, what: str) -> None:
        """Prove that the token may do these things to the values at a path (`sys/capabilities-self`).

        Raises:
            StoreDenied: It may not.
        """
        full = f"{self.mount}/data/{path}"
        answer = self.session.call(lambda client: client.sys.get_capabilities([full]), what=what)
        match answer:
            case {"data": {**found}}:
                listed = found.get(full)
            case _:
                listed = None
        if not isinstance(listed, list):
            raise _odd(what)
        held = frozenset(map(str, listed))
        lacking = frozenset[str]() if "root" in held else capabilities - held
        if lacking:
            raise StoreDenied(
                f"{what}: the policy does not allow {' and '.join(sorted(lacking))} on {full}",
                hint=f'path "{full}" {{ capabilities = ["create", "read", "update"] }}',
            )

    def _prove(self, what: str) -> None:
        """Prove, once, that the mount is of version 2: a version 1 mount answers 404 where nothing is, too.

        This is what Vault's own command line asks first; every token with any right on the mount may.
        """
        if self.mount in self.session.proven_mounts:
            return
        try:
            answer = self.session.call(
                lambda client: client.adapter.get(f"/v1/sys/internal/ui/mounts/{self.mount}"), what=what
            )
        except (Absent, StoreDenied):
            return  # no such mount, or no right on it: the call itself will say which
        match answer:
            case {"data": {"type": "kv", "options": {"version": "2"}}}:
                self.session.proven_mounts.add(self.mount)
                return
        raise StoreMissing(
            f"{what}: the engine at {self.mount} is not KV version 2",
            hint=f"only version 2 has check-and-set: vault kv enable-versioning {self.mount}",
        )


def _version(metadata: Mapping[str, Any], data: Mapping[str, Any] | None, *, what: str) -> KvVersion:
    number = metadata.get("version")
    if not isinstance(number, int):
        raise _odd(what)
    return KvVersion(number, data, _instant(metadata.get("created_time")), _instant(metadata.get("deletion_time")))


def _instant(text: object) -> datetime | None:
    """Read Vault's RFC 3339 with up to nine digits of a second; Python keeps the first six. Empty is None."""
    if not isinstance(text, str) or not text:
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None


def _odd(what: str) -> StoreUnavailable:
    return StoreUnavailable(f"{what}: Vault's answer has not the form of KV version 2", hint="check address and mount")
