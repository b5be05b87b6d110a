"""The four steps of a Secrets Manager rotation function (docs.aws.amazon.com/secretsmanager/latest/userguide).

Secrets Manager asks for a version to be made, set, tested and finished, each step at least once, and may ask again
after any failure. A refresh token cannot be tried out and taken back: once it was presented there is only forward. So
the first step is a whole rotation by the procedure, with claim, escrow and compare-and-swap. What is current then is
copied to the version that the request names, and the last step moves AWSCURRENT there. The exchange straight into
AWSPENDING was rejected: what the claims and the escrow know would have to be known once more.

A first step that is repeated finds that the secret was rotated just now, and copies that. The token of the request as
the id of the rotation was rejected: a claim by the same id passes for a write of the same try whose answer was lost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rotator import outcomes
from rotator.aws_errors import AWS_ERRORS, MISSING_CODES, Subject, code_of, mapped
from rotator.documents import document_text, parse_document, stored_tokens
from rotator.errors import ConfigError, Problem, StoreRejected, StoreUnavailable
from rotator.ledger import SecretLedger
from rotator.model import Document, Malformed
from rotator.stores.aws_labels import PENDING
from rotator.stores.aws_listing import CURRENT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from rotator.aws_errors import Effect
    from rotator.errors import StoreError
    from rotator.model import Credential, Versioned
    from rotator.wiring import App

STEPS = {
    "createSecret": "create",
    "create_secret": "create",
    "setSecret": "set",
    "set_secret": "set",
    "testSecret": "test",
    "test_secret": "test",
    "finishSecret": "finish",
    "finish_secret": "finish",
}
"""AWS's guide and its own functions spell them differently."""

JUST_NOW_S = 15 * 60.0
"""A secret that was rotated within so long is not rotated again by a first step. Secrets Manager rotates every four
hours at most (API reference, RotationRulesType), so it is the same request, or somebody was as quick."""

_ARN = re.compile(r"arn:[^:]*:secretsmanager:[^:]*:[^:]*:secret:(.+)-[A-Za-z0-9]{6}")


@dataclass(frozen=True, slots=True)
class Step:
    """What Secrets Manager asks for.

    Args:
        token: Of the request; the id of the version that is to become current.
        rotation_token: Proves in another account's name that Secrets Manager asks. It is passed on, and shown nowhere.
    """

    name: str
    secret: str
    token: str
    rotation_token: str | None = None

    @classmethod
    def read(cls, event: Mapping[str, Any]) -> Step:
        """Read an event.

        Raises:
            ConfigError: It is none, or asks for a step that there is not.
        """
        match event:
            case {"Step": str(step), "SecretId": str(secret), "ClientRequestToken": str(token)} if step in STEPS:
                rotation_token = event.get("RotationToken")
                return cls(STEPS[step], secret, token, rotation_token if isinstance(rotation_token, str) else None)
            case {"Step": step} if not (isinstance(step, str) and step in STEPS):
                raise _problem("event.Step", "is no step of a rotation", f"one of {', '.join(list(STEPS)[::2])}")
        raise _problem("event", "is no step of a rotation", "it has Step, SecretId and ClientRequestToken")

    def names(self) -> list[str]:
        """Return by which names a configuration may know the secret."""
        found = _ARN.fullmatch(self.secret)
        return [self.secret, *([found[1], self.secret.rpartition("-")[0]] if found else [])]


def handle(app: App, client: Any, credential: Credential, step: Step, *, answers_by: datetime | None = None) -> None:
    """Do a step. Doing it again, after whatever became of it, is harmless.

    Args:
        client: A `secretsmanager` client.
        answers_by: No token request leaves whose answer may come after this instant.

    Raises:
        RotatorError: It is not done; Secrets Manager asks again, or a person is needed, as it says.
    """
    function = _Function(app, client, credential, step, answers_by)
    match step.name:
        case "create":
            function.create()
        case "test":
            function.test()
        case "finish":
            function.finish()
        case _:
            return  # the provider knows the new tokens already: it made them


