"""A Vault in this process: a real HTTP server on loopback that follows the documented KV version 2 behaviour.

    with VaultDouble() as vault:
        session = VaultSession(vault.address, TokenAuth(lambda: Secret(vault.root)), ...)
        vault.fail(503, path="secret/data/")          # the next such request
        vault.drop(path="secret/data/", applied=True)  # carried out, but the answer is lost
        assert vault.seen[-1].path == "secret/data/app"

For tests and development only. Modelled: KV version 2 (and the wrong answers of a version 1 mount), check-and-set,
pruning, soft deletion and destruction, `delete_version_after`, tokens with leases and maximum lives, the logins
`approle`, `kubernetes`, `jwt` and `aws`, policies by path prefix, `sys/capabilities-self`, `sys/health`, custom
metadata, the mount preflight, namespaces as separate sets of mounts, a seal. Not modelled: storage and its limits other
than one size, replication and its lag, leases of anything but tokens, wrapping, quotas, `patch`, subkeys, policy globs,
entities, signatures of logins, audit devices, and every engine but KV.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from rotator.clocks import SystemClock
from rotator.testing.vault_double_auth import Accounts
from rotator.testing.vault_double_kv import Call, KvOne, KvTwo, Reply, refusal

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from types import TracebackType

    from rotator.ports import Clock
    from rotator.testing.vault_double_auth import Token

_OPERATIONS = {"GET": "read", "LIST": "list", "POST": "write", "PUT": "write", "DELETE": "delete"}
_LONGEST_HOLD_S = 30.0

How = Literal["answer", "drop", "cut", "hold"]


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that arrived. No token and no body, for tests print it.

    Args:
        path: Without `/v1/`, decoded.
        accessor: Of the token that came along, also of one that has ended; None without a token.
    """

    method: str
    path: str
    accessor: str | None
    namespace: str


@dataclass(slots=True)
class Fault:
    """What happens instead of the next `times` requests whose path begins with `path`.

    Args:
        how: `answer` with status and text, nothing carried out; `drop` the connection; `cut` the answer in half.
        applied: For `drop`: whether the request is carried out first. `cut` always carries it out.
        release: The request waits for this event before anything happens.
    """

    how: How
    path: str
    method: str | None
    times: int
    status: int = 0
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    applied: bool = False
    release: Event | None = None


