"""A headless Chromium, spoken to over its debugging pipe (chromedevtools.github.io/devtools-protocol)."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ANSWER_WITHIN_S = 30.0
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
    "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip


@dataclass
class Page:
    """One tab.

    Args:
        requests: The addresses of all that it asked for.
        complaints: What its console, its scripts and its content policy complained of.
    """

    _pipe: Pipe
    _session: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def call(self, method: str, **params: Any) -> Any:
        return self._pipe.call(method, session=self._session, **params)

    def open(self, url: str) -> None:
        """Load a page; returns before it is complete."""
        self.call("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def size(self, width: int, height: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=True)

    def scheme(self, name: str) -> None:
        """Ask for `dark` or `light`."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def screenshot(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def take(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        match event["method"]:
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(params["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(params["exceptionDetails"]))


class Pipe:
    """Chromium's debugging pipe: JSON texts that end with a zero byte. For one thread."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader, self._writer = reader, writer
        self._ids = itertools.count(1)
        self._buffer = b""
        self.pages: dict[str, Page] = {}

    def call(self, method: str, *, session: str | None = None, **params: Any) -> Any:
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params}
        os.write(self._writer, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        ends = time.monotonic() + ANSWER_WITHIN_S
        while True:
            answer = self._next(ends)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            page = self.pages.get(answer.get("sessionId", ""))
            if page is not None and "method" in answer:
                page.take(answer)

    def _next(self, ends: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            waiting = select.poll()  # not `select`: a long run of tests has more descriptors open than that takes
            waiting.register(self._reader, select.POLLIN)
            assert waiting.poll(1000 * max(0.0, ends - time.monotonic())), "the browser does not answer"
            self._buffer += os.read(self._reader, 1 << 20)
        text, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(text)
        return found


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """Give a tab of a browser of its own; skips the test where there is none."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    to_browser, ours_out = os.pipe()
    ours_in, from_browser = os.pipe()

    # Chromium's pipe is its descriptors 3 and 4; to set them between fork and exec is not safe among threads.
    move = f"import os, sys; os.dup2({to_browser}, 3); os.dup2({from_browser}, 4); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-Sc", move, program, *FLAGS, f"--user-data-dir={folder / 'profile'}"],
        pass_fds=(to_browser, from_browser), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder)},
    )  # fmt: skip
    os.close(to_browser)
    os.close(from_browser)
    pipe = Pipe(ours_in, ours_out)
    try:
        target = pipe.call("Target.createTarget", url="about:blank")["targetId"]
        session = pipe.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = pipe.pages[session] = Page(pipe, session)
        for domain in ("Page", "Network", "Log", "Runtime"):
            page.call(f"{domain}.enable")
        yield page
    finally:
        process.kill()
        process.wait(10)
        os.close(ours_in)
        os.close(ours_out)
