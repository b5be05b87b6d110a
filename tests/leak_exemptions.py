"""Where tests show a secret on purpose. One list, each entry with its reason; one that no test needs any more fails."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final


@dataclass(frozen=True, slots=True)
class Exemption:
    """Tests (a pattern of their ids, parameters left out) may show a secret in a place (a pattern, too), and why.

    Args:
        always: Whether every whole run needs it. A process's title is seen only while the process lives.
    """

    tests: str
    place: str
    why: str
    always: bool = True

    def covers(self, test: str, place: str) -> bool:
        """Return whether this place in this test is meant."""
        return fnmatchcase(test, self.tests) and fnmatchcase(place, self.place)


_KEY = "a key file: the one place where a seal key lies open"
_TYPED = "what a person hands to a command"

EXEMPTIONS: Final = (
    Exemption("*", "file *.key", _KEY),
    Exemption("tests/test_seal.py::*", "file *key", _KEY),
    Exemption("tests/test_seal.py::test_a_missing_key_file_is_made_for_its_owner_alone", "file other", _KEY),
    Exemption("tests/cli/test_put_and_token.py::*", "file answer.json", _TYPED),
    Exemption("tests/cli/test_debug_output.py::*", "file answer.json", _TYPED),
    Exemption("tests/cli/test_json.py::*", "file answer.json", _TYPED),
    Exemption("tests/faults/*::*", "file *answer.json", _TYPED),
    Exemption("tests/cli/test_main.py::test_no_output_shows_a_secret", "file canary.json", _TYPED),
    Exemption("tests/cli/test_put_and_token.py::*token*", "stdout", "rotator token prints the access token"),
    Exemption("tests/docs/test_steps.py::*", "output of a process", "some steps end with rotator token"),
    Exemption("tests/docs/test_*.py::*", "arguments", "the steps export the sandbox's client secret"),
    Exemption("tests/docs/test_*.py::*", "title of a process", "they are the shell's arguments", always=False),
    Exemption("tests/docs/test_extending.py::*", "file var/shelf.db", "the page's example seals nothing, and says so"),
    Exemption("tests/test_logs.py::*", "log", "libraries log secrets here, and the lines made of it hold none"),
    Exemption("tests/adapters/test_vault_*.py::*", "file token", "Vault's token file"),
    Exemption("tests/integration/test_costs.py::test_a_rotation_on_vault", "file token", "Vault's token file"),
    Exemption("tests/chaos/*::*", "file *naive/secrets.db", "the naive refresher's store, which seals nothing"),
    Exemption("tests/adapters/test_vault_session.py::*", "file sink", "Vault Agent's token file"),
)
