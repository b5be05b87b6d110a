"""`python -m tests.benchmarks.stubs KIND`: serve until standard input ends."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys

from tests.benchmarks.stubs.dynamodb import DynamoDb
from tests.benchmarks.stubs.secrets_manager import SecretsManager
from tests.benchmarks.stubs.server import Server
from tests.benchmarks.stubs.token_endpoint import TokenEndpoint
from tests.benchmarks.stubs.vault import Vault

KINDS = {
    "secrets_manager": SecretsManager,
    "dynamodb": DynamoDb,
    "vault": Vault,
    "token_endpoint": TokenEndpoint,
}


async def _serve(kind: str) -> None:
    ends = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ends.set)  # nothing is ever written to it: it ends
    await Server(KINDS[kind]()).serve(ends)


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.stubs", description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--cores", default="", help="where it may run")
    options = parser.parse_args()
    if options.cores:
        os.sched_setaffinity(0, map(int, options.cores.split(",")))
    gc.disable()  # nothing here makes cycles, and a walk over 100,000 documents would be seen in the client's times
    asyncio.run(_serve(options.kind))


if __name__ == "__main__":
    main()
