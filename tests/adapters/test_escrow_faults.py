"""The escrow in files when processes die, disks fill and folders vanish."""

from __future__ import annotations

import errno
import itertools
import json
import os
import resource
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from escrow_parts import ENTRY, IDENTITY, RECORD, files, opened, writer

from rotator.errors import EscrowCorrupt, EscrowUnavailable
from rotator.escrow.file import FileEscrow
from rotator.testing.memory import SequentialIds

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "var" / "escrow"


# ---------------------------------------------------------------------------------------------- crash and fault


def crash_everywhere(base: Path, scenario: str) -> list[dict[str, Any]]:
    script = Path(__file__).with_name("escrow_crashes.py")
    command = [sys.executable, str(script), str(base), scenario]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("scenario", "before", "after"),
    [
        ("first", [], ["new"]),
        ("replace", ["old"], ["new"]),
        ("clear", ["old"], []),
        ("place", [], []),
        ("prove", ["old"], ["old"]),
    ],
)
def test_a_crash_anywhere_leaves_the_old_or_the_new(
    tmp_path: Path, scenario: str, before: list[str], after: list[str]
) -> None:
    """A process killed before any of its file operations leaves the old entries or the new, and a working place."""
    *killed, last = crash_everywhere(tmp_path, scenario)
    found = [run["found"] for run in killed]
    turn = found.index(after) if after in found else len(found)
    assert len(killed) >= 4
    assert found == [before] * turn + [after] * (len(found) - turn)
    assert (last["killed"], last["found"]) == (False, after)
    assert all(run["place_stays"] and run["all"] == 1 for run in [*killed, last])