@dataclass(frozen=True, slots=True)
class _Function:
    app: App
    client: Any
    credential: Credential
    step: Step
    answers_by: datetime | None

    def create(self) -> None:
        """Rotate, unless that was done just now, and copy what is current to the version of the request."""
        if self._content() is not None:
            return
        current = self._current()
        record = SecretLedger(self.app.state, current.identity, self.app.retrier).load()
        oldest = self.app.surroundings.clock.now() - timedelta(seconds=JUST_NOW_S)
        if record.last is None or record.last.version_after != current.version or record.last.at < oldest:
            current = self._rotated()
        if not isinstance(current.content, Document):
            raise self._refused(f"cannot be used: {current.content.problem}")
        extra = {"RotationToken": self.step.rotation_token} if self.step.rotation_token else {}
        self._call(
            "write",
            self.client.put_secret_value,
            ClientRequestToken=self.step.token,
            SecretString=document_text(current.content),
            VersionStages=[PENDING],
            **extra,
        )

    def test(self) -> None:
        """See whether the version of the request holds tokens that live."""
        content = self._content()
        if content is None:
            raise self._refused(f"has no version {self.step.token}: createSecret comes first")
        tokens = stored_tokens(replace(self._current(), content=content), self.credential.provider)
        if isinstance(tokens, Malformed):
            raise self._refused(f"cannot be used: {tokens.problem}")
        if tokens.expires_at is not None and tokens.expires_at <= self.app.surroundings.clock.now():
            raise self._refused("holds an access token that has ended")

    def finish(self) -> None:
        """Move AWSCURRENT to the version of the request, if that is still a copy of what is current."""
        current = self._current()
        if current.version == self.step.token:
            self._take_label_away()
            return
        content = self._content()
        if content is None:
            raise self._refused(f"has no version {self.step.token}: createSecret comes first")
        if content != current.content:
            # Rotated again, or edited. What is current is newer: nothing is lost but the name of a version. The refresh
            # token alone does not tell: an edit leaves it, and so does a provider that does not rotate it.
            self._take_label_away()
            raise self._refused("was rotated again or edited meanwhile; what is current is newer, and stays")
        move = self.client.update_secret_version_stage
        self._call(
            "write", move, VersionStage=CURRENT, RemoveFromVersionId=current.version, MoveToVersionId=self.step.token
        )
        self._take_label_away()

    def _take_label_away(self) -> None:
        """Take AWSPENDING from the version: left there while others become current, it stops the next rotation."""
        labels = self._call("read", self.client.describe_secret).get("VersionIdsToStages", {})
        if PENDING in labels.get(self.step.token, ()):
            move = self.client.update_secret_version_stage
            self._call("stage", move, VersionStage=PENDING, RemoveFromVersionId=self.step.token)

    def _rotated(self) -> Versioned:
        [outcome] = self.app.passes.run(
            [self.credential],
            horizon_s=0.0,
            force=True,
            answers_by=self.answers_by,
            among=self.app.credentials,
        )
        match outcome:
            case outcomes.Rotated():
                return self._current()
            case outcomes.Failed(error=error, action=action):
                raise StoreRejected(f"{self.credential.name}: {error}", hint=action)
            case outcomes.Deferred(reason=reason, error=error):
                raise StoreUnavailable(
                    f"{self.credential.name}: not rotated now ({reason}) {error}", hint="it is tried again"
                )
        raise StoreUnavailable(f"{self.credential.name}: not rotated now", hint="it is tried again")

    def _current(self) -> Versioned:
        store = self.app.stores[self.credential.store]
        return self.app.retrier.call(lambda: store.read(self.credential.secret))

    def _content(self) -> Document | None:
        """Return what the version of the request holds; None where there is none, or an empty one."""
        try:
            answer = self.client.get_secret_value(SecretId=self.credential.secret, VersionId=self.step.token)
        except AWS_ERRORS as error:
            if code_of(error) in {*MISSING_CODES, "InvalidRequestException"}:
                return None
            raise self._mapped(error, "read") from None
        found = parse_document(answer.get("SecretString"))
        return found if isinstance(found, Document) else None

    def _call(self, effect: Effect, call: Any, **arguments: Any) -> Any:
        try:
            return call(SecretId=self.credential.secret, **arguments)
        except AWS_ERRORS as error:
            raise self._mapped(error, effect) from None

    def _mapped(self, error: Any, effect: Effect) -> StoreError:
        return mapped(error, Subject(f"secret {self.credential.secret} in store {self.credential.store}"), effect)

    def _refused(self, what: str) -> StoreRejected:
        return StoreRejected(f"secret {self.credential.secret} in store {self.credential.store} {what}")


def _problem(where: str, what: str, hint: str) -> ConfigError:
    return ConfigError([Problem(where, what, hint)])
