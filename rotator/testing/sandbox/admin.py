"""The endpoints by which another process drives the sandbox: log in, inject a fault, read the report.

They are as open as the tokens are worthless: the server listens on loopback only.

    POST /sandbox/login?face=auth0&client_id=sandbox-client[&scope=...]   the token response of a new login
    POST /sandbox/fault   {"face": "auth0", "kind": "unavailable", "times": 2, "wait_s": 3}
    GET  /sandbox/report  {"faces": {"auth0": {"requests": 7, ...}, ...}, "failures": []}
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from rotator.testing.sandbox.messages import error_reply, json_reply

if TYPE_CHECKING:
    from rotator.testing.sandbox.messages import Reply
    from rotator.testing.sandbox.server import SandboxServer

ADMIN_PREFIX: Final = "/sandbox/"
_PARAMETERS_OF_A_FAULT: Final = frozenset(
    {
        "kind",
        "times",
        "probability",
        "seed",
        "status",
        "wait_s",
        "paced_by",
        "delay_s",
        "reset",
        "location",
    }
)


def admin_reply(sandbox: SandboxServer, method: str, target: str, body: bytes) -> Reply:
    """Return the answer to an admin request; one that makes no sense gets a 400 that says why."""
    parts = urlsplit(target)
    query = dict(parse_qsl(parts.query))
    try:
        match method, parts.path.removeprefix(ADMIN_PREFIX):
            case "GET", "report":
                faces = {name: face.dump() for name, face in sandbox.faces.items()}
                return json_reply(200, {"faces": faces, "failures": sandbox.failures})
            case "POST", "login":
                return json_reply(200, _login(sandbox, query))
            case "POST", "fault":
                return json_reply(200, _fault(sandbox, body))
            case _:
                return json_reply(404, {"error": "not_found"})
    except (LookupError, TypeError, ValueError) as error:
        return error_reply(400, "invalid_request", str(error))


def _login(sandbox: SandboxServer, query: dict[str, str]) -> dict[str, Any]:
    face = sandbox.face(query.pop("face", ""))
    return face.login(query.pop("client_id", ""), **query)


def _fault(sandbox: SandboxServer, body: bytes) -> dict[str, Any]:
    wanted = json.loads(body)
    if not isinstance(wanted, dict):
        raise TypeError("a fault is a JSON object")
    face = sandbox.face(wanted.pop("face", ""))
    unknown = wanted.keys() - _PARAMETERS_OF_A_FAULT
    if unknown or "kind" not in wanted:
        raise ValueError(f"a fault has a kind and may have {', '.join(sorted(_PARAMETERS_OF_A_FAULT - {'kind'}))}")
    face.fault(**wanted)
    return {"injected": wanted["kind"]}
