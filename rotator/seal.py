"""Sealing: AES-256-GCM under a key that comes from the environment, a file or AWS KMS."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rotator.errors import (
    ConfigError,
    Problem,
    RotatorError,
    SealBroken,
    StoreCorrupt,
    StoreUnavailable,
    StoreWriteInDoubt,
    VersionConflict,
)
from rotator.private_files import create_once

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from mypy_boto3_kms import KMSClient

    from rotator.ports import StateStore

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
"""NIST SP 800-38D: 96 random bits are safe for 2^32 texts under one key."""
_VERSION: Final = b"\x01"
"""First byte of a sealed text; another one means another way of sealing."""
_MAKE_ONE: Final = "make one with: openssl rand -base64 32"


@dataclass(frozen=True, slots=True, repr=False)
class _Keys:
    sealing: AESGCM
    digest: bytes


class AesSeal:
    """The port `Seal`. Thread-safe; loads the key at the first use and keeps it.

    Two keys are derived (HKDF-SHA-256, RFC 5869), so that what an audit digest may give away about its key says
    nothing about the key that seals.

    Args:
        load_key: Returns the master key, 32 bytes. A failure is not remembered: the next use loads again.
    """

    def __init__(self, load_key: Callable[[], bytes]) -> None:
        self._load_key = load_key
        self._keys: _Keys | None = None
        self._lock = threading.Lock()

    def seal(self, plain: bytes, context: str) -> str:
        """See `Seal.seal`; what it raises beyond that comes from the key's source."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._loaded().sealing.encrypt(nonce, plain, context.encode())
        return base64.b64encode(_VERSION + nonce + sealed).decode()

    def open(self, sealed: str, context: str) -> bytes:
        """See `Seal.open`; what it raises beyond that comes from the key's source."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - on use: a pass may have nothing to open

        keys = self._loaded()
        try:
            raw = base64.b64decode(sealed, validate=True)
            if not raw.startswith(_VERSION):
                raise SealBroken(f"what is sealed as {context} is damaged, or was sealed by a newer rotator")
            nonce, text = raw[1 : 1 + _NONCE_BYTES], raw[1 + _NONCE_BYTES :]
            return keys.sealing.decrypt(nonce, text, context.encode())
        except (ValueError, InvalidTag):  # not base64, cut short, or not authentic
            raise SealBroken(
                f"what is sealed as {context} does not open: another key, or damaged",
                hint="use the seal key that it was sealed with",
            ) from None

    def audit_digest(self, text: str) -> str:
        """See `Seal.audit_digest`; what it raises beyond that comes from the key's source."""
        # A JSON string may hold half a surrogate pair; an encoding error would carry the text.
        plain = text.encode("utf-8", "surrogatepass")
        return hmac.digest(self._loaded().digest, plain, "sha256").hex()[:16]

    def _loaded(self) -> _Keys:
        with self._lock:
            if self._keys is None:
                from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - likewise

                master = self._load_key()
                self._keys = _Keys(
                    sealing=AESGCM(_derived(master, b"rotator: seal, version 1")),
                    digest=_derived(master, b"rotator: audit digest, version 1"),
                )
            return self._keys


def _derived(master: bytes, purpose: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - likewise
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415 - likewise

    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose).derive(master)


# ------------------------------------------------------------------------------------------------ key sources


def key_from_env(name: str, env: Mapping[str, str] | None = None) -> bytes:
    """Return the key in an environment variable: 32 bytes as base64.

    Args:
        env: Where the variable is looked up; the process's own environment if None.

    Raises:
        ConfigError: The variable is not set, or holds something else.
    """
    text = (os.environ if env is None else env).get(name)
    if not text:
        raise _problem(f"the environment variable {name} is not set", _MAKE_ONE)
    return _decoded(text, f"the environment variable {name}")


def key_from_file(path: str | Path, *, create: bool = True) -> bytes:
    """Return the key in a file: 32 bytes as base64.

    Args:
        create: Make a new key when the file is missing. Of several processes that do so at once all return the key
            of the one that was first.

    Raises:
        ConfigError: The file cannot be read or created, is open to others, or holds something else. Of a file that
            belongs to another user, the group may read.
    """
    path = Path(path).absolute()
    try:
        if create and not path.exists():
            create_once(path, _write_new_key)
        with path.open(encoding="ascii", errors="replace") as file:
            found = os.fstat(file.fileno())
            text = file.read(4096)
    except FileNotFoundError:
        raise _problem(f"the key file {path} does not exist", _MAKE_ONE) from None
    except OSError as error:
        raise _problem(
            f"the key file {path} cannot be read or created: {error.strerror}",
            "check the path and its permissions",
        ) from None
    # Of a file that is not its own a process is let in as one of the group: so do Kubernetes (`fsGroup`) and systemd
    # (`LoadCredential`) hand keys over.
    closed = 0o077 if found.st_uid == os.geteuid() else 0o027
    if found.st_mode & closed:
        raise _problem(f"the key file {path} is open to others than its owner", f"chmod 600 {path}")
    return _decoded(text, f"the key file {path}")


