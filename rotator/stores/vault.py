"""Credential documents in Vault's KV version 2 engine (also OpenBao's).

A policy that suffices for `<mount>/data/<path>` is create, read and update; `versions` reads
`<mount>/metadata/<path>`, and `find` lists its folders, too.
"""

from __future__ import annotations

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from rotator.bulk import carries, read_each
from rotator.documents import document_of
from rotator.errors import SecretNotFound, StoreUnavailable, StoreWriteInDoubt, VersionConflict
from rotator.model import Found, Listed, Versioned
from rotator.vault_errors import CasMismatch
from rotator.vault_kv import VaultKv

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rotator.errors import StoreError
    from rotator.model import Document
    from rotator.vault_kv import KvMetadata, KvVersion
    from rotator.vault_session import VaultSession

DEEPEST: Final = 100
"""Folders inside each other that a search goes into: something that answers every listing with a folder would lead it
for ever."""

SIDE_BY_SIDE: Final = 8
"""Metadata reads at one time in a search: its caller cannot cut it into parts that run beside each other, as it can a
list of secrets. Half of the connections that a session has by default; rotations need some, too."""

_VERSION: Final = re.compile(r"[1-9][0-9]{0,17}")


class VaultSecretStore:
    """See `rotator.ports.SecretStore`. Thread-safe.

    Deleted means Vault's soft deletion and destruction. One gap is Vault's own: check-and-set compares numbers and a
    deletion does not change the number, so a deletion between a read and the write that builds on it is undone. A
    second read just before the write would narrow that gap, not close it, at the price of a call for every rotation.

    Args:
        name: The store's name in the configuration.
        session: The login to Vault.
        mount: Where the KV engine is mounted.
    """

    def __init__(self, name: str, session: VaultSession, mount: str) -> None:
        self.name = name
        self._session = session
        self._kv = VaultKv(session, mount)

    def read(self, secret: str) -> Versioned:
        """See `SecretStore.read`. An object is all that KV holds, so that hardly any content is malformed."""
        path = self._path(secret)
        return self._versioned(path, self._found(path))

    def compare_and_swap(
        self,
        secret: str,
        document: Document,
        *,
        expected: str | None,
        write_id: str,  # noqa: ARG002 - Vault keeps no id of a write
    ) -> Versioned:
        """See `SecretStore.compare_and_swap`.

        `write_id` has no place in Vault: a repetition is recognised by its place, right after `expected`, and by its
        content. An equal document that somebody else wrote there passes for ours, which harms nobody.
        """
        path = self._path(secret)
        number = _number(expected)
        if number is not None:
            try:
                return self._versioned(path, self._kv.write(path, document.fields, cas=number, what=self._what(path)))
            except CasMismatch:
                pass
        return self._repetition(path, self._reread(path), document, expected)

    @property
    def batch(self) -> int:
        """See `SecretStore.batch`: Vault has no bulk read."""
        return 1

    def read_many(self, secrets: Sequence[str]) -> Mapping[str, Versioned | StoreError]:
        """See `SecretStore.read_many`; as fresh as `read`."""
        return read_each(self.read, secrets)

    def versions(self, secrets: Sequence[str]) -> Mapping[str, Listed]:
        """See `SecretStore.versions`; never lags.

        Vault has no bulk read. The requests go one after the other: a sweep has time, and the first one without an
        answer ends it, so that a Vault that is down costs one timeout.
        """
        found = {}
        for secret in secrets:
            path = _normal(secret)
            if path is None:
                continue
            metadata = self._kv.metadata(path, what=self._what(path))
            if metadata is not None:
                found[secret] = Listed(self._identity(path), str(metadata.number))
        return found

    def find(self, prefix: str, labels: Mapping[str, str]) -> Mapping[str, Found]:
        """See `SecretStore.find`; never lags. Labels are the custom metadata, names are paths in their one form.

        Vault has no search: the folders below the prefix are listed, one after the other, then each secret's metadata
        is read, a few at a time. The first failure ends it, so that a Vault that is down costs one timeout.
        """
        failed = threading.Event()

        def metadata_of(path: str) -> KvMetadata | None:
            if failed.is_set():
                return None  # the error is raised below
            try:
                return self._kv.metadata(path, what=self._what(path))
            except BaseException:
                failed.set()
                raise

        paths = list(self._paths(prefix))
        found = {}
        with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="find") as pool:
            for path, metadata in zip(paths, pool.map(metadata_of, paths), strict=True):
                if metadata is not None and carries(metadata.labels, labels):
                    found[path] = Found(path, self._identity(path), str(metadata.number), metadata.labels)
        return found

    def prove_writable(self, secret: str) -> None:
        """See `SecretStore.prove_writable`; asks Vault what the token may do."""
        path = self._path(secret)
        self._found(path)
        self._kv.need(path, frozenset({"update"}), what=self._what(path))

    def _paths(self, prefix: str) -> Iterator[str]:
        """Walk the folders that a prefix leads to; deleted secrets are listed too.

        Raises:
            StoreUnavailable: The folders have no end.
        """
        head, _, start = prefix.rpartition("/")
        folder = "/".join(part for part in head.split("/") if part)
        if folder and _normal(folder) is None:
            return  # no secret can lie there
        waiting = [(folder, start)]
        while waiting:
            folder, start = waiting.pop()
            if folder.count("/") >= DEEPEST:
                raise StoreUnavailable(
                    f"{self._what(folder)}: more than {DEEPEST} folders inside each other",
                    hint="check address: is it a proxy?",
                )
            for name in self._kv.names(folder, what=self._what(folder)):
                inside = name.removesuffix("/")
                if _normal(inside) != inside or not name.startswith(start):
                    continue  # a name that is none would lead elsewhere, or here again
                path = f"{folder}/{inside}" if folder else inside
                if name.endswith("/"):
                    waiting.append((path, ""))
                else:
                    yield path

    def _found(self, path: str) -> KvVersion:
        found = self._kv.read(path, what=self._what(path))
        if found is None:
            raise self._no_such(path)
        if found.data is None:
            raise SecretNotFound(
                f"{self._what(path)}: its newest version, {found.number}, is deleted",
                hint=f"vault kv undelete -mount={self._kv.mount} -versions={found.number} {path}",
            )
        return found

    def _no_such(self, path: str) -> SecretNotFound:
        return SecretNotFound(f"{self._what(path)}: no such secret", hint=f"rotator put NAME, or check the path {path}")

    def _reread(self, path: str) -> KvVersion | None:
        try:
            return self._kv.read(path, what=self._what(path))
        except StoreUnavailable as error:
            # Not "surely not applied": this may be the repetition of a write that was.
            raise StoreWriteInDoubt(error.message, hint=error.hint) from None

    def _repetition(self, path: str, current: KvVersion | None, document: Document, expected: str | None) -> Versioned:
        """Return the current version if this very write made it.

        Raises:
            VersionConflict: It did not.
        """
        if current is None and expected is not None:
            raise self._no_such(path)
        if current is not None and current.data is None:
            raise VersionConflict(f"{self._what(path)} (deleted: undelete it first)", expected=expected)
        if current is None or current.number - 1 != _number(expected) or _text(current.data) != _text(document.fields):
            raise VersionConflict(self._what(path), expected=expected)
        return self._versioned(path, current)

    def _versioned(self, path: str, found: KvVersion) -> Versioned:
        return Versioned(
            identity=self._identity(path),
            version=str(found.number),
            created_at=found.created_at,
            content=document_of(found.data or {}),
        )

    def _identity(self, path: str) -> str:
        return f"vault:{self._session.address}|{self._session.namespace}|{self._kv.mount}/{path}"

    def _what(self, path: str) -> str:
        return f"store {self.name}: {self._kv.mount}/{path}"

    def _path(self, secret: str) -> str:
        """Return the one form of a path: no empty parts, as hvac sends it.

        Raises:
            SecretNotFound: It has parts that HTTP clients resolve before they send.
        """
        path = _normal(secret)
        if path is None:
            raise SecretNotFound(f"store {self.name}: {secret!r} is no path in Vault", hint="a path such as team/app")
        return path


def _normal(secret: str) -> str | None:
    parts = [part for part in secret.split("/") if part]
    return None if not parts or {".", ".."} & set(parts) else "/".join(parts)


def _number(expected: str | None) -> int | None:
    """Return the number that check-and-set compares, 0 for a creation; None for what is no version of Vault's.

    Only in the form in which `read` gives it: a lenient reader would take "0" for a creation, and "07" for 7.
    """
    if expected is None:
        return 0
    return int(expected) if _VERSION.fullmatch(expected) else None


def _text(fields: Mapping[str, object] | None) -> str:
    # As JSON: Python's own comparison takes true for 1.
    return json.dumps(fields, sort_keys=True, default=dict)
