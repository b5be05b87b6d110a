"""One login to one Vault, shared by every store and state on it and by every thread."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import hvac
import requests
from requests.adapters import HTTPAdapter

from rotator.addresses import origin
from rotator.answer_deadline import with_deadline
from rotator.errors import ConfigError, PluginError, StoreDenied, StoreError, StoreUnavailable
from rotator.vault_auth import granted
from rotator.vault_errors import FAILURES, Answered, PlainAdapter, translate

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotator.ports import Clock, Randomness
    from rotator.vault_auth import Granted, VaultAuth

Result = TypeVar("Result")

_SOONEST_S = 1.0
"""The least time between two attempts to get a longer lease while the one at hand still lasts."""

_REFUSED = frozenset({400, 401, 403, 404})
"""With these Vault refuses a login: unknown role, wrong secret id, a JWT that does not fit, no such auth mount."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A token in use: immutable, so that a call that began with it can tell whether it was replaced.

    Args:
        full_s: The lease that the login gave; a renewal that gives much less has met the token's maximum.
        look_at: When to ask for a longer lease, on the monotonic clock; infinite is never.
        ends_at: When the token ends, likewise.
    """

    client: Any
    full_s: float
    renewable: bool
    look_at: float
    ends_at: float


class _Adapter(HTTPAdapter):
    """Requests' adapter, with a deadline for whole answers; through a proxy, too."""

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named)
        _bound(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **named: Any) -> Any:
        known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **named)
        if not known:
            _bound(manager)
        return manager


def _bound(manager: Any) -> None:
    manager.pool_classes_by_scheme = with_deadline(manager.pool_classes_by_scheme)


