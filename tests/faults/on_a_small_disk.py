"""Runs `rotator once` on a disk that fills up or becomes read-only; run by test_full_disk.py as a program.

`python -m tests.faults.on_a_small_disk DISK TROUBLE:PARTS ELSEWHERE`, where DISK is a small tmpfs of its own, PARTS lie
on it and the others do not. Prints one JSON object: what each command left, and what the provider saw.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from rotator import wiring
from rotator.cli import commands
from rotator.testing.memory import VirtualClock
from rotator.testing.sandbox import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, SandboxServer, auth0_face
from rotator.token_endpoint import HttpTokenEndpoint

if TYPE_CHECKING:
    from collections.abc import Callable


def configuration(folder: Path, elsewhere: Path, endpoint: str, on_disk: set[str]) -> dict[str, Any]:
    def place(part: str, name: str) -> str:
        return str((folder if part in on_disk else elsewhere) / name)

    return {
        "version": 1,
        "stores": {"main": {"type": "local", "path": place("store", "secrets.db")}},
        "state": {"type": "local", "path": place("state", "state.db")},
        "escrow": {"type": "file", "path": place("escrow", "escrow")},
        "audit": [{"type": "jsonl", "path": place("audit", "audit.jsonl")}],
        "providers": {"acme": {"profile": "generic", "token_endpoint": endpoint, "timeout": "2s"}},
        "credentials": [
            {
                "name": "alpha",
                "provider": "acme",
                "client_id": DEFAULT_CLIENT_ID,
                "client_secret": {"env": "CLIENT_SECRET"},
            }
        ],
    }


def fill(folder: Path) -> None:
    """Take every byte that is left."""
    for size in (4096, 1):
        with contextlib.suppress(OSError), (folder / "filler").open("ab", buffering=0) as filler:
            while True:
                filler.write(bytes(size))
    audit = folder / "audit.jsonl"
    if audit.exists():  # the rest of its last page is room, too
        with audit.open("ab") as file:
            file.write(b"\n" * (-audit.stat().st_size % 4096))
    try:
        (folder / "one-more").write_bytes(b"x")
    except OSError as error:
        assert error.errno == errno.ENOSPC  # noqa: PT017 - it must fail
    else:
        raise AssertionError("the disk still takes a file")


def free(folder: Path) -> None:
    (folder / "filler").unlink()
    (folder / "one-more").unlink(missing_ok=True)


def remount(folder: Path, how: str) -> None:
    # The audit file of a command that ended stays open: here its process lives on, and would hold the disk writable.
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if link.readlink().is_relative_to(folder):
                os.close(int(link.name))
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


def main() -> None:
    folder, scenario = Path(sys.argv[1]), sys.argv[2]
    elsewhere = Path(sys.argv[3])
    trouble, _, parts = scenario.partition(":")
    on_disk = set(parts.split(","))
    clock = VirtualClock()
    wiring.SystemClock = lambda: clock  # type: ignore[assignment,misc]
    os.environ["CLIENT_SECRET"] = DEFAULT_CLIENT_SECRET
    steps: list[dict[str, Any]] = []
    with SandboxServer([auth0_face(lifetime_s=3600)], clock=clock) as server:
        face = server.face("auth0")
        config = elsewhere / "rotator.yaml"
        config.write_text(yaml.safe_dump(configuration(folder, elsewhere, face.token_endpoint, on_disk)))

        def run(*arguments: str) -> None:
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = commands.run(["-c", str(config), *arguments])
            steps.append({"code": code, "out": out.getvalue(), "err": err.getvalue(), "sent": face.report.requests})

        answer = face.login(DEFAULT_CLIENT_ID)
        (elsewhere / "answer.json").write_text(json.dumps(answer))
        run("put", "alpha", str(elsewhere / "answer.json"))
        run("once", "--force")
        clock.advance(1000)
        {"full": fill, "read-only": lambda at: remount(at, "ro"), "full meanwhile": filling_meanwhile}[trouble](folder)
        run("once", "--force")
        remount(folder, "rw") if trouble == "read-only" else free(folder)
        clock.advance(70)
        run("once", "--force")
        clock.advance(1000)
        run("once", "--force")
        run("escrow", "list")
        shutil.copytree(folder, elsewhere / "disk")  # the mount ends with this process; the leak hunt looks here
        report = face.report
        print(json.dumps({"steps": steps, "reused": report.reuse_detections, "lost": report.families_revoked}))  # noqa: T201 - read by the test


def filling_meanwhile(folder: Path) -> None:
    """Fill the disk while the next request is under way."""
    real: Callable[..., Any] = HttpTokenEndpoint.refresh

    def refresh(self: HttpTokenEndpoint, *args: Any, **kwargs: Any) -> Any:
        answer = real(self, *args, **kwargs)
        if not (folder / "filler").exists():
            HttpTokenEndpoint.refresh = real  # type: ignore[method-assign]
            fill(folder)
        return answer

    HttpTokenEndpoint.refresh = refresh  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
