"""The token endpoint's libraries: loaded before the first claim, and not before a request is at hand."""

from __future__ import annotations

import json
import subprocess
import sys

CODE = """
import json, sys
from rotator.late_endpoint import LateEndpoint
from rotator.clocks import SystemClock, SystemIds
from rotator.model import Provider

dear = {"httpcore", "jwt", "ssl"}
endpoint = LateEndpoint(SystemClock(), SystemIds())
found = [sorted(dear & sys.modules.keys())]
for auth in ("client_secret_post", "private_key_jwt"):
    provider = Provider("acme", "generic", "https://id.example/oauth2/token", client_auth=auth)
    endpoint.warm_up(provider)
    found.append(sorted(dear & sys.modules.keys()))
print(json.dumps(found))
"""


def test_warming_up_loads_what_the_request_needs() -> None:
    """The app loads nothing, the first request the HTTP client, and only one that is signed what signs."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == [[], ["httpcore", "ssl"], ["httpcore", "jwt", "ssl"]]
