"""One configuration on one backend, and the two programs that may run on it: rotator and the naive refresher."""

from __future__ import annotations

import abc
import json
import os
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from rotator import policy
from rotator.clocks import SystemClock, SystemIds, SystemRandom
from rotator.config.load import load_config
from rotator.limits import RateLimit
from rotator.model import Document
from rotator.observe import Observed
from rotator.operations import Operations
from rotator.rotation import AFTER_THE_ANSWER_S
from rotator.testing.sandbox import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, auth0_face, dailypay_face
from rotator.wiring import App, Surroundings, build
from tests.chaos import naive

if TYPE_CHECKING:
    from rotator.testing.sandbox import Face, FaceSettings, SandboxServer
    from tests.chaos.backends import Backend
    from tests.chaos.proxy import Proxy

ROOT = Path(__file__).parent.parent.parent
TIMEOUT_S = 3
LEASE_S = TIMEOUT_S + AFTER_THE_ANSWER_S
PACE = RateLimit(8, 1.0)
LIMIT = RateLimit(45, 5.0)
"""What the provider lets through: an eighth more than the budget, over a longer window. The budget holds where requests
leave; on a busy machine some arrive in a bunch, and that is no fault of who sent them."""

TOLD_S = 10
"""How long a refusal tells its client to wait."""

GRACE_S = 86_400.0
SECRET_ENV = "CHAOS_CLIENT_SECRET"
READERS_FIELD = "owned_by"
"""A field that rotator does not know and has to keep."""


PROVIDERS: dict[str, dict[str, Any]] = {
    "strict": {"replay": "never", "on_doubt": "operator"},
    "lasttry": {"replay": "never", "on_doubt": "wait_then_replay"},
    "graceful": {"replay": "until_successor_used", "rate_limit": {"requests": PACE.requests, "per": f"{PACE.per_s}s"}},
}
"""One provider for each way of handling a doubt; the last one also has a budget."""


def faces(lifetime_s: int) -> list[FaceSettings]:
    """The tenants behind the providers."""
    return [
        auth0_face("strict", lifetime_s=lifetime_s),
        auth0_face("lasttry", token_path="/lasttry/token", lifetime_s=lifetime_s),
        dailypay_face("graceful", lifetime_s=lifetime_s, grace_window_s=GRACE_S, rate_limit=LIMIT),
    ]


@dataclass(slots=True)
class Deployment:
    """Credentials, their providers and where they are kept, as a configuration file says.

    Args:
        proxy: Before the providers.
        credentials: How many.
        lifetime_s: Of an access token.
    """

    folder: Path
    backend: Backend
    server: SandboxServer
    proxy: Proxy
    credentials: int
    lifetime_s: int
    names: list[str] = field(init=False)

    def __post_init__(self) -> None:
        kinds = list(PROVIDERS)
        self.names = [f"{kinds[number % len(kinds)]}-{number}" for number in range(self.credentials)]
        self.folder.mkdir(exist_ok=True)
        self.file.write_text(yaml.safe_dump(self._config(), sort_keys=False))

    @property
    def file(self) -> Path:
        """The configuration."""
        return self.folder / "rotator.yaml"

    @property
    def audit_file(self) -> Path:
        """Where rotator's audit trail is."""
        return self.folder / "audit.jsonl"

    @property
    def env(self) -> dict[str, str]:
        """The environment of every process."""
        return {**os.environ, "PYTHONPATH": str(ROOT), SECRET_ENV: DEFAULT_CLIENT_SECRET, **self.backend.env}

    def face(self, name: str) -> Face:
        """Return the tenant of a credential."""
        return self.server.face(name.partition("-")[0])

    def _config(self) -> dict[str, Any]:
        providers = {
            name: {
                "profile": "generic",
                "token_endpoint": self.proxy.url + self.server.face(name).settings.token_path,
                "timeout": f"{TIMEOUT_S}s",
                **more,
            }
            for name, more in PROVIDERS.items()
        }
        credentials = [
            {
                "name": name,
                "provider": name.partition("-")[0],
                "secret": f"chaos/{name}",
                "client_id": DEFAULT_CLIENT_ID,
                "client_secret": {"env": SECRET_ENV},
            }
            for name in self.names
        ]
        return {
            "version": 1,
            **self.backend.config,
            "audit": [{"type": "jsonl", "path": str(self.audit_file)}],
            "workers": 8,
            "providers": providers,
            "credentials": credentials,
        }


