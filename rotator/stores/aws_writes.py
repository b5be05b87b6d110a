"""How the Secrets Manager store writes: `writes: strict`, the default, and what the other way shares with it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

from rotator.aws_errors import (
    AWS_ERRORS,
    MISSING_CODES,
    Subject,
    code_of,
    is_marked_deleted,
    mapped,
)
from rotator.documents import document_text
from rotator.errors import (
    SecretNotFound,
    StoreDenied,
    StoreError,
    StoreRejected,
    StoreUnavailable,
    StoreWriteInDoubt,
    VersionConflict,
)
from rotator.model import Versioned
from rotator.stores.aws_listing import CURRENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_secretsmanager import SecretsManagerClient

    from rotator.aws_errors import AwsError, Effect
    from rotator.model import Document
    from rotator.ports import Clock

NO_VALUE: Final = ""
"""The version of a secret that exists and holds no value yet."""

NO_SECRET: Final = "no secret"
"""Stands for the expectation of a creation in version ids: else a creation would pass for a repetition of the write
that gave an empty secret its first value."""

MAX_VALUE_BYTES: Final = 65_536
"""The quota of a secret's value (API reference, PutSecretValue, SecretString). botocore does not check it."""

GENERATIONS: Final = 3
"""How many version ids are tried when the derived one is taken by another content. One collision needs a writer that
used a write id twice with different content; more need the same mistake again."""

MISMATCH_CODES: Final = frozenset({"InvalidParameterException", "InvalidRequestException", *MISSING_CODES})

TOKENS: Final = uuid.UUID("8d7f0f5e-6f0b-5c1e-9a63-0d6a3f6c2b41")
"""The namespace of version ids. Fixed for ever: with another one a repetition would not recognise its first try."""


