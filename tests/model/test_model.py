"""Every interleaving, within small bounds: the procedure keeps its promises, and each safeguard is needed.

The longer explorations are run by hand: `python -m tests.model --help`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.model.explore import explore
from tests.model.setups import OMISSIONS, SETUPS, Setup

MOST = 400_000
"""States of one exploration: a change that multiplies them is seen, and does not hold the run up for minutes."""


@pytest.mark.parametrize("name", SETUPS)
def test_no_interleaving_breaks_a_promise(name: str) -> None:
    """Spent once, never thrice, nothing kept is lost, nothing written over that is not an ancestor, in every order."""
    assert explore(SETUPS[name], most=MOST).paths == {}


@pytest.mark.parametrize("name", OMISSIONS)
def test_every_safeguard_is_needed(name: str) -> None:
    """Without it there is a way to break the property that it stands for."""
    omission = OMISSIONS[name]
    found = explore(omission.setup, until=omission.breaks, most=MOST)
    assert list(found.paths) == [omission.breaks]


def test_a_state_record_from_an_old_backup_forgets_claims() -> None:
    """Nothing can keep promise 1 when the claims themselves are gone: the README says not to restore the state."""
    assert "twice" in explore(Setup(tokens=2, crashes=0, losses=0, restore=True), until="twice", most=MOST).paths


def test_a_private_escrow_is_waited_for_as_long_as_the_access_token_lasts() -> None:
    """After that another host, which cannot see it, may try the old token once more."""
    private = Setup(shared=False, tokens=2, crashes=0, losses=0)
    assert explore(private, most=MOST).paths == {}
    assert "kept" in explore(replace(private, expiry=True), until="kept", most=MOST).paths


def test_the_shortest_way_names_who_did_what() -> None:
    """A path is told in the order of its steps and ends with the property that it breaks."""
    path = explore(OMISSIONS["no_claim"].setup, until="twice").paths["twice"]
    assert path[0] == "A reads version 1 with 0"
    assert [step for step in path if "sends 0" in step] == [
        "A sends 0: receives 1",
        "B sends 0: rejected: breaks 'twice'",
    ]