class VaultSession:
    """A logged-in connection. Logs in on first use, renews at half of the lease, logs in again where that fails.

    Redirects are refused and nothing is retried below `call`. For one Vault behind replicas that may lag
    (performance standbys), let `address` name the active node: reads of the state must see what was written.

    Args:
        address: `https://host:port`, without `/v1`.
        auth: How to log in.
        namespace: For Vault Enterprise and OpenBao.
        ca_cert: Path of a CA bundle to trust instead of the system's.
        timeout_s: To connect, and for the whole answer.
        pool: Connections kept; also the most calls at one time.
    """

    def __init__(
        self,
        address: str,
        auth: VaultAuth,
        *,
        namespace: str | None = None,
        ca_cert: str | None = None,
        clock: Clock,
        randomness: Randomness,
        timeout_s: float = 10.0,
        pool: int = 16,
    ) -> None:
        self.address = _normal(address)
        self.namespace = (namespace or "").strip("/")
        self.clock = clock
        self.proven_mounts: set[str] = set()
        """Mounts that were seen to be of KV version 2 (`rotator.vault_kv`); asked once for store and state together."""
        self._auth = auth
        self._randomness = randomness
        self._timeout_s = timeout_s
        # What the environment says is asked once: requests asks it again for each call, at a quarter of its price, and
        # would send a login from a `.netrc` beside the token.
        self._http = requests.Session()
        found = self._http.merge_environment_settings(self.address, {}, None, ca_cert or True, None)
        self._verify: str | bool = found["verify"]
        self._http.verify, self._http.proxies, self._http.trust_env = self._verify, found["proxies"], False
        # Blocking: with a pool that overflows, urllib3 opens connections that it throws away, with a warning each.
        adapter = _Adapter(pool_maxsize=pool, pool_block=True, max_retries=0)
        self._http.mount("https://", adapter)
        self._http.mount("http://", adapter)
        self._lock = threading.Lock()
        self._held: _Held | None = None
        self._failures: tuple[int, StoreError | None] = (0, None)

    def call(self, fn: Callable[[Any], Result], *, what: str, write: bool = False) -> Result:
        """Return `fn(client)`, with a client that has a living token.

        A 403 may come from a token that was revoked or ended early: one login and one more try tell.

        Args:
            fn: Makes one request through the `hvac.Client` it is given.
            what: Store and path, for messages.
            write: Whether a lost answer leaves doubt.

        Raises:
            StoreError: As `rotator.vault_errors.translate` maps it.
            Absent: Nothing at that path.
            CasMismatch: The check-and-set parameter is not the current version.
            PluginError: The auth method's SDK is not installed.
        """
        held = self._living(what)
        try:
            return fn(held.client)
        except FAILURES as error:
            if not (isinstance(error, Answered) and error.status == HTTPStatus.FORBIDDEN):
                raise translate(error, what=what, write=write) from None
        held = self._instead_of(held, what)
        try:
            return fn(held.client)
        except FAILURES as error:
            raise translate(error, what=what, write=write) from None

    def close(self) -> None:
        """Close the connections. The token is left to its lease: other work of this role may share its limits."""
        self._http.close()

    def _living(self, what: str) -> _Held:
        held = self._held
        if held is not None and self.clock.monotonic_s() < held.look_at:
            return held
        seen = self._failures[0]
        with self._lock:
            held, now = self._held, self.clock.monotonic_s()
            if held is None or now >= held.ends_at:
                return self._login(what, seen)
            if now >= held.look_at:
                return self._prolong(held, what)
            return held

    def _instead_of(self, refused: _Held, what: str) -> _Held:
        seen = self._failures[0]
        with self._lock:
            held = self._held
            # Compared by client: a renewal changes the lease, not the token.
            if held is not None and held.client is not refused.client:
                return held
            return self._login(what, seen)

    def _login(self, what: str, seen: int) -> _Held:
        """Log in, holding the lock. Whoever waited for the lock during a failed login shares the failure.

        Else sixteen workers before a Vault that does not answer would wait for sixteen timeouts in a row.
        """
        count, failure = self._failures
        if failure is not None and count != seen:
            raise type(failure)(failure.message, hint=failure.hint)
        try:
            self._held = self._new_login(what)
        except StoreError as error:
            self._failures = (count + 1, error)
            raise
        return self._held

    def _prolong(self, held: _Held, what: str) -> _Held:
        """Get a longer lease, holding the lock: by renewal, else by a new login.

        When neither works the token at hand is used until it ends, with ever closer attempts on the way.
        """
        try:
            self._held = self._renewed(held) or self._new_login(what)
        except StoreError:
            left_s = held.ends_at - self.clock.monotonic_s()
            self._held = replace(held, look_at=self._look_at(left_s))
        return self._held

    def _renewed(self, held: _Held) -> _Held | None:
        if not held.renewable:
            return None
        asked_at = self.clock.monotonic_s()
        try:
            lease_s = granted(held.client.auth.token.renew_self()).lease_s
        except (*FAILURES, ValueError):
            return None
        if lease_s < held.full_s / 2:
            return None
        return replace(held, look_at=self._look_at(lease_s), ends_at=asked_at + lease_s)

    def _new_login(self, what: str) -> _Held:
        # A client of its own, with no token: hvac would send the old one along with the login.
        client = hvac.Client(
            url=self.address,
            token="",
            verify=self._verify,
            timeout=self._timeout_s,
            allow_redirects=False,
            session=self._http,
            adapter=PlainAdapter,
            namespace=self.namespace or None,
            strict_http=True,  # GET with `list=true`: not every proxy lets the LIST verb pass
        )
        asked_at = self.clock.monotonic_s()
        grant = self._grant(client, what)
        client.token = grant.token.reveal()
        if not grant.lease_s:
            return _Held(client, 0.0, renewable=False, look_at=math.inf, ends_at=math.inf)
        look_at = self._look_at(grant.lease_s)
        return _Held(client, grant.lease_s, grant.renewable, look_at, ends_at=asked_at + grant.lease_s)

    def _grant(self, client: hvac.Client, what: str) -> Granted:
        where = f"{what}: the login to Vault by method {self._auth.method}"
        try:
            return self._auth.login(client)
        except PluginError:
            raise
        except ConfigError as error:
            raise StoreDenied(f"{where}: {error.message}") from None
        except FAILURES as error:
            if isinstance(error, Answered) and error.status in _REFUSED:
                raise StoreDenied(f"{where} is refused (HTTP {error.status})", hint=self._advice()) from None
            raise translate(error, what=where, write=False) from None
        except ValueError:
            raise StoreUnavailable(f"{where}: the answer is none of Vault's", hint="check address") from None

    def _advice(self) -> str:
        if self._auth.method == "token":
            return "the token has ended, was revoked, or may not look itself up: put a new one into its source"
        return "check role, auth mount and namespace, and that the source of the credentials is up to date"

    def _look_at(self, lease_s: float) -> float:
        # A little after half, at random: replicas that started together do not renew together.
        wait_s = lease_s * self._randomness.uniform(0.5, 0.6)
        return self.clock.monotonic_s() + max(_SOONEST_S, wait_s)


def _normal(address: str) -> str:
    """Return the address in the one form that identities use; a slash at the end makes no difference to Vault."""
    parts = urlsplit(address.strip())
    return f"{origin(parts)}{parts.path.rstrip('/')}"
