"""The tokens, login methods and policies of the Vault double."""

from __future__ import annotations

import base64
import json
import math
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rotator.testing.vault_double_kv import Reply, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rotator.ports import Clock

Method = Literal["approle", "kubernetes", "jwt", "aws"]

ROOT = "root"
"""The policy that allows everything."""

_DEFAULT = {
    "auth/token/lookup-self": frozenset({"read"}),
    "auth/token/renew-self": frozenset({"update"}),
    "sys/capabilities-self": frozenset({"update"}),
}
"""What Vault's own `default` policy allows every token, as far as it matters here."""


@dataclass(slots=True)
class Token:
    """A token that the double issued. Instants are on the clock's monotonic reading; infinite is never.

    Args:
        max_at: Renewal never goes beyond.
    """

    text: str
    accessor: str
    policies: tuple[str, ...]
    ttl_s: float
    renewable: bool
    ends_at: float
    max_at: float


@dataclass(frozen=True, slots=True)
class Role:
    """Who may log in at a mount, and what the token is like.

    Args:
        fields: What the login's body must hold; for `aws` also `access_key` and `header_value`, which must stand in
            the signed request.
        ttl_s: 0 makes a token without end.
        max_ttl_s: 0 is no maximum.
    """

    method: Method
    fields: Mapping[str, str]
    policies: tuple[str, ...] = (ROOT,)
    ttl_s: float = 3600.0
    max_ttl_s: float = 0.0
    renewable: bool = True


@dataclass(slots=True)
class Accounts:
    """Tokens, roles and policies; change them freely between requests. Thread-safe where requests are.

    Args:
        policies: Policy name → path prefix → capabilities. The longest prefix decides; nothing is denied.
        roles: Auth mount → roles.
        login_fields: For each login, the names of the fields in its body.
    """

    clock: Clock
    policies: dict[str, dict[str, frozenset[str]]] = field(default_factory=dict)
    roles: dict[str, list[Role]] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def issue(
        self,
        *policies: str,
        text: str | None = None,
        ttl_s: float = 0.0,
        max_ttl_s: float = 0.0,
        renewable: bool = True,
    ) -> Token:
        """Issue a token; without policies, a root token."""
        with self._lock:
            number = len(self.tokens) + 1
            now = self.clock.monotonic_s()
            max_at = now + max_ttl_s if max_ttl_s else math.inf
            token = Token(
                text=text or f"hvs.double-{number}",
                accessor=f"accessor-{number}",
                policies=policies or (ROOT,),
                ttl_s=ttl_s,
                renewable=renewable and bool(ttl_s),
                ends_at=min(now + ttl_s if ttl_s else math.inf, max_at),
                max_at=max_at,
            )
            self.tokens[token.text] = token
            return token

    def living(self, text: str | None) -> Token | None:
        """Return the token of that text unless it has ended."""
        token = self.tokens.get(text or "")
        return token if token and self.clock.monotonic_s() < token.ends_at else None

    def revoke_all(self) -> None:
        """End every token, as a revocation or a lost Vault would."""
        for token in self.tokens.values():
            token.ends_at = -math.inf

    def capabilities(self, token: Token, path: str) -> list[str]:
        """Return what the token may do at a path, as `sys/capabilities-self` says it."""
        if ROOT in token.policies:
            return [ROOT]
        rules = dict(_DEFAULT)
        for name in token.policies:
            rules.update(self.policies.get(name, {}))
        prefixes = [prefix for prefix in rules if path.startswith(prefix)]
        return sorted(rules[max(prefixes, key=len)]) if prefixes else ["deny"]

    def touches(self, token: Token, mount: str) -> bool:
        """Return whether the token has any right inside a mount."""
        rules = [
            prefix for name in token.policies for prefix, granted in self.policies.get(name, {}).items() if granted
        ]
        return ROOT in token.policies or any(rule.startswith(f"{mount}/") for rule in rules)

    def look_up(self, token: Token) -> Reply:
        """Answer `auth/token/lookup-self`."""
        return Reply(
            200, {"data": {"ttl": self._left_s(token), "renewable": token.renewable, "accessor": token.accessor}}
        )

    def renew(self, token: Token) -> Reply:
        """Answer `auth/token/renew-self`: a full lease again, but not beyond the maximum."""
        if not token.renewable:
            return refusal(400, "lease is not renewable")
        token.ends_at = min(self.clock.monotonic_s() + token.ttl_s, token.max_at)
        return self._auth(token)

    def create(self, body: Mapping[str, Any]) -> Reply:
        """Answer `auth/token/create`, for policies and a `ttl` in seconds."""
        return self._auth(self.issue(*body["policies"], ttl_s=float(body["ttl"])))

    def log_in(self, mount: str, body: Mapping[str, Any]) -> Reply:
        """Answer `auth/<mount>/login`."""
        if mount not in self.roles:
            return refusal(404, f'no handler for route "auth/{mount}/login". route entry not found.')
        for role in self.roles[mount]:
            given = _aws_fields(body) if role.method == "aws" else body
            if all(given.get(name) == value for name, value in role.fields.items()):
                return self._auth(
                    self.issue(*role.policies, ttl_s=role.ttl_s, max_ttl_s=role.max_ttl_s, renewable=role.renewable)
                )
        if self.roles[mount][0].method == "kubernetes":
            return refusal(403, "permission denied")
        return refusal(400, "invalid role or secret ID")

    def _auth(self, token: Token) -> Reply:
        auth = {
            "client_token": token.text,
            "accessor": token.accessor,
            "policies": list(token.policies),
            "lease_duration": self._left_s(token),
            "renewable": token.renewable,
        }
        return Reply(200, {"auth": auth})

    def _left_s(self, token: Token) -> int:
        left_s = token.ends_at - self.clock.monotonic_s()
        return 0 if math.isinf(left_s) else int(left_s)


def _aws_fields(body: Mapping[str, Any]) -> dict[str, str]:
    """Return role, access key and server id out of a signed request; nothing where it is not signed as Vault asks.

    The signature itself is not checked: only AWS can.
    """
    try:
        headers = json.loads(base64.b64decode(body["iam_request_headers"]))
        asked = base64.b64decode(body["iam_request_body"]) == b"Action=GetCallerIdentity&Version=2011-06-15"
        to_sts = base64.b64decode(body["iam_request_url"]) == b"https://sts.amazonaws.com/"
        authorization = headers["Authorization"][0]
    except (KeyError, TypeError, ValueError):
        return {}
    algorithm, _, rest = authorization.partition(" Credential=")
    if not (asked and to_sts and algorithm == "AWS4-HMAC-SHA256" and body.get("iam_http_request_method") == "POST"):
        return {}
    return {
        "role": str(body.get("role")),
        "access_key": rest.partition("/")[0],
        "header_value": headers.get("X-Vault-AWS-IAM-Server-ID", [""])[0],
        "session_token": headers.get("X-Amz-Security-Token", [""])[0],
    }
