"""An authorization server on loopback that rotates refresh tokens as strictly as the real ones, and fails on request.

It is the provider of `rotator demo` and of the tests:

    with SandboxServer([auth0_face(lifetime_s=60)]) as server:
        face = server.face("auth0")
        tokens = face.login(DEFAULT_CLIENT_ID)
        face.fault("drop_after_processing")
        ...  # a client refreshes at face.token_endpoint and loses the answer
        assert face.report.replies_lost_after_processing == 1
        assert face.live_refresh_token(1) != Secret(tokens["refresh_token"])

`settings` says how a tenant behaves, `faults` what can go wrong, `report` what is counted, `families` when a refresh
token is good. Needs Authlib (`pip install rotator[sandbox]`).
"""

from __future__ import annotations

from rotator.testing.sandbox.clients import Client
from rotator.testing.sandbox.face import Face
from rotator.testing.sandbox.faults import FAULT_KINDS, Fault, Injection
from rotator.testing.sandbox.report import Report
from rotator.testing.sandbox.server import SandboxServer
from rotator.testing.sandbox.settings import (
    DEFAULT_CLIENT_ID,
    DEFAULT_CLIENT_SECRET,
    FaceSettings,
    auth0_face,
    dailypay_face,
)

__all__ = [
    "DEFAULT_CLIENT_ID",
    "DEFAULT_CLIENT_SECRET",
    "FAULT_KINDS",
    "Client",
    "Face",
    "FaceSettings",
    "Fault",
    "Injection",
    "Report",
    "SandboxServer",
    "auth0_face",
    "dailypay_face",
]
