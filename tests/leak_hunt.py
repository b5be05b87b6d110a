"""The leak hunt: a pytest plugin that looks for secrets in all that the code under test says and leaves behind.

What is a secret needs no list: whatever is wrapped in `rotator.redact.Secret`, every seal key, and every text that
begins with one of `leak_forms.MARKS`. Where it looks, after each test: captured stdout and stderr, output of `capsys`
and of processes, their arguments and titles, log records, audit events, warnings, the text of every RotatorError ever
made and of whatever `pytest.raises` caught, names and contents of the files in `tmp_path` and in the system's folder
for temporary files (which is one of the session's own); after the session, all its folders. A finding fails the test,
or the session, and is told by place, form and digest.

Not looked at: the environment of processes, where secrets may be; what tests write to a process's stdin.
"""

from __future__ import annotations

import os
import stat
import tempfile
import threading
from collections import defaultdict, deque
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import leak_forms
from tests.leak_exemptions import EXEMPTIONS, Exemption
from tests.leak_listeners import listeners

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator

BUFFERED = 4000
"""So many texts are kept before they are looked through: simulated worlds make millions."""


class Hunt:
    """What was seen since the last look, and what is looked for."""

    def __init__(self) -> None:
        self.test = ""
        self.exemptions = EXEMPTIONS
        self.needed: set[Exemption] = set()
        self.met: set[Exemption] = set()
        """The exemptions of tests that passed."""
        self.new_secrets: set[str] = set()
        self._always = leak_forms.of_marks()
        self._of_module = leak_forms.Needles()
        self._seen: deque[tuple[str, str]] = deque()
        self._looking = threading.Lock()
        self._found: set[str] = set()
        self._looked_at: dict[str, tuple[int, int]] = {}

    # ------------------------------------------------------------------------------------------ what is seen

    def saw(self, place: str, text: str | bytes | None) -> None:
        """Remember a text that came out at a place. Thread-safe."""
        if not text:
            return
        self._seen.append((place, text if isinstance(text, str) else text.decode("latin-1")))
        if len(self._seen) > BUFFERED:
            self._look_through()

    def look_into(self, folder: Path) -> None:
        """Look through the names and contents of all files below the folder that changed since the last time."""
        for path, name in _files(folder):
            try:
                status = path.lstat()
                version = (status.st_mtime_ns, status.st_size)
                if not stat.S_ISREG(status.st_mode) or self._looked_at.get(str(path)) == version:
                    continue
                told = self.judged("name of a file", os.fsencode(name))
                self._found |= told | self.judged("file" if told else f"file {name}", path.read_bytes())
                self._looked_at[str(path)] = version
            except OSError:  # gone meanwhile, or made unreadable by a test
                continue

    # ------------------------------------------------------------------------------------------ what is found

    def findings(self) -> list[str]:
        """Look through what was seen; return what was found since the last call."""
        self._look_through()
        found, self._found = sorted(self._found), set()
        return found

    def passed(self) -> None:
        """The test passed: the exemptions made for it had their chance to be needed."""
        self.met |= {entry for entry in self.exemptions if fnmatchcase(self.test, entry.tests)}

    def forget_secrets(self) -> None:
        """A module's tests are over; the next one's secrets are others, and may be this one's ordinary words."""
        self._of_module = leak_forms.Needles()
        self.new_secrets.clear()

    def _look_through(self) -> None:
        texts: defaultdict[str, dict[str, None]] = defaultdict(dict)  # each text once, in order
        with self._looking:
            while self._seen:
                place, text = self._seen.popleft()
                texts[place][text] = None
            for place, those in texts.items():
                self._found |= self.judged(place, "\n".join(those).encode("utf-8", "surrogatepass"))

    def keep_secrets(self) -> None:
        """What was made while the tests were collected belongs to all of them."""
        self._learn(self._always)

    def _learn(self, needles: leak_forms.Needles) -> None:
        while self.new_secrets:
            for core in leak_forms.cores(self.new_secrets.pop()):
                needles.add(core, leak_forms.named(core))

    def judged(self, place: str, content: bytes) -> set[str]:
        """Return what is found in the content of a place, but for what is exempt there."""
        self._learn(self._of_module)
        found = self._always.find(content) | self._of_module.find(content)
        if not place.startswith(("file", "name")):
            found |= leak_forms.short_tokens(content)
        exempt = {entry for entry in self.exemptions if entry.covers(self.test, place)}
        if found and exempt:
            self.needed |= exempt
            return set()
        return {f"{place}: {name}, {form}" for name, form in found}


