"""How the Secrets Manager store writes with `writes: fenced`: one call of the write quota, where `strict` takes two."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from rotator.aws_errors import AWS_ERRORS, DELETED_HINT, code_of
from rotator.errors import (
    SecretNotFound,
    StoreDenied,
    StoreError,
    StoreUnavailable,
    StoreWriteInDoubt,
    VersionConflict,
)
from rotator.model import Versioned
from rotator.stores.aws_labels import PENDING, Labels, fenced_id, is_fenced, was_to_replace
from rotator.stores.aws_listing import CURRENT
from rotator.stores.aws_writes import NO_VALUE, StrictWrites, version_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mypy_boto3_secretsmanager.type_defs import SecretVersionsListEntryTypeDef

    from rotator.model import Document

WAITS_S: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""The waits between looks at what became of a write, after a first look at once. AWS calls its operations eventually
consistent and names no time; a lease is held meanwhile, so it is a second and a half: then the write is in doubt."""

LATE_S: Final = 30.0
"""How long after the beginning of the put the second look may still take it back: as long as a lease outlasts the
provider's answer (`rotator.rotation`). After that another process may have found the tokens in our version, called them
settled and dropped its copy of them."""

PAGES: Final = 20
"""How many pages of versions are looked through, of a hundred each: ten times what a secret holds."""

_LOG = logging.getLogger(__name__)


