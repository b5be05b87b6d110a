"""What Secrets Manager says of many secrets at once: ListSecrets and BatchGetSecretValue."""

from __future__ import annotations

import itertools
import os.path
import re
from datetime import UTC
from typing import TYPE_CHECKING, Final

from rotator.aws_errors import (
    AWS_ERRORS,
    BUSY_CODES,
    DENIED_CODES,
    KEY_CODES,
    Subject,
    code_of,
    concerns_the_caller,
    is_marked_deleted,
    mapped,
    of_entry,
)
from rotator.bulk import calls, carries, read_each
from rotator.documents import parse_document
from rotator.errors import StoreUnavailable
from rotator.model import Found, Listed, Versioned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import (
        BatchGetSecretValueResponseTypeDef,
        FilterTypeDef,
        SecretListEntryTypeDef,
        SecretValueEntryTypeDef,
    )

    from rotator.aws_errors import AwsError
    from rotator.errors import StoreError

CURRENT: Final = "AWSCURRENT"

PAGE: Final = 100
"""MaxResults of ListSecrets."""

BATCH: Final = 20
"""How many ids BatchGetSecretValue takes. botocore does not check it."""

NOT_OFFERED_CODES: Final = DENIED_CODES | {"UnknownOperationException"}
"""BatchGetSecretValue is an action of its own in a policy, of which older ones know nothing; nor do some emulators."""

PLAIN_CODES: Final = BUSY_CODES | DENIED_CODES | KEY_CODES
"""What an entry's error is for sure. Any other may be read in two ways without an HTTP status of its own."""

MAX_FILTER_VALUES: Final = 10
"""How many values a filter of ListSecrets takes."""

_FILTERABLE = re.compile(r"[a-zA-Z0-9 :_@/+=.-][a-zA-Z0-9 :_@/+=.!-]{0,511}")
"""What a filter's value may be (API reference, Filter): with another one the whole listing is refused. A leading `!`
would turn its meaning round."""

_NEEDED: Final = frozenset({"ARN", "Name", "VersionId"})

_ARN_NAME = re.compile(r"arn:[^:]*:secretsmanager:[^:]*:[^:]*:secret:(.+)")
_ARN_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}$")