HUNT = Hunt()


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            yield path, str(path.relative_to(folder))


# ------------------------------------------------------------------------------------------------ the hooks


def pytest_configure(config: pytest.Config) -> None:
    """Begin to listen."""
    patches = pytest.MonkeyPatch()
    for owner, name, replacement in listeners(HUNT):
        patches.setattr(owner, name, replacement, raising=False)
    config.add_cleanup(patches.undo)


def pytest_collection_finish() -> None:
    """Keep the secrets that stand in the modules."""
    HUNT.keep_secrets()


@pytest.fixture(scope="session", autouse=True)
def _own_temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    """Temporary files that no test asked for go to a folder of the session's, where they are looked at."""
    with pytest.MonkeyPatch.context() as patches:
        folder = tmp_path_factory.mktemp("system", numbered=False)
        patches.setenv("TMPDIR", str(folder))
        patches.setattr(tempfile, "tempdir", None)
        yield folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """Know whose output it is."""
    HUNT.test = item.nodeid.partition("[")[0]
    try:
        return (yield)
    finally:
        if nextitem is None or nextitem.path != item.path:
            HUNT.forget_secrets()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test whose secrets came out."""
    report = yield
    if call.when == "call" and report.passed:
        HUNT.passed()
    if call.when != "teardown":
        return report
    for _, kind, text in item._report_sections:  # of setup, call and teardown
        HUNT.saw(kind, text)
    arguments = getattr(item, "funcargs", {})
    for name in ("tmp_path", "_own_temporary_files"):
        if name in arguments:
            HUNT.look_into(arguments[name])
    if found := HUNT.findings():
        report.outcome = "failed"
        report.sections = []  # what was captured holds the secret
        report.longrepr = "\n".join(["the leak hunt found a secret:", *found, *filter(None, [report.longreprtext])])
    return report


@dataclass
class Results:
    """What the processes of a session found."""

    lines: list[str] = field(default_factory=list)
    needed: set[Exemption] = field(default_factory=set)
    met: set[Exemption] = field(default_factory=set)

    def add(self, lines: list[str], needed: Collection[int], met: Collection[int]) -> None:
        """Take over what one process found; it names exemptions by their numbers."""
        self.lines += lines
        self.needed |= {HUNT.exemptions[number] for number in needed}
        self.met |= {HUNT.exemptions[number] for number in met}

    def needless(self) -> list[str]:
        """Return the exemptions whose tests passed without them."""
        return [
            f"an exemption that no test needs: {entry.tests}, {entry.place}"
            for entry in self.met - self.needed
            if entry.always
        ]


RESULTS = Results()


def pytest_warning_recorded(warning_message: Any) -> None:
    """Warnings are output, too; pytest hands them over when the test's report is already made."""
    RESULTS.lines += HUNT.judged(f"warning in {HUNT.test}", str(warning_message.message).encode())


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Look at what no single test owns; a worker hands everything to the controller."""
    config = session.config
    HUNT.test = "the session"
    base = config._tmp_path_factory._basetemp  # type: ignore[attr-defined]
    if base is not None and not config.pluginmanager.has_plugin("dsession"):  # a controller's holds its workers'
        HUNT.look_into(base)
    numbers = [[HUNT.exemptions.index(entry) for entry in entries] for entries in (HUNT.needed, HUNT.met)]
    if hasattr(config, "workeroutput"):
        config.workeroutput["leak_hunt"] = (RESULTS.lines + HUNT.findings(), *numbers)
        return
    RESULTS.add(HUNT.findings(), *numbers)
    if _everything_ran(session):
        RESULTS.lines += RESULTS.needless()
    if RESULTS.lines:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _everything_ran(session: pytest.Session) -> bool:
    """Whether no test was left out by a choice of this run: another one might need an exemption."""
    option = session.config.option
    chosen = option.keyword or option.markexpr or option.deselect or getattr(option, "lf", False)
    whole = session.config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return whole and not chosen and session.exitstatus == pytest.ExitCode.OK


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker found."""
    results = getattr(node, "workeroutput", {}).get("leak_hunt")
    if results:
        RESULTS.add(*results)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Tell what no test can be blamed for."""
    if RESULTS.lines:
        terminalreporter.section("leak hunt", red=True)
        for line in RESULTS.lines:
            terminalreporter.line(line)
