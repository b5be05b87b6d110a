"""Servers on loopback that answer faster than the client asks, each in a process of its own."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Kind = Literal["secrets_manager", "dynamodb", "vault", "token_endpoint"]

LOOPBACK = "127.0.0.1"
NUMBER = "XNUMBERX"
"""Stands in a template for the item's number, six digits long."""

HASH = "XHASHX"
"""Stands in a template for eight hex digits that follow from the number, and are spread evenly as those of digests."""

ANSWERS_WITHIN_S = 600.0
"""A stub makes a hundred thousand items in some seconds, and answers nothing meanwhile."""


def filled(template: str, number: int) -> str:
    """Return a template with an item's number in it."""
    hashed = hashlib.blake2b(str(number).encode(), digest_size=4).hexdigest()
    return template.replace(NUMBER, f"{number:06d}").replace(HASH, hashed)


@dataclass(frozen=True, slots=True)
class Stub:
    """A running stub, and how to steer it."""

    port: int

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{LOOPBACK}:{self.port}"

    def seed(self, template: Mapping[str, Any], *, count: int = 1, first: int = 0) -> None:
        """Let it make `count` items of a template (`filled`)."""
        self._control("seed", {"template": json.dumps(template), "count": count, "first": first})

    def delay(self, seconds: float) -> None:
        """Let every later call take so much longer."""
        self._control("delay", {"seconds": seconds})

    def stats(self) -> dict[str, Any]:
        """Return `calls` (by operation, since the start), `cpu_s` and `failures` of the stub."""
        return self._control("stats", {})

    def calls(self) -> dict[str, int]:
        """Return how often each operation was called since the start."""
        calls: dict[str, int] = self.stats()["calls"]
        return calls

    def _control(self, verb: str, body: Mapping[str, Any]) -> dict[str, Any]:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=ANSWERS_WITHIN_S)
        with contextlib.closing(connection):
            connection.request("POST", f"/_{verb}", json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
        if answer.status != http.client.OK:
            raise AssertionError(f"{verb}: {answer.status} {text[:200]!r}")
        found: dict[str, Any] = json.loads(text)
        return found


@contextlib.contextmanager
def stub(kind: Kind, *, cores: tuple[int, ...] = ()) -> Iterator[Stub]:
    """Run a stub for the length of the block; it ends with its standard input, also when this process is killed.

    Args:
        cores: Where it may run; anywhere if empty.
    """
    command = [sys.executable, "-m", "tests.benchmarks.stubs", kind, "--cores", ",".join(map(str, cores))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield Stub(int(process.stdout.readline()))  # type: ignore[union-attr]  # it is a pipe
    finally:
        process.stdin.close()  # type: ignore[union-attr]  # likewise
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]  # likewise
