"""What botocore's exceptions mean: the one place where they become errors of `rotator.errors`.

Of a foreign error only its code, operation and request id are shown. Messages of AWS may quote the request, and a
`ParamValidationError` quotes the parameters, so no foreign text is passed on.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from botocore import exceptions as botocore
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from rotator.errors import (
    SecretNotFound,
    StoreCorrupt,
    StoreDenied,
    StoreError,
    StoreMissing,
    StoreRejected,
    StoreUnavailable,
    StoreWriteInDoubt,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

AWS_ERRORS: Final = (botocore.BotoCoreError, ClientError, ResponseParserError)
"""What a call of a client raises, for `except` clauses."""

AwsError: TypeAlias = botocore.BotoCoreError | ClientError | ResponseParserError

Effect = Literal["read", "stage", "write"]
"""What a call does: nothing (`read`), something that no reader of the current content sees (`stage`), or a change
(`write`). Only a lost answer to a `write` leaves doubt; only a refused `read` cannot be about the content."""

MISSING_CODES: Final = frozenset({"ResourceNotFoundException", "NotFoundException", "TableNotFoundException"})

# The codes of botocore/retries/standard.py (ThrottledRetryableChecker), and states that pass by themselves: a table
# that is being created, a conflict with a transaction. Secrets Manager's LimitExceededException is a quota of
# versions, which empties with time.
BUSY_CODES: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "ReplicatedWriteConflictException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "ResourceInUseException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)

CREDENTIAL_CODES: Final = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidIdentityToken",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "OptInRequired",
        "UnrecognizedClientException",
    }
)
CLOCK_CODES: Final = frozenset(
    {
        "InvalidSignatureException",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    }
)
KEY_CODES: Final = frozenset(
    {
        "DecryptionFailure",
        "DisabledException",
        "EncryptionFailure",
        "InvalidKeyUsageException",
        "KMSAccessDeniedException",
        "KMSInvalidStateException",
    }
)
DENIED_CODES: Final = frozenset({"AccessDenied", "AccessDeniedException", "NotAuthorized", "UnauthorizedOperation"})
CORRUPT_CODES: Final = frozenset({"IncorrectKeyException", "InvalidCiphertextException"})
LOST_CODES: Final = frozenset({"RequestTimeout", "RequestTimeoutException"})

NO_CREDENTIALS: Final = (
    botocore.CredentialRetrievalError,
    botocore.MetadataRetrievalError,
    botocore.NoAuthTokenError,
    botocore.NoCredentialsError,
    botocore.PartialCredentialsError,
    botocore.ProfileNotFound,
    botocore.SSOError,
    botocore.TokenRetrievalError,
)
NO_PLACE: Final = (
    botocore.BaseEndpointResolverError,
    botocore.EndpointProviderError,
    botocore.InvalidRegionError,
)
NEVER_SENT: Final = (
    botocore.ConnectTimeoutError,
    botocore.EndpointConnectionError,
    botocore.ProxyConnectionError,
)

NETWORK_HINT: Final = "check the network, the region and endpoint_url"
CREDENTIALS_HINT: Final = "give the process AWS credentials that are valid: a role, AWS_PROFILE or AWS_ACCESS_KEY_ID"
DELETED_HINT: Final = "it is marked deleted; restore it with `aws secretsmanager restore-secret`"

HTTP_REDIRECTS: Final = range(300, 400)
HTTP_UNAUTHORIZED: Final = 401
HTTP_FORBIDDEN: Final = 403
HTTP_TIMEOUT: Final = 408
HTTP_TOO_MANY: Final = 429
HTTP_SERVER_ERROR: Final = 500

_PLAIN = re.compile(r"[A-Za-z0-9._:/-]{1,80}")


@dataclass(frozen=True, slots=True)
class Subject:
    """What a call is about.

    Args:
        what: Names it in messages: `secret oauth/x in store main`.
        missing: Raised when AWS says that it is not there.
        missing_hint: What the operator can do then.
    """

    what: str
    missing: type[StoreError] = StoreMissing
    missing_hint: str = ""


def mapped(error: AwsError, subject: Subject, effect: Effect) -> StoreError:
    """Return the error to raise, with `from None`, for one that a client's call raised.

    A code that is not known here is a refusal for good: AWS answered, so it did nothing, and repeating what it does
    not accept cannot help. It is a StoreRejected; for a `read`, which carries no content, a StoreDenied.
    """
    if isinstance(error, ClientError):
        return _answered(error, subject, effect)
    return _unanswered(error, subject, effect)


def code_of(error: AwsError) -> str:
    """Return the error code that AWS answered with; empty when it is not known that AWS answered."""
    if not isinstance(error, ClientError):
        return ""
    return _plain(error.response.get("Error", {}).get("Code"))


def is_marked_deleted(error: AwsError) -> bool:
    """Return whether Secrets Manager refused because the secret is marked, or scheduled, for deletion."""
    # One code covers "deleted" and "managed by another service"; only the message tells (API reference,
    # InvalidRequestException).
    if not isinstance(error, ClientError) or code_of(error) != "InvalidRequestException":
        return False
    message = _message(error)
    return "delet" in message and ("marked" in message or "scheduled" in message)


def concerns_the_caller(error: AwsError) -> bool:
    """Return whether the error is about who calls, or from where: whatever the call was about, others fail like it."""
    return code_of(error) in CREDENTIAL_CODES | CLOCK_CODES or isinstance(error, (*NO_CREDENTIALS, *NO_PLACE))


def of_entry(operation: str, code: str, message: str, answer: Mapping[str, Any]) -> ClientError:
    """Return the error that stands for one entry in the answer to a bulk call, as its own call would have raised it.

    Args:
        operation: The call for one entry; the hint names it where it is not allowed.
        answer: The whole answer, for the request id.
    """
    request_id = str(answer.get("ResponseMetadata", {}).get("RequestId"))
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"RequestId": request_id}},  # type: ignore[typeddict-item]  # no status of its own
        operation,
    )


def mentions(error: AwsError, word: str) -> bool:
    """Return whether AWS's message holds `word`, whatever its case: for codes that mean several things."""
    return isinstance(error, ClientError) and word.lower() in _message(error)


