"""From a name in the configuration to the code behind it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from rotator import plugins
from rotator.config.model import PlugIn
from rotator.errors import PluginError, Problem
from tests.config.plug_ins import install
from tests.config.right_config import load, problems

if TYPE_CHECKING:
    from pathlib import Path

BUILT_IN = {"fraction": "fractions:Fraction", "gone": "no_such_module_at_all:Thing"}


def test_a_built_in_name_is_imported_on_use() -> None:
    """The table leads to the attribute of the module."""
    assert plugins.find("stores", "fraction", BUILT_IN).__name__ == "Fraction"


def test_a_built_in_adapter_without_its_sdk_says_what_is_missing() -> None:
    """The missing module is named, so that one knows what to install."""
    with pytest.raises(PluginError) as caught:
        plugins.find("stores", "gone", BUILT_IN)
    assert caught.value.problems == (
        Problem(
            "store type 'gone'",
            "cannot be loaded",
            "install what it needs: module 'no_such_module_at_all' is missing",
        ),
    )


def test_a_name_that_nobody_offers_names_those_that_exist() -> None:
    """The close one comes first, then all of them."""
    with pytest.raises(PluginError) as caught:
        plugins.find("state", "fracton", BUILT_IN)
    assert caught.value.problems == (
        Problem(
            "state type 'fracton'",
            "there is no state type of this name",
            "did you mean 'fraction'? known: fraction, gone",
        ),
    )
    with pytest.raises(PluginError, match=r"\(?known: fraction, gone"):
        plugins.find("state", "zzz", BUILT_IN)


def test_entry_points_are_scanned_on_a_miss_only() -> None:
    """A configuration of built-in names does not pay for the scan."""
    code = (
        "import sys\nfrom rotator import plugins\n"
        "plugins.find('stores', 'f', {'f': 'fractions:Fraction'})\n"
        "print('importlib.metadata' in sys.modules)\n"
        "assert plugins.offered('stores') == ()\n"
        "print('importlib.metadata' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_an_installed_plug_in_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store or state type that no table has comes from the family's entry-point group, its keys unchecked here."""
    install(
        tmp_path, monkeypatch, module="shelf_plug_in", code="class Shelf: pass\n",
        points="[rotator.stores]\nshelf = shelf_plug_in:Shelf\n[rotator.state]\nslate = shelf_plug_in:Shelf\n",
    )  # fmt: skip
    assert plugins.find("stores", "shelf", BUILT_IN).__name__ == "Shelf"
    settings = load(
        lambda content: content.update(
            stores={"main": {"type": "shelf", "height": 3}},
            state={"type": "slate"},
            seal={"key_env": "SEAL_KEY"},
        )
    )
    store = settings.stores["main"]
    assert isinstance(store, PlugIn)
    assert (store.type, store.options) == ("shelf", {"height": 3})
    assert isinstance(settings.state, PlugIn)
    assert settings.state.options == {}
    assert problems(lambda content: content.update(stores={"main": {"type": "shlf"}})) == [
        ("stores.main.type", "is not a known type", "did you mean 'shelf'?")
    ]


def test_a_named_plug_in_that_fails_to_load_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other adapter takes the place of one that is broken."""
    install(
        tmp_path, monkeypatch, module="broken_plug_in", code="raise RuntimeError('no disk')\n",
        points="[rotator.stores]\nbroken = broken_plug_in:Thing\n",
    )  # fmt: skip
    with pytest.raises(PluginError) as caught:
        plugins.find("stores", "broken", BUILT_IN)
    [problem] = caught.value.problems
    assert problem.what == "the plug-in 'broken_plug_in:Thing' cannot be loaded: RuntimeError: no disk"


def test_a_suggestion_is_the_close_name_or_all_names() -> None:
    """What is close is suggested; else everything is listed; nothing to list is said."""
    assert plugins.suggestion("providr", ["provider", "name"]) == "did you mean 'provider'?"
    assert plugins.suggestion("x", ["provider", "name"]) == "known: name, provider"
    assert plugins.suggestion("x", []) == "none is defined"