def key_from_kms(kms_client: KMSClient, kms_key_id: str, state: StateStore) -> bytes:
    """Return a key that AWS KMS wrapped; the wrapped form lives in the state, under `seal-key/<kms_key_id>`.

    KMS is asked once per start, not once per seal: that keeps its quota and its latency out of a rotation. Whoever
    comes first makes the key; the others find theirs refused by the compare-and-swap and take the first one.

    Args:
        kms_key_id: Id, ARN or alias of a symmetric key.
        state: The state shared by all who must open each other's seals.

    Raises:
        ConfigError: KMS refuses the caller or the key.
        StoreCorrupt: The state's entry is not one.
        StoreError: KMS or the state do not answer.
    """
    where = f"seal-key/{kms_key_id}"
    body, _ = state.read(where)
    if body is None:
        made = _kms("GenerateDataKey", kms_key_id, kms_client.generate_data_key, KeySpec="AES_256")
        new = {"wrapped": base64.b64encode(made["CiphertextBlob"]).decode()}
        with contextlib.suppress(VersionConflict, StoreWriteInDoubt):  # what is read next is the one that counts
            state.compare_and_swap(where, new, expected=0)
        body, _ = state.read(where)
    try:
        wrapped = base64.b64decode((body or {})["wrapped"], validate=True)
    except (KeyError, TypeError, ValueError):
        raise StoreCorrupt(
            f"the state's entry {where} holds no wrapped key", hint="restore it; what it sealed opens with no other"
        ) from None
    key: bytes = _kms("Decrypt", kms_key_id, kms_client.decrypt, CiphertextBlob=wrapped)["Plaintext"]
    return _checked(key, f"the key in {where}")


_KMS_PURPOSE: Final = {"purpose": "rotator seal key"}
"""Encryption context: CloudTrail shows it, a key policy can ask for it, and nothing else unwraps the key."""

_KMS_BUSY: Final = frozenset(
    {
        "DependencyTimeoutException",
        "KMSInternalException",
        "KeyUnavailableException",
        "LimitExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
    }
)
"""Error codes after which KMS may answer a later call (KMS API reference, common errors and errors of Decrypt)."""


def _kms(action: str, key_id: str, call: Callable[..., Any], **arguments: Any) -> Mapping[str, Any]:
    """Call KMS and name what goes wrong."""
    from botocore import exceptions as aws  # noqa: PLC0415 - only whoever made a client has the SDK

    try:
        answer: Mapping[str, Any] = call(KeyId=key_id, EncryptionContext=_KMS_PURPOSE, **arguments)
    except aws.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise _kms_refusal(action, key_id, code, busy=code in _KMS_BUSY or status >= 500) from None  # noqa: PLR2004 - RFC 9110
    except (aws.ConnectionError, aws.HTTPClientError) as error:
        raise _kms_refusal(action, key_id, type(error).__name__, busy=True) from None
    except aws.BotoCoreError as error:  # no credentials, no region, a bad argument
        raise _kms_refusal(action, key_id, type(error).__name__, busy=False) from None
    return answer


def _kms_refusal(action: str, key_id: str, why: str, *, busy: bool) -> RotatorError:
    what = f"KMS {action} with key {key_id}: {why}"
    if busy:
        return StoreUnavailable(what, hint="KMS did not answer; run again later")
    return _problem(what, f"check the key id, its state, and that the caller may kms:{action}")


def _write_new_key(path: Path) -> None:
    path.write_text(base64.b64encode(os.urandom(KEY_BYTES)).decode() + "\n", encoding="ascii")


def _decoded(text: str, what: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (ValueError, binascii.Error):
        raise _problem(f"{what} holds no base64 text", _MAKE_ONE) from None
    return _checked(key, what)


def _checked(key: bytes, what: str) -> bytes:
    if len(key) != KEY_BYTES:
        raise _problem(f"{what} is {len(key)} bytes long, not {KEY_BYTES}", _MAKE_ONE)
    return key


def _problem(what: str, hint: str) -> ConfigError:
    return ConfigError([Problem("seal", what, hint)])