class Program(abc.ABC):
    """What runs on a deployment, and how the harness acts as a person beside it.

    Args:
        module: What `python -m` runs.
        logins: The newest login, by credential, whose tokens a person surely put.
    """

    name = ""
    module = ""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.logins: dict[str, int] = {}

    def command(self, kind: str) -> list[str]:
        """Return the command line of a daemon (`run`) or of one pass (`once`)."""
        return [sys.executable, "-m", self.module, str(self.deployment.file), kind]

    def log_in(self, name: str, life: float = 1.0) -> None:
        """Log in for a credential and store the answer.

        Args:
            life: The share of the access token's life that the document shows; the rest is as good as over.
        """
        face = self.deployment.face(name)
        answer: dict[str, Any] = dict(face.login(DEFAULT_CLIENT_ID))
        answer[READERS_FIELD] = name
        answer["expires_in"] = max(2, int(answer["expires_in"] * life))
        self.put(name, answer)
        self.logins[name] = face.family_of(answer["refresh_token"])

    def log_in_everywhere(self, seed: int) -> None:
        """Log in for every credential; the lives differ, so that not all fall due in the same second."""
        chance = random.Random(seed)
        for name in self.deployment.names:
            self.log_in(name, chance.uniform(0.3, 1.0))

    @abc.abstractmethod
    def put(self, name: str, answer: dict[str, Any]) -> None:
        """Store a token response."""

    @abc.abstractmethod
    def stored(self, name: str) -> dict[str, Any]:
        """Return the document."""

    @abc.abstractmethod
    def asks(self, name: str) -> bool:
        """Return whether a person has to log in anew."""

    def alive(self, name: str, token: str) -> bool:
        """Return whether the provider would still take this refresh token."""
        book = self.deployment.face(name)._book
        known = book._refresh_tokens[token]
        return not known.family.revoked and (known.first_used_at is None or book._replayable(known))


class Naive(Program):
    """The naive refresher. Somebody sees that a login is dead, and logs in anew."""

    name = "naive"
    module = "tests.chaos.naive"

    def __init__(self, deployment: Deployment) -> None:
        super().__init__(deployment)
        self._store = naive.store_of(yaml.safe_load(deployment.file.read_text()))

    def put(self, name: str, answer: dict[str, Any]) -> None:
        """Store a token response with the times that it lacks."""
        now = int(time.time())
        self._store.save(f"chaos/{name}", {**answer, "issued_at": now, "expires_at": now + answer["expires_in"]})

    def stored(self, name: str) -> dict[str, Any]:
        """Return the document."""
        return self._store.load(f"chaos/{name}")

    def asks(self, name: str) -> bool:
        """Return whether the stored login is dead: what its readers and the provider's log would tell."""
        return not self.alive(name, self.stored(name)["refresh_token"])


class Rotator(Program):
    """rotator. It says itself when a person is needed.

    Args:
        module: Another one than rotator's, for a rotator with a planted bug.
    """

    name = "rotator"

    def __init__(self, deployment: Deployment, module: str = "rotator") -> None:
        super().__init__(deployment)
        self.module = module
        surroundings = Surroundings(deployment.env, SystemClock(), SystemIds(), SystemRandom())
        self.app: App = build(load_config(deployment.file, deployment.env), "once", surroundings)

    def command(self, kind: str) -> list[str]:
        """Return the command line."""
        more = ["--json", "--horizon", "3s"] if kind == "once" else []
        return [sys.executable, "-m", self.module, "-c", str(self.deployment.file), kind, *more]

    def put(self, name: str, answer: dict[str, Any]) -> None:
        """Do what `rotator put` does."""
        Operations(self.app).put(self.app.credential(name), json.dumps(answer))

    def stored(self, name: str) -> dict[str, Any]:
        """Return the document."""
        credential = self.app.credential(name)
        content = self.app.stores[credential.store].read(credential.secret).content
        assert isinstance(content, Document)
        return dict(content.fields)

    def asks(self, name: str) -> bool:
        """Return whether it waits for a person's word or a login."""
        [(_, observed)] = self.app.passes.look([self.app.credential(name)])
        return isinstance(observed, Observed) and isinstance(
            policy.decide(observed.situation), policy.InDoubt | policy.Latched
        )

    def look(self) -> dict[str, tuple[Observed, policy.Decision]]:
        """Return what the next pass would do about each credential."""
        seen = {}
        for credential, observed in self.app.passes.look(self.app.credentials):
            assert isinstance(observed, Observed), f"{credential.name}: {observed}"
            seen[credential.name] = (observed, policy.decide(observed.situation))
        return seen
