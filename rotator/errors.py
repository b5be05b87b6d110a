"""Every error that rotator raises, and what may be done after it.

Answers of an authorization server are values (`rotator.model.TokenAnswer`); exceptions are for failures of ours.

    RotatorError
    ├── ConfigError(problems)            all of them at once
    │   └── PluginError                  a named adapter that cannot be loaded
    ├── LeaseHeld(holder, expires_at)    another holder is at work
    ├── LeaseLost                        the lease ended before the request could be sent
    ├── StoreError                       secret stores and state stores alike
    │   ├── SecretNotFound               no such secret, or it is marked deleted
    │   ├── StoreMissing                 the store itself is not there: table, mount, folder
    │   ├── StoreDenied                  not allowed, or not authenticated
    │   ├── StoreRejected                the store refuses this content for good: too large, malformed
    │   ├── StoreCorrupt                 what is stored cannot be decoded
    │   ├── VersionConflict(expected)    somebody else wrote first
    │   ├── StoreUnavailable             surely not applied
    │   └── StoreWriteInDoubt            perhaps applied
    ├── EscrowUnavailable                the entry is not durable
    ├── EscrowCorrupt                    the entry cannot be opened
    ├── SealBroken                       a sealed text does not open with this key
    ├── AuditUnavailable                 the event is not durable
    ├── ProviderUnreachable              a request of a login got no reply
    ├── LoginFailed                      a login came to no token set
    ├── NotDelivered(retry_after_s)      a notifier did not take a message, or not surely
    ├── Refused                          an operator's wish that does not fit the credential's state
    └── Defect                           what nobody foresaw, by type and place

Each carries facts, a hint for the operator and `then`: what the caller may do next.
"""

from __future__ import annotations

import re
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

Then = Literal["give_up", "retry", "reread", "compare"]
"""`give_up`: a retry cannot help. `retry`: safe, nothing was applied. `reread`: read again, never overwrite.
`compare`: read again and see whether the write was applied."""


_NAME = re.compile(r"\bNAME\b")


class RotatorError(Exception):
    """The root of the tree.

    Args:
        message: What is wrong, naming the file, key or credential. Never holds a secret.
        hint: What the operator can do about it; may be empty. `NAME` in it stands for the credential's name, where who
            raises does not know that: see `hint_for`.
    """

    then: ClassVar[Then] = "give_up"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def hint_for(self, name: str) -> str:
        """Return the hint for the credential that the error befell: with its name, ready to be pasted."""
        return _NAME.sub(lambda _: name, self.hint)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the configuration: where, what, and what to do."""

    where: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}"
        return f"{text}\n    → {self.hint}" if self.hint else text


class ConfigError(RotatorError):
    """The configuration cannot be used; `problems` lists everything found in it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class PluginError(ConfigError):
    """A store, state or profile that is named in the configuration cannot be loaded."""


class LeaseHeld(RotatorError):
    """Another holder rotates this credential and its lease has not ended."""

    then = "retry"

    def __init__(self, holder: str, expires_at: datetime) -> None:
        self.holder = holder
        self.expires_at = expires_at
        super().__init__(f"held by {holder} until {expires_at.isoformat()}")


class LeaseLost(RotatorError):
    """The lease ended, or would end, before the answer of the request can arrive; nothing was sent."""

    then = "retry"


class StoreError(RotatorError):
    """A secret store or a state store failed."""


class SecretNotFound(StoreError):
    """There is no such secret, or it is marked deleted."""


class StoreMissing(StoreError):
    """The table, mount or folder that should hold the entries does not exist."""


class StoreDenied(StoreError):
    """The store does not allow the call, or does not know the caller."""


class StoreRejected(StoreError):
    """The store refuses this content for good, for example because it is too large."""


class StoreCorrupt(StoreError):
    """What is stored cannot be decoded or opened."""


class VersionConflict(StoreError):
    """The version that was expected is no longer the current one; nothing was written."""

    then = "reread"

    def __init__(self, where: str, *, expected: str | int | None, hint: str = "") -> None:
        self.expected = expected
        super().__init__(f"{where}: no longer at version {expected}", hint=hint)


class StoreUnavailable(StoreError):
    """The store did not answer, or answered that it did nothing: surely not applied."""

    then = "retry"


class StoreWriteInDoubt(StoreError):
    """The answer to a write was lost: it may or may not have been applied."""

    then = "compare"


class EscrowUnavailable(RotatorError):
    """The escrow could not be read, or could not be made durable."""

    then = "retry"


class EscrowCorrupt(RotatorError):
    """An escrow entry cannot be opened: damaged, or sealed with another key."""


class SealBroken(RotatorError):
    """A sealed text does not open: another key, another context, or damaged."""


class AuditUnavailable(RotatorError):
    """An audit event could not be made durable."""

    then = "retry"


class ProviderUnreachable(RotatorError):
    """A request of a login, which spends no refresh token, got no reply."""

    then = "retry"


class LoginFailed(RotatorError):
    """A login came to no token set; nothing was changed."""


class NotDelivered(RotatorError):
    """A notifier did not take a message, or it is not known whether it did: it is sent again, under the same id.

    Args:
        retry_after_s: How long the receiver asked to be left alone; 0 for nothing said.
    """

    then = "retry"

    def __init__(self, message: str, *, hint: str = "", retry_after_s: float = 0.0) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class Refused(RotatorError):
    """What an operator asks for does not fit the credential's state; nothing was changed."""


class Defect(RotatorError):
    """What nobody foresaw, in the work on one credential: it must not stop the work on the others.

    Holds the type and the place of the original error, and not its text, which may quote anything.
    """

    @classmethod
    def of(cls, error: Exception) -> Defect:
        """Return the defect behind an exception that is none of ours."""
        frames = traceback.extract_tb(error.__traceback__)
        place = f" in {frames[-1].name}, line {frames[-1].lineno}" if frames else ""
        return cls(f"{type(error).__name__}{place}", hint="report it, with the version of rotator")


def slug(kind: type) -> str:
    """Turn `StoreUnavailable` into `store_unavailable`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind.__name__).lstrip("_")