class VaultDouble:
    """The server. `accounts` holds tokens, roles and policies; `seen` every request in order of arrival.

    Args:
        clock: For versions and leases.
        tls: Serves `https` when given.
        max_body_bytes: A larger body is refused with HTTP 413.
    """

    def __init__(
        self, clock: Clock | None = None, *, tls: ssl.SSLContext | None = None, max_body_bytes: int = 1 << 20
    ) -> None:
        self.clock = clock or SystemClock()
        self.accounts = Accounts(self.clock)
        self.root = self.accounts.issue().text
        self.sealed = False
        self.seen: list[Seen] = []
        self.max_body_bytes = max_body_bytes
        self._engines: dict[tuple[str, str], KvTwo | KvOne] = {}
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self.mount("secret")
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.double = self
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.address = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            for fault in self._faults:
                if fault.release:
                    fault.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def mount(self, name: str, *, version: Literal[1, 2] = 2, namespace: str = "") -> None:
        """Mount an empty KV engine; the namespace comes into being with it."""
        self._engines[namespace, name] = KvTwo(self.clock) if version == 2 else KvOne()

    def fail(
        self,
        status: int,
        *,
        path: str = "",
        method: str | None = None,
        times: int = 1,
        text: str = '{"errors": ["injected"]}',
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer the next `times` matching requests with a status and a text, carrying nothing out."""
        self._add(Fault("answer", path, method, times, status=status, text=text, headers=headers or {}))

    def drop(self, *, path: str = "", method: str | None = None, times: int = 1, applied: bool) -> None:
        """Close the connection instead of answering, after or without carrying the request out."""
        self._add(Fault("drop", path, method, times, applied=applied))

    def cut(self, *, path: str = "", method: str | None = None, times: int = 1) -> None:
        """Carry the request out and send half of the answer."""
        self._add(Fault("cut", path, method, times))

    def hold(self, *, path: str = "", method: str | None = None, times: int = 1, then_status: int = 0) -> Event:
        """Let matching requests wait until the returned event is set; then carry them out, or answer with a status."""
        release = Event()
        how: How = "answer" if then_status else "hold"
        fault = Fault(how, path, method, times, status=then_status, release=release)
        self._add(fault)
        return release

    def act(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, namespace: str = "") -> Reply:
        """Do what an operator with the root token would, past HTTP, faults and records."""
        call_path, _, query = path.partition("?")
        return self._engine_reply(
            method, call_path, dict(parse_qsl(query)), body or {}, self.accounts.tokens[self.root], namespace
        )

    def _add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def _fault(self, method: str, path: str) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.times and path.startswith(fault.path) and fault.method in {None, method}:
                    fault.times -= 1
                    return fault
        return None

    def _note(self, method: str, path: str, token: str | None, namespace: str) -> None:
        known = self.accounts.tokens.get(token or "")
        accessor = known.accessor if known else ("unknown" if token else None)
        with self._lock:
            self.seen.append(Seen(method, path, accessor, namespace))

    def _reply(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any],
        token: str | None,
        namespace: str,
    ) -> Reply:
        if self.sealed:
            return refusal(503, "Vault is sealed")
        if path == "sys/health":
            return Reply(200, {"initialized": True, "sealed": False, "standby": False})
        if path.startswith("auth/") and path.endswith("/login"):
            return self.accounts.log_in(path.removeprefix("auth/").removesuffix("/login"), body)
        if not token:
            return refusal(400, "missing client token")
        living = self.accounts.living(token)
        if living is None:
            return refusal(403, "permission denied", "invalid token")
        return self._engine_reply(method, path, query, body, living, namespace)

    def _engine_reply(
        self, method: str, path: str, query: Mapping[str, str], body: Mapping[str, Any], token: Token, namespace: str
    ) -> Reply:
        operation = "list" if query.get("list") == "true" else _OPERATIONS[method]
        if path.startswith("sys/internal/ui/mounts/"):
            return self._preflight(path.removeprefix("sys/internal/ui/mounts/"), token, namespace)
        mount = next((name for space, name in self._engines if space == namespace and path.startswith(f"{name}/")), "")
        engine = self._engines.get((namespace, mount))
        inside = path.removeprefix(f"{mount}/")
        wanted = "update" if operation == "write" else operation
        if engine and operation == "write" and not engine.exists(inside):
            wanted = "create"
        if not {wanted, "root"} & set(self.accounts.capabilities(token, path)):
            return refusal(403, "1 error occurred:\n\t* permission denied\n\n")
        match path:
            case "auth/token/lookup-self":
                return self.accounts.look_up(token)
            case "auth/token/renew-self":
                return self.accounts.renew(token)
            case "auth/token/create":
                return self.accounts.create(body)
            case "sys/capabilities-self":
                found = {asked: self.accounts.capabilities(token, asked) for asked in body["paths"]}
                return Reply(200, {**found, "data": found})
        if engine is None:
            return refusal(404, f'no handler for route "{path}". route entry not found.')
        return engine.answer(Call(operation, inside, query, body))

    def _preflight(self, mount: str, token: Token, namespace: str) -> Reply:
        engine = self._engines.get((namespace, mount.strip("/")))
        if engine is None or not self.accounts.touches(token, mount):
            return refusal(403, "preflight capability check returned 403, please ensure client's policies grant access")
        return Reply(200, {"data": {"type": "kv", "options": {"version": engine.version}, "path": f"{mount}/"}})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    double: VaultDouble

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients of a test go away in the middle of requests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # The headers and the body leave as two segments; with Nagle's algorithm the second waits for the client's delayed
    # acknowledgement, 40 ms a request.
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: `seen` has it."""

    def _serve(self) -> None:
        double = self.server.double
        target = urlsplit(self.path)
        path = unquote(target.path).removeprefix("/v1/")
        token, namespace = self.headers.get("X-Vault-Token"), self.headers.get("X-Vault-Namespace", "")
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        double._note(self.command, path, token, namespace)  # noqa: SLF001 - two halves of one server, here and below
        fault = double._fault(self.command, path)  # noqa: SLF001 - as above
        if fault and fault.release:
            fault.release.wait(_LONGEST_HOLD_S)
        if fault and fault.how == "answer":
            self._send(fault.status, fault.text.encode(), fault.headers)
            return
        if fault is None or fault.how in {"cut", "hold"} or fault.applied:
            query = dict(parse_qsl(target.query))
            if len(raw) > double.max_body_bytes:
                reply = refusal(413, "http: request body too large")
            else:
                body = json.loads(raw) if raw else {}
                reply = double._reply(self.command, path, query, body, token, namespace)  # noqa: SLF001 - as above
            if fault is None or fault.how == "hold":
                text = b"" if reply.body is None else json.dumps(reply.body, sort_keys=True).encode()  # as Go does
                self._send(reply.status, text, {"Content-Type": "application/json"})
                return
            if fault.how == "cut":
                self._send(reply.status, b"{", {"Content-Type": "application/json", "Content-Length": "100"})
        self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_LIST = _serve  # noqa: N815 - the base class looks for these names

    def _send(self, status: int, text: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(text)), **headers}.items():
            if status != 204 or name != "Content-Length":
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)
