"""The first token of a credential whose grant stands: nobody logs in, and the document may not exist yet."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from rotator.documents import EMPTY
from rotator.errors import Refused, SecretNotFound, VersionConflict
from rotator.model import Malformed
from rotator.operations import Operations

if TYPE_CHECKING:
    from rotator.model import Credential, Versioned
    from rotator.outcomes import Outcome
    from rotator.wiring import App


def first_token(app: App, credential: Credential) -> Outcome:
    """Make the document where there is none, and get a token by the same path as any other.

    Only here, at a person's word: a daemon that made every secret that it does not find would hide a mistyped name.

    Raises:
        Refused: The secret holds something else.
        StoreError: It could not be read or made.
        AuditUnavailable: Nothing was made.
    """
    store = app.stores[credential.store]
    stored: Versioned | None = None
    try:
        stored = app.retrier.call(lambda: store.read(credential.secret))
        problem = stored.content.problem if isinstance(stored.content, Malformed) else ""
    except SecretNotFound:
        problem = EMPTY
    if problem == EMPTY:
        with contextlib.suppress(VersionConflict):  # somebody made it meanwhile, and what is in it stays
            Operations(app).begin(credential, stored)
    elif problem:
        raise Refused(
            f"the secret of {credential.name} cannot be used: {problem}",
            hint=f"where that is to be replaced: echo '{{}}' | rotator put {credential.name}",
        )
    [outcome] = app.passes.run([credential], horizon_s=0.0, force=True, among=app.credentials)
    return outcome
