"""The command line. `main` is the entry point; the commands are imported with it, their SDKs only on use."""

from __future__ import annotations

import sys

from rotator.collecting import paused


def main() -> None:
    """Run `rotator` and exit with its code."""
    try:
        with paused():
            from rotator.cli.commands import run  # noqa: PLC0415 - so that a missing extra gets a clear answer
            from rotator.cli.context import flush  # noqa: PLC0415 - likewise
    except ModuleNotFoundError as error:
        if error.name not in {"click", "rich"}:
            raise
        sys.stderr.write(f"rotator: {error.name} is not installed: pip install 'rotator[cli]'\n")
        sys.exit(2)
    code = run(sys.argv[1:])
    flush()
    sys.exit(code)
