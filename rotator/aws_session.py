"""Clients of AWS services: one session, bounded waits, no re-sending, no secrets in logs."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Final, Literal

import boto3
import botocore
from botocore.config import Config
from botocore.parsers import ResponseParserError

from rotator import __version__
from rotator.answer_deadline import with_deadline
from rotator.aws_errors import AWS_ERRORS, Subject, mapped
from rotator.errors import StoreDenied

if TYPE_CHECKING:
    from collections.abc import Mapping

Service = Literal["secretsmanager", "dynamodb", "kms", "sqs", "sns", "events"]

CONNECT_TIMEOUT_S: Final = 5.0
"""AWS endpoints answer a handshake in milliseconds; five seconds outlast a lost packet or two."""

READ_TIMEOUT_S: Final = 10.0
"""For the whole answer. The calls used here take well under a second; a lease is held meanwhile, so a dead connection
must not take the 60 s that botocore waits by default."""

USER_AGENT: Final = f"rotator/{__version__} Boto3/{boto3.__version__} Botocore/{botocore.__version__}"
"""A fixed one. botocore puts its own together anew, twice for each request: a seventh of a call's processor time."""

_LOCK = threading.Lock()
_SHARED: list[boto3.Session] = []


def client(
    service: Service,
    *,
    region: str | None = None,
    endpoint_url: str | None = None,
    workers: int = 16,
    session: boto3.Session | None = None,
    answer_s: float | None = None,
) -> Any:
    """Return a client that sends every request once; it may be used by many threads at once.

    botocore re-sends nothing (`total_max_attempts` 1): it would also repeat writes whose answer was lost, and count
    its tries where nobody sees them. `rotator.retrying` repeats what is surely not applied.

    Args:
        region: As configured; None leaves it to AWS_DEFAULT_REGION and the profile.
        endpoint_url: Instead of AWS's own endpoint.
        workers: How many threads use the client; each gets a connection.
        session: Instead of the process's one session, which takes its credentials from the environment, the
            profile or the machine's role.
        answer_s: How long a whole answer may take, in seconds; None is READ_TIMEOUT_S.

    Raises:
        StoreDenied: There is no region or no such profile, or the endpoint is no URL.
    """
    config = Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S if answer_s is None else answer_s,
        max_pool_connections=max(workers, 1),
        user_agent=USER_AGENT,
    )
    _keep_requests_out_of_logs()
    # Creating clients is not thread-safe (boto3 guide, "Multithreading or multiprocessing with sessions").
    with _LOCK:
        try:
            made: Any = (session or _shared_session()).client(
                service, region_name=region, endpoint_url=endpoint_url, config=config
            )
        except AWS_ERRORS as error:
            raise mapped(error, Subject(f"AWS {service} client"), "read") from None
        except ValueError:
            raise StoreDenied(
                f"AWS {service} client: region {region} or endpoint_url {endpoint_url} is malformed",
                hint="endpoint_url has the form https://host:port",
            ) from None
    # botocore offers no other way to its connections; the pool managers, a proxy's too, share this dictionary.
    pools = made._endpoint.http_session._pool_classes_by_scheme  # noqa: SLF001
    pools.update(with_deadline(pools))
    if made.meta.service_model.metadata["protocol"] != "query":  # of XML the parser itself refuses a part
        made.meta.events.register("before-parse", _refuse_partial_answer)
    made.meta.events.register("after-call", _refuse_foreign_answer)
    return made


def _shared_session() -> boto3.Session:
    """Return the process's session: made once, for its loaders cost some 50 ms each time."""
    if not _SHARED:
        _SHARED.append(boto3.Session())
    return _SHARED[0]


def _keep_requests_out_of_logs() -> None:
    """Stop botocore's debug lines, which hold request and response bodies, even when the root logs at DEBUG."""
    logger = logging.getLogger("botocore")
    if logger.getEffectiveLevel() < logging.INFO or logger.level == logging.NOTSET:
        logger.setLevel(logging.WARNING)


def _refuse_partial_answer(response_dict: Mapping[str, Any], **_: object) -> None:
    """Refuse a success whose body is cut short or is not JSON.

    botocore checks neither the length nor the syntax (botocore/httpsession.py: `enforce_content_length=False`;
    botocore/parsers.py: `_parse_body_as_json`) and would hand out a success without members, in which a DynamoDB item
    that exists looks like one that does not. Every answer of the services used here is a JSON object.
    """
    if response_dict["status_code"] >= 300:  # noqa: PLR2004 - errors are read by their status, whatever the body
        return
    body: bytes = response_dict["body"]
    length = response_dict["headers"].get("content-length")
    if (length is not None and int(length) != len(body)) or body[:1] != b"{" or body[-1:] != b"}":
        raise ResponseParserError("the answer is incomplete")


def _refuse_foreign_answer(http_response: Any, parsed: Mapping[str, Any], model: Any, **_: object) -> None:
    """Refuse a success that is JSON and not this operation's: a proxy's or another service's.

    botocore drops members that it does not know, so that a foreign object looks like an empty answer. Secrets Manager
    names the secret in every answer about one. Of DynamoDB an empty answer is a real one; there the condition of every
    write tells.
    """
    ours = model.output_shape is None or "ARN" not in model.output_shape.members or "ARN" in parsed
    if http_response.status_code < 300 and not ours:  # noqa: PLR2004 - as above
        raise ResponseParserError("the answer is of another service")
