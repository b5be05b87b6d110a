"""`python -m rotator.testing.sandbox`: the sandbox in a process of its own, for a limited time.

Prints one JSON line when it listens: `{"url", "faces": {name: {"token_endpoint", "clients": [id]}}}`. The clients'
secret is `DEFAULT_CLIENT_SECRET`. Other processes drive it by `rotator.testing.sandbox.admin`. Where it cannot listen
it says so in one sentence, and the exit code is 2.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Final

from rotator.clocks import SystemClock
from rotator.testing.sandbox.server import SandboxServer
from rotator.testing.sandbox.settings import auth0_face, dailypay_face

if TYPE_CHECKING:
    from collections.abc import Sequence

FACES: Final = {"auth0": auth0_face, "dailypay": dailypay_face}


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until the time is up and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m rotator.testing.sandbox", description="sandbox server")
    parser.add_argument("--port", type=int, default=0, help="0, the default, picks a free one")
    parser.add_argument("--seconds", type=float, required=True, help="after which it stops by itself")
    parser.add_argument("--faces", nargs="+", choices=FACES, default=list(FACES), help="default: all")
    options = parser.parse_args(arguments)
    sandbox = SandboxServer([FACES[name]() for name in dict.fromkeys(options.faces)], port=options.port)
    try:
        sandbox.start()
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a port is 0 to 65535"
        sys.stderr.write(f"{parser.prog}: cannot listen at 127.0.0.1:{options.port}: {reason}\n")
        return 2
    try:
        faces = {
            name: {"token_endpoint": face.token_endpoint, "clients": list(face.settings.clients)}
            for name, face in sandbox.faces.items()
        }
        sys.stdout.write(json.dumps({"url": sandbox.url, "faces": faces}) + "\n")
        sys.stdout.flush()
        SystemClock().sleep(options.seconds)
    finally:
        sandbox.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
