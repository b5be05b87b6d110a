"""The two kinds of tenant as data: where they listen, how they rotate, and how they word their refusals."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from rotator.redact import Secret
from rotator.testing.sandbox.clients import Client

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rotator.limits import RateLimit

DeadReason = Literal["unknown", "foreign", "revoked", "expired", "reused"]
"""Why a refresh token is refused: never issued; issued to another client; its family was revoked; too old; used."""

DEFAULT_CLIENT_ID: Final = "sandbox-client"
DEFAULT_CLIENT_SECRET: Final = "sandbox-client-secret"

_HYDRA_DEAD_GRANT: Final = (
    "The provided authorization grant (e.g., authorization code, resource owner credentials) or refresh token is"
    " invalid, expired, revoked, does not match the redirection URI used in the authorization request, or was issued"
    " to another client."
)
_AUTH0_DEAD_GRANT: Final = "Unknown or invalid refresh token."


def _default_clients() -> dict[str, Client]:
    client = Client(DEFAULT_CLIENT_ID, secret=Secret(DEFAULT_CLIENT_SECRET))
    return {client.client_id: client}


@dataclass(slots=True, kw_only=True)
class FaceSettings:
    """One tenant. May be changed while the server runs; a change holds from the next request on.

    Args:
        name: Under which `SandboxServer.face` finds it.
        token_path: Path of the token endpoint; unique within a server.
        bodies: The request bodies that the endpoint reads.
        basic_decoding: `form` decodes id and secret of a Basic header (RFC 6749 section 2.3.1); `raw` does not.
        token_type: As spelled in a token response.
        dead_grant_status: HTTP status of `invalid_grant`.
        dead_grant_texts: The `error_description` by reason.
        paced_by: The headers of a refusal over the rate: `x_ratelimit` (then on every reply) or `retry_after`.
        lifetime_s: Of an access token, in seconds.
        rotates: Whether a refresh answers with a new refresh token and spends the old one.
        grace_window_s: For so long after its first use the immediately previous refresh token may be replayed.
        replay_answer: What such a replay gets: another successor, or the first answer once more.
        old_access_token: What a refresh does to the access token issued with the refresh token presented.
        reuse_revokes_access_tokens: Whether a family's access tokens die with it.
        sends_id_token: Whether grants with the scope `openid` get an ID token.
        rt_idle_s: A refresh token that is not used for so long is dead; None is never.
        rt_absolute_s: All refresh tokens of a login are dead so long after it; None is never.
        rate_limit: Counted per client over every request that arrives; None is no limit. The window is exact, with
            no allowance for uneven travel times.
        clients: By client id.
        person: What a person does who is asked in a browser: approves, denies, or comes back with a forged state. A
            device is approved or denied.
        device_interval_s: How often a device may ask.
        device_lives_s: How long its person has.
        unapproved: Subjects for whom no client may ask by an assertion.
    """

    name: str
    token_path: str
    bodies: frozenset[Literal["form", "json"]]
    basic_decoding: Literal["form", "raw"]
    token_type: str
    dead_grant_status: int
    dead_grant_texts: Mapping[DeadReason, str]
    paced_by: Literal["x_ratelimit", "retry_after"]
    lifetime_s: int
    rotates: bool = True
    grace_window_s: float = 0.0
    replay_answer: Literal["branching", "idempotent"] = "branching"
    old_access_token: Literal["kept", "revoked"] = "kept"
    reuse_revokes_access_tokens: bool = False
    sends_id_token: bool = True
    rt_idle_s: float | None = None
    rt_absolute_s: float | None = None
    rate_limit: RateLimit | None = None
    clients: dict[str, Client] = field(default_factory=_default_clients)
    person: Literal["approves", "denies", "forged"] = "approves"
    device_interval_s: float = 5.0
    device_lives_s: float = 600.0
    unapproved: frozenset[str] = frozenset()


def auth0_face(name: str = "auth0", **changes: Any) -> FaceSettings:
    """Return a tenant that behaves like Auth0 with refresh token rotation; `changes` are fields of FaceSettings.

    A dead grant is a 403; `x-ratelimit-*` on every reply; old access tokens live on, for they are self-contained.
    The leeway is off and refresh tokens live for 30 days, idle or not: Auth0's own defaults
    (auth0.com/docs/secure/tokens/refresh-tokens/configure-refresh-token-rotation).
    """
    settings = FaceSettings(
        name=name,
        token_path="/oauth/token",
        bodies=frozenset({"form", "json"}),
        basic_decoding="raw",
        token_type="Bearer",
        dead_grant_status=403,
        dead_grant_texts=dict.fromkeys(("unknown", "foreign", "revoked", "expired", "reused"), _AUTH0_DEAD_GRANT),
        paced_by="x_ratelimit",
        lifetime_s=86_400,
        rt_idle_s=2_592_000,
        rt_absolute_s=2_592_000,
    )
    return replace(settings, **changes)


def dailypay_face(name: str = "dailypay", **changes: Any) -> FaceSettings:
    """Return a tenant that behaves like DailyPay's, which is an Ory Hydra; `changes` are fields of FaceSettings.

    Form bodies only; a dead grant is a 400 with Hydra's hints; a refresh revokes the access token issued before, and
    a reused refresh token takes the whole chain with it (ory.com/docs/oauth2-oidc/refresh-token-grant).
    """
    hints: dict[DeadReason, str] = {
        "unknown": "The refresh token is malformed or not valid.",
        "foreign": (
            "The OAuth 2.0 Client ID from this request does not match the ID during the initial token issuance."
        ),
        "revoked": "The refresh token is malformed or not valid.",
        "expired": "The refresh token expired.",
        "reused": "The refresh token was already used.",
    }
    settings = FaceSettings(
        name=name,
        token_path="/oauth2/token",
        bodies=frozenset({"form"}),
        basic_decoding="form",
        token_type="bearer",
        dead_grant_status=400,
        dead_grant_texts={reason: f"{_HYDRA_DEAD_GRANT} {hint}" for reason, hint in hints.items()},
        paced_by="retry_after",
        lifetime_s=3_600,
        old_access_token="revoked",
        reuse_revokes_access_tokens=True,
        rt_idle_s=2_592_000,
    )
    return replace(settings, **changes)
