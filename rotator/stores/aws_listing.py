"""What Secrets Manager says of many secrets at once: ListSecrets."""

from __future__ import annotations

import os.path
import re
from typing import TYPE_CHECKING, Final

from rotator.aws_errors import AWS_ERRORS, Subject, mapped
from rotator.errors import StoreUnavailable
from rotator.model import Listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import FilterTypeDef, SecretListEntryTypeDef

CURRENT: Final = "AWSCURRENT"

PAGE: Final = 100
"""MaxResults of ListSecrets."""

MAX_FILTER_VALUES: Final = 10
"""How many values a filter of ListSecrets takes."""

_FILTERABLE = re.compile(r"[a-zA-Z0-9 :_@/+=.-][a-zA-Z0-9 :_@/+=.!-]{0,511}")
"""What a filter's value may be (API reference, Filter): with another one the whole listing is refused. A leading `!`
would turn its meaning round."""

_ARN_NAME = re.compile(r"arn:[^:]*:secretsmanager:[^:]*:[^:]*:secret:(.+)")
_ARN_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}$")


class AwsListing:
    """The listings of one account and region. Thread-safe.

    Args:
        name: The store's name in the configuration.
        client: As `AwsSecretStore`'s.
    """

    def __init__(self, name: str, client: SecretsManagerClient) -> None:
        self._name = name
        self._client = client

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
