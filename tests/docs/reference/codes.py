"""docs/reference/codes.md: exit codes, and the states that `status` shows."""

from __future__ import annotations

from typing import get_args

from rotator.cli.context import Exit
from rotator.outcomes import State
from tests.docs.reference.markdown import code, table

HEAD = """# Exit codes and states

`once` ends with 1 if a person is needed, else with 75 if something was put off, else with 0. A rotation in doubt is 75
under `on_doubt: wait_then_replay` and 1 under `operator`.
"""

CODES = {
    0: "all well, or nothing due; also `rotator run` after SIGTERM or SIGINT",
    1: "at least one credential needs a person; of `check`, `plan` and `audit verify`, they found something",
    2: "bad usage or configuration, an unknown `--name` included",
    75: "temporary: something was deferred or unavailable, run again later (EX_TEMPFAIL of sysexits.h)",
    130: "interrupted",
}

STATES = {
    "fresh": ("the access token is good, and no refresh is due", "nothing"),
    "due": ("a refresh is due, or under way", "nothing"),
    "in_doubt": ("the refresh token may be spent, and the answer is lost", "see `rotator explain NAME`"),
    "latched": ("the grant is dead; nothing is sent until a new refresh token is there", "log in again"),
    "cooling_down": ("the provider asked to wait, or something was unavailable", "nothing"),
    "unusable": ("the secret, its record or the configuration cannot be used", "what `action` says"),
}


def page() -> str:
    """Return the page."""
    codes = [(str(int(one)), CODES.get(int(one), "")) for one in sorted(Exit)]
    states = [(code(state), *STATES.get(state, ("", ""))) for state in get_args(State)]
    return (
        f"{HEAD}\n{table(('exit code', 'means'), codes)}\n\n"
        "## States\n\nAs `rotator status` and `/status.json` show them.\n\n"
        f"{table(('state', 'means', 'what to do'), states)}"
    )


def undescribed() -> list[str]:
    """Return the codes and states that this module says nothing of."""
    return [
        *(str(int(one)) for one in Exit if int(one) not in CODES),
        *(state for state in get_args(State) if state not in STATES),
    ]
