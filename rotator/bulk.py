"""The half of the secret store's port that deals with many secrets at once, and what its adapters share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from rotator.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rotator.model import Found, Listed, Versioned


class BulkReads(Protocol):
    """Reading and listing many secrets; of every method holds what `rotator.ports` says of all of them."""

    @property
    def batch(self) -> int:
        """How many secrets `read_many` reads for the price of one call to the backend: at least 1.

        It falls to 1 where the store learns that it may not read in bulk, so ask anew before each call.
        """
        ...

    def read_many(self, secrets: Sequence[str]) -> Mapping[str, Versioned | StoreError]:
        """Return for each secret what `read` would return or raise; none is ever left out.

        Up to `batch` secrets are one call, more of them as many calls as it takes, one after the other. The error of a
        whole call is the value of each of its secrets, and does not end the calls for the others. What the answer in
        bulk leaves open about a secret is read singly, at the price of that.

        For looking at many secrets and planning: the answers may be older than those of `read`, and a `created_at`
        may be earlier. Whoever acts on a secret reads it.

        Raises nothing that `read` raises as a StoreError.
        """
        ...

    def versions(self, secrets: Sequence[str]) -> Mapping[str, Listed]:
        """Return identity and current version of each secret, without reading a value.

        For noticing changes cheaply. Secrets that do not exist, that hold no value, or that the listing does not show
        yet, are left out; the answer may lag by minutes.

        Raises:
            StoreMissing: As in `read`.
            StoreDenied: Listing is not allowed.
            StoreUnavailable: No answer.
        """
        ...

    def find(self, prefix: str, labels: Mapping[str, str]) -> Mapping[str, Found]:
        """Return the secrets whose names begin with `prefix` and that carry all of `labels`, by name, without values.

        The prefix may end inside a name; an empty one begins every name. Capital and small letters differ. A label has
        to have the value asked for, and any value where an empty one is asked for. Labels are the marks that the
        backend lets people put on a secret: tags in AWS, custom metadata in Vault. Where it has none, none is carried.

        Deleted secrets are left out. The answer is complete as of some moment, which may lie minutes back: what was
        made or labelled since may be missing, what was deleted since may still be there. A part that cannot be listed
        is an error, so an empty answer is not a failure in disguise.

        Costs a call per 100 secrets that the backend's own filter lets through, or one per folder and one per secret
        below the prefix where it has no filter.

        Raises:
            StoreMissing: As in `read`.
            StoreDenied: Listing is not allowed, perhaps only in a part of it.
            StoreUnavailable: No answer.
        """
        ...


def read_each(read: Callable[[str], Versioned], secrets: Iterable[str]) -> dict[str, Versioned | StoreError]:
    """Return what `read` returns or raises for each secret, one after the other."""
    answers: dict[str, Versioned | StoreError] = {}
    for secret in secrets:
        try:
            answers[secret] = read(secret)
        except StoreError as error:
            answers[secret] = as_value(error)
    return answers


def as_value(error: StoreError) -> StoreError:
    """Return the error without the frames and causes that hang on it.

    Kept among the answers, they would keep every local variable of the calls that failed, tokens included.
    """
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error


def carries(labels: Mapping[str, str], asked: Mapping[str, str]) -> bool:
    """Return whether a secret with these labels is one that `BulkReads.find` is asked for."""
    return all(name in labels and value in {"", labels[name]} for name, value in asked.items())


def calls(secrets: Sequence[str], batch: int) -> Iterator[list[str]]:
    """Cut the secrets into lists of at most `batch`, each secret once."""
    once = list(dict.fromkeys(secrets))
    for start in range(0, len(once), batch):
        yield once[start : start + batch]