def _answered(error: ClientError, subject: Subject, effect: Effect) -> StoreError:
    code, status = code_of(error), _metadata(error).get("HTTPStatusCode", 0)
    text = f"{subject.what}: {error.operation_name} failed with {code} (request {_request_id(error)})"
    if code in BUSY_CODES or status == HTTP_TOO_MANY:
        return StoreUnavailable(text, hint="AWS is throttling or busy; it is tried again")
    if status in HTTP_REDIRECTS:
        # No redirect is followed, and none comes from these services.
        return StoreUnavailable(f"{text}: HTTP {status}", hint="the address redirects: check endpoint_url and proxies")
    if code in MISSING_CODES:
        return subject.missing(text, hint=subject.missing_hint)
    if is_marked_deleted(error):
        return SecretNotFound(text, hint=DELETED_HINT)
    if code in CORRUPT_CODES:
        return StoreCorrupt(text, hint="it was encrypted with another key")
    denied_hint = _denied_hint(error.operation_name, code, status)
    if denied_hint:
        return StoreDenied(text, hint=denied_hint)
    if code in LOST_CODES or status == HTTP_TIMEOUT or status >= HTTP_SERVER_ERROR:
        return _lost(text, effect)
    return _refused(text, effect)


def _denied_hint(operation: str, code: str, status: int) -> str:
    if code in CREDENTIAL_CODES or status == HTTP_UNAUTHORIZED:
        return CREDENTIALS_HINT
    if code in CLOCK_CODES:
        return "check the AWS secret key and this machine's clock"
    if code in KEY_CODES:
        return "check that the KMS key is enabled and that the policies allow kms:Decrypt and kms:GenerateDataKey"
    if code in DENIED_CODES or status == HTTP_FORBIDDEN:
        return f"allow {operation} on it, and its KMS key, in the IAM policy"
    return ""


def _unanswered(error: Exception, subject: Subject, effect: Effect) -> StoreError:
    text = f"{subject.what}: {type(error).__name__}"
    if isinstance(error, NO_CREDENTIALS):
        return StoreDenied(text, hint=CREDENTIALS_HINT)
    if isinstance(error, NO_PLACE):
        return StoreDenied(text, hint="set `region`, or AWS_DEFAULT_REGION, to a region that has the service")
    if isinstance(error, botocore.ParamValidationError):
        return _refused(text, effect)
    if isinstance(error, NEVER_SENT):
        return StoreUnavailable(text, hint=NETWORK_HINT)
    if isinstance(error, botocore.SSLError) and _is_untrusted_certificate(error):
        return StoreUnavailable(text, hint="its certificate is not trusted; check AWS_CA_BUNDLE and the clock")
    # Whatever else there is may have happened after the request left: a read timeout, a closed connection, a broken
    # TLS record, an answer that is cut short. An exception that a later botocore adds falls here too, on purpose.
    return _lost(text, effect)


def _is_untrusted_certificate(error: BaseException) -> bool:
    """Return whether the handshake failed on the certificate, and so nothing was sent."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError) or any(
            isinstance(argument, ssl.SSLCertVerificationError) for argument in cause.args
        ):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _lost(text: str, effect: Effect) -> StoreError:
    if effect == "write":
        return StoreWriteInDoubt(text, hint="the answer was lost; it is read again and compared")
    return StoreUnavailable(text, hint=NETWORK_HINT)


def _refused(text: str, effect: Effect) -> StoreError:
    if effect == "read":
        return StoreDenied(text, hint="AWS does not accept the request; check the names in the configuration")
    return StoreRejected(text, hint="AWS does not accept the request; nothing was written")


def _metadata(error: ClientError) -> dict[str, Any]:
    metadata: dict[str, Any] = dict(error.response.get("ResponseMetadata", {}))
    return metadata


def _message(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Message", "")).lower()


def _request_id(error: ClientError) -> str:
    return _plain(_metadata(error).get("RequestId"))


def _plain(text: object) -> str:
    """Return a code or id if it looks like one; a proxy may answer with anything."""
    return text if isinstance(text, str) and _PLAIN.fullmatch(text) else "unknown"