VERBS: dict[str, Callable[[FileEscrow], object]] = {
    "keep": lambda escrow: escrow.keep(replace(ENTRY, sealed="new"), writer()),
    "clear": lambda escrow: escrow.clear(IDENTITY, frozenset({"p1"})),
    "prove_writable": lambda escrow: escrow.prove_writable(),
    "place": lambda escrow: escrow.place,
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_failure_anywhere_is_told_or_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """Whichever file operation fails, the verb raises EscrowUnavailable or has done its work; nothing else is lost."""
    done = {"keep": ["new"], "clear": []}.get(verb, ["sealed-text"])
    raised = 0
    for number in itertools.count():
        folder = tmp_path / str(number)
        opened(folder).keep(ENTRY, writer())
        count = itertools.count()

        def failing(operation: Callable[..., Any], count: Any = count, number: int = number) -> Callable[..., Any]:
            def run(*args: Any, **kwargs: Any) -> Any:
                # Injected, for no disk here fails on demand at one given operation.
                if next(count) == number:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                return operation(*args, **kwargs)

            return run

        with monkeypatch.context() as patched:
            for name in ("open", "write", "fsync", "link", "replace", "unlink"):
                patched.setattr(os, name, failing(getattr(os, name)))
            try:
                VERBS[verb](opened(folder))
            except EscrowUnavailable as error:
                raised += 1
                assert str(folder) in error.message  # noqa: PT017 - most runs raise, not all
                assert "kernel" in error.hint  # noqa: PT017 - likewise
                finds = [[entry.sealed] for entry in opened(folder).waiting(RECORD)] or [[]]
                assert finds[0] in (["sealed-text"], done)
            else:
                assert [entry.sealed for entry in opened(folder).waiting(RECORD)] == done
        if next(count) <= number:
            break
    assert raised >= 2


def test_a_full_disk_says_so_and_leaves_no_rubbish(tmp_path: Path) -> None:
    """On a disk without room `keep` and `prove_writable` are EscrowUnavailable, and only what was there stays."""
    mount_and_run = 'mount -t tmpfs -o size=64k tmpfs "$1" || exit 77; exec "$2" "$3" "$1" full'
    script = Path(__file__).with_name("escrow_crashes.py")
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount_and_run, "sh"]
    try:
        done = subprocess.run(
            [*command, str(tmp_path), sys.executable, str(script)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare to mount a small disk with")
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip("this kernel lets nobody mount a small disk")
    assert done.returncode == 0, done.stderr
    finds = json.loads(done.stdout)
    assert [find.endswith("No space left on device (free space on that disk)") for find in finds["errors"]] == [
        True
    ] * 2
    assert (finds["found"], len(finds["files"])) == (["old"], 2)


def test_a_write_that_is_cut_off_is_not_taken_for_an_entry(tmp_path: Path) -> None:
    """When the file may not grow beyond a limit `keep` is EscrowUnavailable and the old entry stays."""
    escrow = opened(tmp_path)
    escrow.keep(ENTRY, writer())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(EscrowUnavailable, match="too large"):
            escrow.keep(replace(ENTRY, sealed="x" * 9000), writer())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert escrow.waiting(RECORD) == (ENTRY,)
    assert not list(tmp_path.glob(".*"))


# ---------------------------------------------------------------------------------------------------- the place


def test_the_place_names_the_folder_and_not_its_path(tmp_path: Path) -> None:
    """Two folders have different places, and a folder that moves takes its place along."""
    one, two = opened(tmp_path / "one"), opened(tmp_path / "two")
    assert one.place.startswith("file:")
    assert one.place != two.place
    (tmp_path / "one").rename(tmp_path / "moved")
    assert opened(tmp_path / "moved").place == one.place


def test_processes_that_race_for_the_place_agree(tmp_path: Path) -> None:
    """Several processes that use a new folder at once all name the same place."""
    code = (
        "import sys; from pathlib import Path; from rotator.clocks import SystemIds;"
        "from rotator.escrow.file import FileEscrow; sys.stdin.readline();"
        "print(FileEscrow(Path(sys.argv[1]), SystemIds()).place)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "new" / "escrow")]
    racers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    places = {racer.communicate("go\n", timeout=60)[0] for racer in racers}
    assert len(places) == 1
    assert places.pop().startswith("file:")


def test_the_first_of_two_offers_wins(folder: Path) -> None:
    """A process that finds the place taken while it makes its own offer takes the one that is there."""
    first = opened(folder)

    class LateIds(SequentialIds):
        def new_id(self) -> str:
            assert first.place
            return super().new_id()

    late = FileEscrow(folder, LateIds(series=999))
    assert late.place == first.place
    assert files(folder) == ["place"]


def test_a_place_without_an_id_is_corrupt(folder: Path) -> None:
    """A place file that holds no id is EscrowCorrupt naming it; another id in its stead would hide what waits."""
    folder.mkdir(parents=True)
    (folder / "place").write_bytes(b"\0" * 37)
    with pytest.raises(EscrowCorrupt, match=str(folder / "place")):
        _ = opened(folder).place


@pytest.mark.parametrize("instead", ["nothing", "another"])
def test_a_folder_that_vanished_is_not_an_empty_one(tmp_path: Path, folder: Path, instead: str) -> None:
    """Once a process named its place, a missing or replaced folder is unavailable, never one where nothing waits."""
    escrow = opened(folder)
    assert escrow.place
    assert escrow.waiting(RECORD) == ()
    folder.rename(tmp_path / "unmounted")
    if instead == "another":
        assert opened(folder).place
    for verb in (lambda: escrow.waiting(RECORD), escrow.all_waiting):
        with pytest.raises(EscrowUnavailable, match="not the folder"):
            verb()


def test_a_folder_that_vanished_still_takes_entries(tmp_path: Path, folder: Path) -> None:
    """`keep` makes a removed folder anew, and what it keeps there is found: received tokens matter most."""
    escrow = opened(folder)
    assert escrow.place
    folder.rename(tmp_path / "unmounted")
    escrow.keep(ENTRY, writer())
    assert escrow.waiting(RECORD) == opened(folder).waiting(RECORD) == (ENTRY,)


def test_threads_that_share_an_instance_agree_on_the_place(folder: Path) -> None:
    """Threads that use a new folder through one instance at once get the same place."""
    escrow, places = opened(folder), []
    threads = [threading.Thread(target=lambda: places.append(escrow.place)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(places) == 8
    assert len(set(places)) == 1


@pytest.mark.parametrize(
    ("number", "hint"),
    [(errno.EROFS, "writable"), (errno.EACCES, "let"), (errno.EDQUOT, "quota"), (errno.EPERM, "hard links"), (99, "")],
)
def test_what_the_system_refuses_comes_with_a_hint(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, hint: str
) -> None:
    """A refusal of the system is EscrowUnavailable with its reason and what to do."""
    # Injected: the tests may run as root, whom no permission and no quota binds.
    monkeypatch.setattr(os, "open", lambda *_, **__: (_ for _ in ()).throw(OSError(number, os.strerror(number))))
    folder.mkdir(parents=True)
    with pytest.raises(EscrowUnavailable, match=str(folder)) as caught:
        opened(folder).prove_writable()
    assert os.strerror(number) in caught.value.message
    assert hint in caught.value.hint
