"""The recorded exchanges: what is read from `exchanges/*.yaml`, one value for each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).with_name("exchanges")

STANDARD = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Connection": "close",
    "Content-Type": "application/x-www-form-urlencoded",
}
"""The headers of every request; an exchange states what differs."""


@dataclass(frozen=True)
class Exchange:
    """One request and one reply.

    Args:
        said: What the file says of it; the file's own head where the exchange does not differ.
    """

    profile: str
    said: dict[str, Any]

    @property
    def id(self) -> str:
        """How the test is called."""
        return f"{self.profile}: {self.said['name']}"

    @property
    def path(self) -> str:
        """The path that the request goes to."""
        return urlsplit(self.said["endpoint"]).path

    @property
    def headers(self) -> dict[str, str]:
        """The headers that the request has, without those that differ from run to run."""
        return STANDARD | self.said.get("headers", {})

    @property
    def answer(self) -> str:
        """The class of the answer."""
        answer: str = self.said.get("answer", "Refreshed")
        return answer

    @property
    def reply(self) -> dict[str, Any]:
        """What the provider sends."""
        reply: dict[str, Any] = self.said["reply"]
        return reply

    def parameters_in(self, body: bytes) -> dict[str, str]:
        """Return the parameters of a request's body; none may stand in it twice."""
        if self.headers["Content-Type"] == "application/json":
            pairs = json.loads(body, object_pairs_hook=list)
        else:
            pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)


def recorded() -> Iterator[Exchange]:
    """Yield all of them, file by file."""
    for file in sorted(FOLDER.glob("*.yaml")):
        head = yaml.safe_load(file.read_text(encoding="utf-8"))
        for exchange in head.pop("exchanges"):
            yield Exchange(file.stem, head | exchange)
