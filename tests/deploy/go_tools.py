"""Programs written in Go that check what is deployed: built from `deploy/tools`, where Go is present."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent.parent / "deploy" / "tools"
PACKAGES = {"helm": "helm.sh/helm/v3/cmd/helm", "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform"}
GO = (1, 26)
BUILD_S = 1200.0
"""Of the first build; Go keeps what it compiled."""


def tool(name: str) -> str:
    """Return the program's path; skips the test where it cannot be built."""
    path, reason = _built(name)
    if path is None:
        pytest.skip(reason)
    return path


@cache
def _built(name: str) -> tuple[str | None, str]:
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        return None, f"{name} is built with Go, which is not here"
    version = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, timeout=60, check=True).stdout
    found = tuple(int(part) for part in version.strip().removeprefix("go").split(".")[:2])
    if found < GO:
        return None, f"{name} is built with Go {GO[0]}.{GO[1]} or newer, and {version.strip()} is here"
    target = FOLDER.parent.parent / "build" / "tools" / name
    done = subprocess.run(
        [go, "build", "-mod=readonly", "-trimpath", "-o", str(target), PACKAGES[name]],
        cwd=FOLDER, capture_output=True, text=True, timeout=BUILD_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return str(target), ""