class AwsListing:
    """The bulk reads and the listings of one account and region. Thread-safe.

    Args:
        name: The store's name in the configuration.
        client: As `AwsSecretStore`'s.
    """

    def __init__(self, name: str, client: SecretsManagerClient) -> None:
        self._name = name
        self._client = client
        self._not_offered = False

    @property
    def batch(self) -> int:
        """See `SecretStore.batch`."""
        return 1 if self._not_offered else BATCH

    def read_many(
        self, secrets: Sequence[str], read: Callable[[str], Versioned]
    ) -> Mapping[str, Versioned | StoreError]:
        """Return what `SecretStore.read_many` asks for; `read` settles what the answers in bulk do not."""
        answers: dict[str, Versioned | StoreError] = {}
        for ids in calls(secrets, BATCH):
            # GetSecretValue has a hundred times the quota of BatchGetSecretValue (10,000 calls a second).
            settled = {} if len(ids) == 1 or self._not_offered else self._settled_in_bulk(ids)
            answers.update(settled)
            answers.update(read_each(read, (secret for secret in ids if secret not in settled)))
        return answers

    def versions(self, secrets: Sequence[str]) -> Mapping[str, Listed]:
        """Return what `SecretStore.versions` asks for, from as many pages as AWS's filter lets through.

        The secrets are asked for by the beginning that all names share, so what else begins like that is paid for too.
        """
        prefixes = _prefixes(secrets)
        if prefixes is None:
            return {}
        asked = set(secrets)
        whole: dict[str, Listed] = {}
        cut: dict[str, Listed] = {}
        for entry in self._entries([{"Key": "name", "Values": prefixes}] if prefixes else []):
            version = _current_version(entry)
            if version is None:
                continue
            listed, arn = Listed(entry["ARN"], version), entry["ARN"]
            whole.update((known_as, listed) for known_as in (entry["Name"], arn) if known_as in asked)
            if (without_suffix := _ARN_SUFFIX.sub("", arn)) in asked:
                cut[without_suffix] = listed
        return {**cut, **whole}  # a text that is both is the whole ARN, for AWS too

    def find(self, prefix: str, labels: Mapping[str, str]) -> Mapping[str, Found]:
        """Return what `SecretStore.find` asks for; the labels are tags.

        AWS filters by the prefix, and by one tag's key and one tag's value of those asked for: how it joins several
        values is not documented, and its filters match beginnings, of any tag. So the tags are compared here again.
        """
        if prefix and not _FILTERABLE.fullmatch(prefix):
            return {}  # no name begins so, and AWS would refuse the call
        filters: list[FilterTypeDef] = [{"Key": "name", "Values": [prefix]}] if prefix else []
        keys, values = filter(_FILTERABLE.fullmatch, labels), filter(_FILTERABLE.fullmatch, labels.values())
        filters += [{"Key": "tag-key", "Values": [key]} for key in itertools.islice(keys, 1)]
        filters += [{"Key": "tag-value", "Values": [value]} for value in itertools.islice(values, 1)]
        found = {}
        for entry in self._entries(filters):
            tags = {tag.get("Key", ""): tag.get("Value", "") for tag in entry.get("Tags", ())}
            if entry["Name"].startswith(prefix) and carries(tags, labels):
                found[entry["Name"]] = Found(entry["Name"], entry["ARN"], _current_version(entry), tags)
        return found

    def _settled_in_bulk(self, ids: list[str]) -> dict[str, Versioned | StoreError]:
        """Return what one BatchGetSecretValue, with as many pages as it has, says for sure about these secrets."""
        settled: dict[str, Versioned | StoreError] = {}
        token = ""
        for _ in ids:  # a page may be empty, but an answer must end some time
            try:
                page = self._page_of(ids, token)
            except AWS_ERRORS as error:
                return settled | self._failed(error, [secret for secret in ids if secret not in settled])
            settled.update(self._read_here(page, set(ids)))
            settled.update(self._failed_here(page, set(ids)))
            token = page.get("NextToken", "")
            if not token:
                break
        return settled

    def _page_of(self, ids: list[str], token: str) -> BatchGetSecretValueResponseTypeDef:
        if not token:
            return self._client.batch_get_secret_value(SecretIdList=ids)
        return self._client.batch_get_secret_value(SecretIdList=ids, NextToken=token)

    def _read_here(self, page: BatchGetSecretValueResponseTypeDef, asked: set[str]) -> dict[str, Versioned]:
        whole: dict[str, Versioned] = {}
        cut: dict[str, Versioned] = {}
        for entry in page.get("SecretValues", ()):
            # Not every answer is of the current version: moto gives an older one after a move of AWSCURRENT. Then, and
            # where something is missing, the secret is read by itself. A copy that lags and calls an old version
            # current is believed, as it would be of GetSecretValue: it can only make somebody look at the secret too
            # early or, until the next listing of versions, too late for an edit; whoever acts reads it anew, and
            # writes on the version that he read.
            if CURRENT not in entry.get("VersionStages", ()) or not entry.keys() >= _NEEDED:
                continue
            versioned = _versioned(entry)
            whole.update((known_as, versioned) for known_as in (entry["Name"], entry["ARN"]) if known_as in asked)
            if (without_suffix := _ARN_SUFFIX.sub("", entry["ARN"])) in asked:
                cut[without_suffix] = versioned
        return cut | whole  # a text that is both is the whole ARN, for AWS too

    def _failed_here(self, page: BatchGetSecretValueResponseTypeDef, asked: set[str]) -> dict[str, StoreError]:
        failed = {}
        for entry in page.get("Errors", ()):
            secret = entry.get("SecretId", "")
            error = of_entry("GetSecretValue", entry.get("ErrorCode", ""), entry.get("Message", ""), page)
            if secret in asked and (code_of(error) in PLAIN_CODES or is_marked_deleted(error)):
                failed[secret] = self._mapped(error, secret)
        return failed

    def _failed(self, error: AwsError, secrets: list[str]) -> dict[str, StoreError]:
        """Return what a call that failed as a whole says about these secrets; nothing where it may be one's fault."""
        if code_of(error) in NOT_OFFERED_CODES:
            self._not_offered = True
            return {}
        failed = {secret: self._mapped(error, secret) for secret in secrets}
        if concerns_the_caller(error) or all(isinstance(one, StoreUnavailable) for one in failed.values()):
            return failed
        return {}

    def _mapped(self, error: AwsError, secret: str) -> StoreError:
        return mapped(error, Subject(f"secret {secret} in store {self._name}"), "read")

    def _entries(self, filters: list[FilterTypeDef]) -> Iterator[SecretListEntryTypeDef]:
        pages = self._client.get_paginator("list_secrets").paginate(
            Filters=filters, PaginationConfig={"PageSize": PAGE}
        )
        what = f"store {self._name}"
        try:
            for page in pages:
                if "SecretList" not in page:  # of another service: it must not pass for an empty account
                    raise StoreUnavailable(f"{what}: the answer to ListSecrets is none", hint="check endpoint_url")
                yield from (entry for entry in page["SecretList"] if "ARN" in entry and "Name" in entry)
        except AWS_ERRORS as error:
            raise mapped(error, Subject(what), "read") from None


def _versioned(entry: SecretValueEntryTypeDef) -> Versioned:
    # "The date the secret was created" (API reference, SecretValueEntry), where GetSecretValue has the version's. If
    # it is meant so, the tokens pass for older than they are and the secret is looked at too early, never too late.
    created_at = entry.get("CreatedDate")
    return Versioned(
        identity=entry["ARN"],
        version=entry["VersionId"],
        created_at=created_at.astimezone(UTC) if created_at else None,
        content=parse_document(entry.get("SecretString")),
    )


def _current_version(entry: SecretListEntryTypeDef) -> str | None:
    for version, labels in entry.get("SecretVersionsToStages", {}).items():
        if CURRENT in labels:
            return version
    return None


def _prefixes(secrets: Sequence[str]) -> list[str] | None:
    """Return the values of a `name` filter that lets all the secrets through, which matches beginnings of names.

    None when no secret can have one of the names, an empty list when the names have nothing in common.
    """
    names = sorted({name for name in map(_name_in, secrets) if _FILTERABLE.fullmatch(name)})
    if not names:
        return None
    if len(names) <= MAX_FILTER_VALUES:
        return names
    shared = os.path.commonprefix(names)  # noqa: RUF071 - the filter compares characters too
    return [shared] if shared else []


def _name_in(secret: str) -> str:
    """Return the secret's name, or a beginning of it: whether an ARN ends in AWS's suffix cannot be seen."""
    arn = _ARN_NAME.fullmatch(secret)
    return _ARN_SUFFIX.sub("", arn[1]) if arn else secret
