"""AWS Secrets Manager as a secret store."""

from __future__ import annotations

import uuid
from datetime import UTC
from typing import TYPE_CHECKING, Any

from rotator.aws_errors import AWS_ERRORS, MISSING_CODES, code_of
from rotator.documents import parse_document
from rotator.errors import SecretNotFound, StoreDenied, StoreError
from rotator.model import Malformed, Versioned
from rotator.stores.aws_listing import CURRENT, AwsListing
from rotator.stores.aws_writes import NO_VALUE, TOKENS, StrictWrites, failure, is_mismatch, named

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import GetSecretValueResponseTypeDef

    from rotator.aws_errors import AwsError, Effect
    from rotator.model import Document, Found, Listed
    from rotator.ports import Clock


class AwsSecretStore:
    """A secret store over Secrets Manager. Thread-safe.

    Args:
        name: The store's name in the configuration.
        client: A `secretsmanager` client that sends once (`rotator.aws_session.client`).
        clock: Stands in for the creation time of a version that was just written, which AWS does not answer with.
        label: The staging label of versions on their way; the newest one keeps it.
        writes: How it writes; the other way is `rotator.stores.aws_fenced.FencedWrites`.
    """

    def __init__(
        self,
        name: str,
        client: SecretsManagerClient,
        clock: Clock,
        label: str = "rotator",
        writes: type[StrictWrites] = StrictWrites,
    ) -> None:
        self.name = name
        self._client = client
        self._label = label
        self._listing = AwsListing(name, client)
        self._writes = writes(name, client, clock, label, self.read)

    def read(self, secret: str) -> Versioned:
        """See `SecretStore.read`. The identity is the ARN, the version a version id.

        A secret without a value, or without AWSCURRENT, is `Malformed` and has the version `""`.
        """
        answer = self._current(secret)
        return self._valueless(secret) if answer is None else _versioned(answer)

    def compare_and_swap(self, secret: str, document: Document, *, expected: str | None, write_id: str) -> Versioned:
        """See `SecretStore.compare_and_swap`.

        `expected=""` gives a secret that holds no value its first one.
        """
        return self._writes.write(secret, document, expected=expected, write_id=write_id)

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
        self._writes.prove(secret)

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
            if not is_mismatch(error):
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
                    hint="create it with rotator put NAME; allow DescribeSecret to have the two told apart",
                ) from None
            raise failure from None
        return Versioned(answer["ARN"], NO_VALUE, None, Malformed("it holds no value yet"))

    def _what(self, secret: str) -> str:
        return named(self.name, secret)

    def _mapped(self, error: AwsError, secret: str, effect: Effect) -> StoreError:
        return failure(error, self.name, secret, effect)


def _versioned(answer: GetSecretValueResponseTypeDef) -> Versioned:
    return Versioned(
        identity=answer["ARN"],
        version=answer["VersionId"],
        created_at=answer["CreatedDate"].astimezone(UTC),
        content=parse_document(answer.get("SecretString")),
    )