class FencedWrites(StrictWrites):
    """A write in one call that nothing fences on AWS's side, between two looks at the labels. Thread-safe.

    PutSecretValue with AWSCURRENT replaces whatever is current. So DescribeSecret, which costs nothing of the write
    quota, shows before it that the expected version is current, and after it that AWSPREVIOUS went to that version:
    then nobody came in between. When somebody did, in the time of one call, their version has AWSPREVIOUS, and
    AWSCURRENT goes back to it in the way of `strict`: UpdateSecretVersionStage that names our version. The write is a
    VersionConflict then, and the caller merges into theirs. Readers see our document meanwhile: a valid one.

    What else may come, and what becomes of it (E expected, V ours, Y the edit in between, Z a later one):

    - The answer to the put is lost. V is put again under rotator's own label: AWS ignores a put with a known id and
      content, so a request that is still under way does nothing any more. Then AWSCURRENT is moved from E, as in
      `strict`, unless V has it already.
    - The same write again, after any failure. V has the same id; what AWS ignores is compared in content by AWS.
    - Z after V, before the second look. Theirs is current and stays: VersionConflict. Should V have displaced Y as
      well, Y has lost its last label: it is found by its date and gets the label `rotator-displaced`.
    - AWSCURRENT cannot be put back to Y. Y gets that label and the write is in doubt.
    - A crash between put and second look. V's id holds a digest of E, so the next write, of any replica, sees that
      AWSPREVIOUS is not E and gives Y the label before it lets AWSPREVIOUS go. It does not put Y back: the tokens in V
      may be settled by now, and exist nowhere else. If Z came over V, V has AWSPREVIOUS, and Y is found by its date.

    Whatever gets the label is logged as a warning, with the version, for a person to merge.

    Not covered, and the reasons for `strict` being the default: two other programs' writes over V between such a crash
    and rotator's next one; an edit that is an older version put back (Y older than E) and
    then overtaken by Z; a put under way for so long that neither it nor the second put is known to AWS when the
    process ends; and labels that AWS shows wrongly for longer than `WAITS_S`. AWS deletes no version that was made
    within a day ("PutSecretValue", API reference), so it can be found by its date until then. And a process that dies
    after it put Y back, when another one has called the tokens in V settled meanwhile, leaves them in AWSPREVIOUS only.
    """

    def prove(self, secret: str) -> None:
        """Prove that the labels can be looked at.

        Raises:
            StoreError: As `SecretStore.prove_writable`.
        """
        self._labels(secret)

    def _version_id(self, write_id: str, expected: str, generation: int) -> str:
        chosen = version_id if expected == NO_VALUE else fenced_id
        return chosen(write_id, expected, generation)

    def _swap(self, secret: str, document: Document, text: str, version: str, expected: str) -> Versioned | None:
        if expected == NO_VALUE:
            return super()._swap(secret, document, text, version, expected)
        labels = self._labels(secret)
        if labels.current == expected:
            self._keep_unseen(secret, expected, labels)
        elif labels.current != version:
            raise self._overtaken(secret, version, expected, labels)
        begun_s = self._clock.monotonic_s()
        is_current = self._put_current(secret, text, version, expected)
        if is_current is None:
            return None
        written = Versioned(labels.identity, version, self._clock.now(), document)
        if not is_current:
            try:
                self._move(secret, written, expected)
            except VersionConflict:
                raise self._overtaken(secret, version, expected, self._labels(secret)) from None
        return self._proven(secret, written, expected, begun_s)

    def _put_current(self, secret: str, text: str, version: str, expected: str) -> bool | None:
        """Make the version current; return whether it is, or None when the id is taken.

        It may not be when an earlier try had made it: AWS ignores the call then.
        """
        try:
            answer = self._client.put_secret_value(
                SecretId=secret, ClientRequestToken=version, SecretString=text, VersionStages=[CURRENT]
            )
        except AWS_ERRORS as error:
            if code_of(error) == "ResourceExistsException":
                return None
            failure = self._mapped(error, secret, "write")
            if not isinstance(failure, StoreWriteInDoubt):
                raise failure from None
        else:
            return CURRENT in answer.get("VersionStages", ())
        # Without this a request that arrives late would make V current after others have written.
        try:
            identity = self._put(secret, text, version, expected)
        except StoreError:
            raise failure from None
        return None if identity is None else False

    # ------------------------------------------------------------------------------------------- the second look

    def _proven(self, secret: str, written: Versioned, expected: str, begun_s: float) -> Versioned:
        """Return what was written once the labels show that it replaced `expected`."""
        for _ in self._looks():
            try:
                labels = self._labels(secret)
            except SecretNotFound:
                raise
            except StoreError:
                continue
            if labels.current == written.version:
                # AWSPREVIOUS on nothing is a person's doing: a put always leaves it somewhere.
                if labels.previous in {expected, None}:
                    return written
                if self._clock.monotonic_s() - begun_s < LATE_S:
                    raise self._taken_back(secret, written.version, expected, str(labels.previous))
                raise self._left(secret, str(labels.previous), labels)
            if labels.previous == written.version:
                raise self._overtaken(secret, written.version, expected, labels)
            # Neither: a stale answer, or two more writes. Only time tells.
        raise StoreWriteInDoubt(
            f"{self._what(secret)}: written, and AWS does not show yet what it replaced",
            hint="it is read again and compared",
        )

    def _taken_back(self, secret: str, version: str, expected: str, displaced: str) -> StoreError:
        """Move AWSCURRENT from our version back to the displaced one; return the error that tells the caller."""
        for _ in self._looks():
            try:
                self._client.update_secret_version_stage(
                    SecretId=secret,
                    VersionStage=CURRENT,
                    RemoveFromVersionId=version,
                    MoveToVersionId=displaced,
                )
            except AWS_ERRORS as error:
                if isinstance(self._mapped(error, secret, "write"), StoreDenied):
                    break
            else:
                return self._conflict_once_seen(secret, version, expected)
            try:
                labels = self._labels(secret)
            except StoreError:
                continue
            if labels.current == displaced:
                return self._conflict_once_seen(secret, version, expected)
            if labels.current != version:
                return VersionConflict(
                    self._what(secret), expected=expected, hint=self._kept(secret, displaced, labels)
                )
        return self._left(secret, displaced, None)

    def _left(self, secret: str, displaced: str, labels: Labels | None) -> StoreError:
        """Label the displaced version, as it is not put back; return the error that tells the caller."""
        return StoreWriteInDoubt(
            f"{self._what(secret)}: written over version {displaced}, which could not be made current again",
            hint=self._kept(secret, displaced, labels),
        )

    def _conflict_once_seen(self, secret: str, version: str, expected: str) -> StoreError:
        """Return the conflict, when a read no longer shows what was taken back.

        A caller that reads it would take its write for done.
        """
        for _ in self._looks():
            try:
                if self._read(secret).version != version:
                    return VersionConflict(self._what(secret), expected=expected)
            except StoreError:
                continue
        return StoreUnavailable(f"{self._what(secret)}: AWS still shows what was taken back", hint="it is tried again")

    def _looks(self) -> Iterator[None]:
        """Give a turn at once, and one after each wait."""
        yield
        for wait_s in WAITS_S:
            self._clock.sleep(wait_s)
            yield

    # --------------------------------------------------------------------------------------- what was displaced

    def _overtaken(self, secret: str, version: str, expected: str, labels: Labels) -> VersionConflict:
        """Return the conflict with another version that is current, after a look for what ours may have displaced."""
        hint = self._rescued(secret, version, labels) if labels.previous == version else ""
        return VersionConflict(self._what(secret), expected=expected, hint=hint)

    def _rescued(self, secret: str, version: str, labels: Labels) -> str:
        """Label what `version` displaced before it was replaced itself; return a hint, empty when there is nothing.

        AWSPREVIOUS went on to `version`. So it is the newest version that was made before `version` and after the one
        that this was to replace, not by this kind of write, and without a label of which somebody still takes care. It
        may be one that never was current; then a person is told for nothing.
        """
        try:
            versions = self._versions(secret, WAITS_S)
        except StoreError as error:
            _LOG.warning(
                "%s: whether version %s displaced an edit cannot be told: %s", self._what(secret), version, error
            )
            return "whether an edit was displaced cannot be told; allow ListSecretVersionIds"
        made = {entry["VersionId"]: entry["CreatedDate"] for entry in versions}
        expected = next((one for one in made if was_to_replace(version, one)), None)
        if expected is None or version not in made:
            return ""
        theirs = [
            one
            for one, at in made.items()
            if made[expected] <= at <= made[version]
            and one not in {expected, version}
            and not is_fenced(one)
            and not {CURRENT, PENDING, self._label}.intersection(labels.of.get(one, ()))
        ]
        return self._kept(secret, max(theirs, key=made.__getitem__), labels) if theirs else ""

    def _keep_unseen(self, secret: str, current: str, labels: Labels) -> None:
        """Label what a write displaced whose process did not live to look, before the next write takes its label.

        Somebody may have replaced that write since; then it is looked for by its date, as far as AWS says.

        Raises:
            StoreDenied: Labels may not be moved.
            StoreUnavailable: It has no label yet.
        """
        previous = labels.previous
        if previous is None or was_to_replace(current, previous):
            return
        if not is_fenced(current):
            if is_fenced(previous):
                self._rescued(secret, previous, labels)
            return
        try:
            if self._pin(secret, previous, labels) is None:
                # Nobody has looked at nine warnings; that the token expires as well would help nobody.
                _LOG.warning("%s: version %s may hold an edit, and no label is free", self._what(secret), previous)
        except StoreDenied:
            raise
        except StoreError as error:
            raise StoreUnavailable(
                f"{self._what(secret)}: version {previous} may hold an edit, and cannot be labelled ({error.message})",
                hint="nothing is written before it is; it is tried again",
            ) from None

    def _kept(self, secret: str, version: str, labels: Labels | None) -> str:
        """Label a displaced version if that can be done, and return what a person has to know."""
        label, failure = None, ""
        for _ in self._looks():
            try:
                label = self._pin(secret, version, labels or self._labels(secret))
                break
            except StoreError as error:
                failure, labels = str(error), None
                if isinstance(error, StoreDenied):
                    break
        if label:
            return f"merge version {version} by hand; it has the label {label} until you take it away"
        _LOG.warning("%s: version %s may hold an edit, and has no label: %s", self._what(secret), version, failure)
        return f"merge version {version} by hand soon: it has no label, and AWS deletes such versions after a day"

    def _pin(self, secret: str, version: str, labels: Labels) -> str | None:
        """Give a version a label of rotator's own, log it, and return the label; None when all of them are taken.

        Raises:
            StoreError: It has none for another reason.
        """
        if label := labels.pin_of(version):
            return label
        label = labels.free_pin()
        if label is None:
            return None
        try:
            self._client.update_secret_version_stage(SecretId=secret, VersionStage=label, MoveToVersionId=version)
        except AWS_ERRORS as error:
            raise self._mapped(error, secret, "stage") from None
        _LOG.warning(
            "%s: version %s may hold an edit that was replaced unseen; it is kept under the label %s",
            self._what(secret),
            version,
            label,
        )
        return label

    # ------------------------------------------------------------------------------------------------- looking

    def _labels(self, secret: str) -> Labels:
        try:
            answer = self._client.describe_secret(SecretId=secret)
        except AWS_ERRORS as error:
            raise self._mapped(error, secret, "read") from None
        if "DeletedDate" in answer:
            raise SecretNotFound(f"{self._what(secret)}: there is no such secret any more", hint=DELETED_HINT)
        return Labels(answer["ARN"], answer.get("VersionIdsToStages", {}))

    def _versions(self, secret: str, waits_s: Sequence[float]) -> list[SecretVersionsListEntryTypeDef]:
        """Return all versions, those without a label included; nobody else will look for what is found here."""
        try:
            return self._pages(secret)
        except StoreUnavailable:
            if not waits_s:
                raise
        self._clock.sleep(waits_s[0])
        return self._versions(secret, waits_s[1:])

    def _pages(self, secret: str) -> list[SecretVersionsListEntryTypeDef]:
        found: list[SecretVersionsListEntryTypeDef] = []
        more: dict[str, str] = {}
        for _ in range(PAGES):
            try:
                answer = self._client.list_secret_version_ids(
                    SecretId=secret, IncludeDeprecated=True, MaxResults=100, **more
                )
            except AWS_ERRORS as error:
                raise self._mapped(error, secret, "read") from None
            found += answer["Versions"]
            if not answer.get("NextToken"):
                break
            more = {"NextToken": answer["NextToken"]}
        return found