class StrictWrites:
    """Compare-and-swap in two calls. Thread-safe.

    PutSecretValue adds the content as a version under rotator's own label, with an id derived from the write: AWS
    ignores a repetition with the same id and content, and no reader sees the version. Then UpdateSecretVersionStage
    moves AWSCURRENT, naming the version to take it from: "if the label is attached and … the version ID does not
    match, then the operation fails" (API reference), which is the compare-and-swap. One call (PutSecretValue with
    AWSCURRENT) replaces whatever somebody else wrote meanwhile.

    Args:
        store: The store's name in the configuration.
        client: A `secretsmanager` client that sends once (`rotator.aws_session.client`).
        clock: Stands in for the creation time of a version that was just written, which AWS does not answer with.
        label: The staging label of versions on their way; the newest one keeps it.
        read: The store's `read`.
    """

    def __init__(
        self, store: str, client: SecretsManagerClient, clock: Clock, label: str, read: Callable[[str], Versioned]
    ) -> None:
        self._store = store
        self._client = client
        self._clock = clock
        self._label = label
        self._read = read

    def write(self, secret: str, document: Document, *, expected: str | None, write_id: str) -> Versioned:
        """See `SecretStore.compare_and_swap`. Two calls, or three when somebody interferes."""
        text = document_text(document)
        self._require_fitting(secret, text)
        if expected is None:
            return self._create(secret, text, version_id(write_id, NO_SECRET, 0))
        for generation in range(GENERATIONS):
            version = self._version_id(write_id, expected, generation)
            written = self._swap(secret, document, text, version, expected)
            if written is not None:
                return written
            # The id is taken by another content, so it was not this write that used it.
            if self._read(secret).version != expected:
                raise VersionConflict(self._what(secret), expected=expected)
        raise StoreRejected(
            f"{self._what(secret)}: the version ids of write {write_id} are taken by other contents",
            hint="a write id was used for different contents; write again with a new one",
        )

    def prove(self, secret: str) -> None:
        """Prove that what only this way of writing needs is allowed; here that is nothing.

        Raises:
            StoreError: As `SecretStore.prove_writable`.
        """

    def _version_id(self, write_id: str, expected: str, generation: int) -> str:
        return version_id(write_id, expected, generation)

    def _swap(self, secret: str, document: Document, text: str, version: str, expected: str) -> Versioned | None:
        """Make the document the content as `version` if `expected` is current; return None when the id is taken.

        Args:
            text: The document's.
        """
        identity = self._put(secret, text, version, expected)
        if identity is None:
            return None
        return self._move(secret, Versioned(identity, version, self._clock.now(), document), expected)

    def _create(self, secret: str, text: str, version: str) -> Versioned:
        try:
            self._client.create_secret(Name=secret, SecretString=text, ClientRequestToken=version)
        except AWS_ERRORS as error:
            if code_of(error) == "ResourceExistsException":
                raise VersionConflict(self._what(secret), expected=None) from None
            if is_marked_deleted(error):
                raise StoreRejected(
                    f"{self._what(secret)}: its name belongs to a secret that is marked deleted",
                    hint="restore that one with `aws secretsmanager restore-secret`, or take another name",
                ) from None
            raise self._mapped(error, secret, "write") from None
        # AWS answers a repetition like a first call, also when somebody has written since.
        try:
            current = self._read(secret)
        except StoreError:
            raise StoreWriteInDoubt(
                f"{self._what(secret)}: created, but cannot be read back",
                hint="it is read again and compared",
            ) from None
        if current.version != version:
            raise VersionConflict(self._what(secret), expected=None)
        return current

    def _put(self, secret: str, text: str, version: str, expected: str) -> str | None:
        """Add the version under rotator's label; return the secret's ARN, or None when the id is taken."""
        # A first version becomes current at once (API reference, PutSecretValue), any other one is invisible. So a
        # lost answer leaves no doubt but there: what readers see is unchanged and a repetition is ignored.
        effect: Effect = "write" if expected == NO_VALUE else "stage"
        try:
            answer = self._client.put_secret_value(
                SecretId=secret, ClientRequestToken=version, SecretString=text, VersionStages=[self._label]
            )
        except AWS_ERRORS as error:
            if code_of(error) == "ResourceExistsException":
                return None
            raise self._mapped(error, secret, effect) from None
        # The answer's VersionStages are ignored: those of a repetition are what became of the version since.
        return answer["ARN"]

    def _move(self, secret: str, written: Versioned, expected: str) -> Versioned:
        """Move AWSCURRENT from `expected` to the written version."""
        try:
            if expected == NO_VALUE:
                self._client.update_secret_version_stage(
                    SecretId=secret, VersionStage=CURRENT, MoveToVersionId=written.version
                )
            else:
                self._client.update_secret_version_stage(
                    SecretId=secret,
                    VersionStage=CURRENT,
                    RemoveFromVersionId=expected,
                    MoveToVersionId=written.version,
                )
        except AWS_ERRORS as error:
            return self._judge(secret, written, expected, error)
        return written

    def _judge(self, secret: str, written: Versioned, expected: str, error: AwsError) -> Versioned:
        """Find out by reading what a move that failed means."""
        failure = self._mapped(error, secret, "write")
        if isinstance(failure, StoreDenied | StoreUnavailable):
            raise failure from None
        in_doubt = isinstance(failure, StoreWriteInDoubt)
        try:
            current = self._read(secret)
        except StoreError:
            if in_doubt:
                raise failure from None
            raise
        if current.version == written.version:
            return current
        if current.version != expected:
            raise VersionConflict(self._what(secret), expected=expected) from None
        if not is_mismatch(error):
            raise failure from None
        # That the read shows the expected version all the same means that it is stale, or that the new version is not
        # visible everywhere yet ("all Secrets Manager operations are eventually consistent"). Both pass.
        raise StoreUnavailable(
            f"{self._what(secret)}: AWS refused to move {CURRENT} ({code_of(error)}), though it stands as expected",
            hint="it is tried again",
        ) from None

    def _require_fitting(self, secret: str, text: str) -> None:
        size = len(text.encode(errors="surrogatepass"))
        if size > MAX_VALUE_BYTES:
            raise StoreRejected(
                f"{self._what(secret)}: the document has {size} bytes, more than the {MAX_VALUE_BYTES} that AWS takes",
                hint="move what is not a credential out of the document",
            )

    def _what(self, secret: str) -> str:
        return named(self._store, secret)

    def _mapped(self, error: AwsError, secret: str, effect: Effect) -> StoreError:
        return failure(error, self._store, secret, effect)


def named(store: str, secret: str) -> str:
    """Return how messages name a secret."""
    return f"secret {secret} in store {store}"


def failure(error: AwsError, store: str, secret: str, effect: Effect) -> StoreError:
    """Return what an error of a call about a secret means."""
    subject = Subject(named(store, secret), SecretNotFound, "create it with rotator put NAME, or mend its name")
    return mapped(error, subject, effect)


def is_mismatch(error: AwsError) -> bool:
    """Return whether AWS may have refused a move because the label is not where it was said to be.

    The API reference does not name the code of that; each of these fits its description. What else they stand for,
    the put before the move has met already.
    """
    return code_of(error) in MISMATCH_CODES and not is_marked_deleted(error)


def version_id(write_id: str, expected: str, generation: int) -> str:
    """Return the version id of a write: the same for its repetitions, another for every other write."""
    suffix = f":{generation}" if generation else ""
    return str(uuid.uuid5(TOKENS, f"{write_id}:{expected}{suffix}"))
