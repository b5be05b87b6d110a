"""Where the metrics of a run that ends go: into a file for node_exporter, or to a Pushgateway."""

from __future__ import annotations

import base64
import os
import tempfile
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from rotator.http_messages import HttpRequest
from rotator.private_files import write_all
from rotator.token_endpoint import HttpTokenEndpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rotator.ports import Clock, Ids

READABLE = 0o644
"""node_exporter runs as another user."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def write_textfile(path: Path, body: bytes) -> None:
    """Put a file in place of the one before, in one step: whoever reads it sees a whole one. Not flushed to disk.

    Raises:
        OSError: It is as it was before.
    """
    # A name that the collector does not take for one of its own.
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    unfinished = Path(name)
    try:
        try:
            write_all(handle, body)
            os.fchmod(handle, READABLE)
        finally:
            os.close(handle)
        unfinished.rename(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def grouping(url: str, labels: Mapping[str, str]) -> str:
    """Return the address of a group of metrics (the Pushgateway's README, "URL").

    A value with a slash, or an empty one, does not fit into a path, and goes there in base64.
    """
    parts = [url.rstrip("/"), "metrics"]
    for name, value in labels.items():
        if value and "/" not in value:
            parts += [name, quote(value, safe="")]
        else:
            parts += [f"{name}@base64", base64.urlsafe_b64encode(value.encode()).decode() or "="]
    return "/".join(parts)


def push(url: str, body: bytes, headers: Mapping[str, str], *, clock: Clock, ids: Ids, deadline_s: float) -> str | None:
    """Replace a group of metrics at a Pushgateway: what is not in `body` any more vanishes there.

    One request that follows no redirect and knows no proxy, as requests to token endpoints do.

    Returns:
        Why they were not taken; None where they were.

    Raises:
        ProviderUnreachable: There was no answer in time.
    """
    request = HttpRequest(url, {"Content-Type": CONTENT_TYPE, **headers}, body, method="PUT")
    reply = HttpTokenEndpoint(clock, ids).ask(request, deadline_s=deadline_s)
    if reply.success:
        return None
    refused = reply.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
    return f"{url}: it answered {reply.status} (check {'token or password' if refused else 'url'})"
