"""AWS Secrets Manager as a secret store."""

from __future__ import annotations

import uuid
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from rotator.aws_errors import AWS_ERRORS, MISSING_CODES, Subject, code_of, is_marked_deleted, mapped
from rotator.documents import document_text, parse_document
from rotator.errors import (
    SecretNotFound,
    StoreDenied,
    StoreError,
    StoreRejected,
    StoreUnavailable,
    StoreWriteInDoubt,
    VersionConflict,
)
from rotator.model import Malformed, Versioned
from rotator.stores.aws_listing import CURRENT, AwsListing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import GetSecretValueResponseTypeDef

    from rotator.aws_errors import AwsError, Effect
    from rotator.model import Document, Found, Listed
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


class AwsSecretStore:
    """A secret store over Secrets Manager. Thread-safe.

    A write is two calls. PutSecretValue adds the content as a version under rotator's own label, with an id derived
    from the write: AWS ignores a repetition with the same id and content, and no reader sees the version. Then
    UpdateSecretVersionStage moves AWSCURRENT, naming the version to take it from: "if the label is attached and …
    the version ID does not match, then the operation fails" (API reference), which is the compare-and-swap. One call
    (PutSecretValue with AWSCURRENT) was rejected: it replaces whatever somebody else wrote meanwhile.

    Args:
        name: The store's name in the configuration.
        client: A `secretsmanager` client that sends once (`rotator.aws_session.client`).
        clock: Stands in for the creation time of a version that was just written, which AWS does not answer with.
        label: The staging label of versions on their way; the newest one keeps it.
    """

    def __init__(self, name: str, client: SecretsManagerClient, clock: Clock, label: str = "rotator") -> None:
        self.name = name
        self._client = client
        self._clock = clock
        self._label = label
        self._listing = AwsListing(name, client)

    def read(self, secret: str) -> Versioned:
        """See `SecretStore.read`. The identity is the ARN, the version a version id.

        A secret without a value, or without AWSCURRENT, is `Malformed` and has the version `""`.
        """
        answer = self._current(secret)
        return self._valueless(secret) if answer is None else _versioned(answer)

    def compare_and_swap(self, secret: str, document: Document, *, expected: str | None, write_id: str) -> Versioned:
        """See `SecretStore.compare_and_swap`. Two calls, or three when somebody interferes.

        `expected=""` gives a secret that holds no value its first one.
        """
        text = document_text(document)
        self._require_fitting(secret, text)
        if expected is None:
            return self._create(secret, text, _version_id(write_id, NO_SECRET, 0))
        for generation in range(GENERATIONS):
            version = _version_id(write_id, expected, generation)
            identity = self._put(secret, text, version, expected)
            if identity is not None:
                written = Versioned(identity, version, self._clock.now(), document)
                return self._move(secret, written, expected)
            # The id is taken by another content, so it was not this write that used it.
            if self.read(secret).version != expected:
                raise VersionConflict(self._what(secret), expected=expected)
        raise StoreRejected(
            f"{self._what(secret)}: the version ids of write {write_id} are taken by other contents",
            hint="a write id was used for different contents; write again with a new one",
        )

    @property
    def batch(self) -> int:
        """See `SecretStore.batch`: 20, or 1 from the moment that BatchGetSecretValue turns out not to be allowed."""
        return self._listing.batch

    def read_many(self, secrets: Sequence[str]) -> Mapping[str, Versioned | StoreError]:
        """See `SecretStore.read_many`."""
        return self._listing.read_many(secrets, self.read)

    def versions(self, secrets: Sequence[str]) -> Mapping[str, Listed]:
        """See `SecretStore.versions`. ListSecrets, 100 secrets a page; may lag by five minutes (API reference)."""
        return self._listing.versions(secrets)

    def find(self, prefix: str, labels: Mapping[str, str]) -> Mapping[str, Found]:
        """See `SecretStore.find`. Labels are tags; ListSecrets as in `versions`."""
        return self._listing.find(prefix, labels)

    def prove_writable(self, secret: str) -> None:
        """See `SecretStore.prove_writable`. Needs, and so proves, every permission that a rotation needs.

        The current version is put again under its own id, which AWS ignores ("the operation succeeds but does
        nothing", API reference), though it checks the permission, the KMS key and the quota. Then a label is to be
        moved between versions that cannot exist. A secret without a value has nothing to put again.
        """
        answer = self._current(secret)
        if answer is None:
            self._valueless(secret)
        else:
            self._put_again(secret, answer)
        self._try_move(secret)

    # ------------------------------------------------------------------------------------------------- writing

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
            current = self.read(secret)
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
            current = self.read(secret)
        except StoreError:
            if in_doubt:
                raise failure from None
            raise
        if current.version == written.version:
            return current
        if current.version != expected:
            raise VersionConflict(self._what(secret), expected=expected) from None
        if not _is_mismatch(error):
            raise failure from None
        # That the read shows the expected version all the same means that it is stale, or that the new version is not
        # visible everywhere yet ("all Secrets Manager operations are eventually consistent"). Both pass.
        raise StoreUnavailable(
            f"{self._what(secret)}: AWS refused to move {CURRENT} ({code_of(error)}), though it stands as expected",
            hint="it is tried again",
        ) from None

    # ------------------------------------------------------------------------------------------------- proving

    def _put_again(self, secret: str, current: GetSecretValueResponseTypeDef) -> None:
        # With rotator's label and not without one: if AWS did not ignore the call after all, because the version
        # was removed a moment ago, it must not become current.
        value: Any = {name: current[name] for name in ("SecretString", "SecretBinary") if name in current}
        try:
            self._client.put_secret_value(
                SecretId=secret,
                ClientRequestToken=current["VersionId"],
                VersionStages=[self._label],
                **value,
            )
        except AWS_ERRORS as error:
            raise self._mapped(error, secret, "stage") from None

    def _try_move(self, secret: str) -> None:
        nowhere = str(uuid.uuid5(TOKENS, "no version"))
        try:
            self._client.update_secret_version_stage(
                SecretId=secret,
                VersionStage=self._label,
                RemoveFromVersionId=nowhere,
                MoveToVersionId=nowhere,
            )
        except AWS_ERRORS as error:
            if not _is_mismatch(error):
                raise self._mapped(error, secret, "stage") from None

    # ------------------------------------------------------------------------------------------------- reading

    def _current(self, secret: str) -> GetSecretValueResponseTypeDef | None:
        """Return the answer of GetSecretValue, or None when there is no value to get."""
        try:
            # The stage is named although it is the default: moto forgets moved labels without it.
            return self._client.get_secret_value(SecretId=secret, VersionStage=CURRENT)
        except AWS_ERRORS as error:
            if code_of(error) in MISSING_CODES:
                return None
            raise self._mapped(error, secret, "read") from None

    def _valueless(self, secret: str) -> Versioned:
        """Return the secret that has no current value, or raise because there is no secret."""
        # GetSecretValue has one code for both; its message would tell, but DescribeSecret is what is documented.
        try:
            answer = self._client.describe_secret(SecretId=secret)
        except AWS_ERRORS as error:
            failure = self._mapped(error, secret, "read")
            if isinstance(failure, StoreDenied):
                raise SecretNotFound(
                    f"{self._what(secret)}: there is no such secret, or it holds no value",
                    hint="create it with `rotator put`; allow DescribeSecret to have the two told apart",
                ) from None
            raise failure from None
        return Versioned(answer["ARN"], NO_VALUE, None, Malformed("it holds no value yet"))

    def _require_fitting(self, secret: str, text: str) -> None:
        size = len(text.encode(errors="surrogatepass"))
        if size > MAX_VALUE_BYTES:
            raise StoreRejected(
                f"{self._what(secret)}: the document has {size} bytes, more than the {MAX_VALUE_BYTES} that AWS takes",
                hint="move what is not a credential out of the document",
            )

    def _what(self, secret: str) -> str:
        return f"secret {secret} in store {self.name}"

    def _mapped(self, error: AwsError, secret: str, effect: Effect) -> StoreError:
        subject = Subject(self._what(secret), SecretNotFound, "create it with `rotator put`, or mend its name")
        return mapped(error, subject, effect)


def _is_mismatch(error: AwsError) -> bool:
    """Return whether AWS may have refused a move because the label is not where it was said to be.

    The API reference does not name the code of that; each of these fits its description. What else they stand for,
    the put before the move has met already.
    """
    return code_of(error) in MISMATCH_CODES and not is_marked_deleted(error)


def _version_id(write_id: str, expected: str, generation: int) -> str:
    """Return the version id of a write: the same for its repetitions, another for every other write."""
    suffix = f":{generation}" if generation else ""
    return str(uuid.uuid5(TOKENS, f"{write_id}:{expected}{suffix}"))


def _versioned(answer: GetSecretValueResponseTypeDef) -> Versioned:
    return Versioned(
        identity=answer["ARN"],
        version=answer["VersionId"],
        created_at=answer["CreatedDate"].astimezone(UTC),
        content=parse_document(answer.get("SecretString")),
    )
