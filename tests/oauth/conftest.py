"""Servers and endpoints for the tests over real sockets."""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from scripted_server import ScriptedServer

from rotator.clocks import SystemClock, SystemIds
from rotator.token_endpoint import HttpTokenEndpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority that no system trusts."""
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> Callable[..., ssl.SSLContext]:
    """Make a server context with a certificate for some hosts."""

    def make(*hosts: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*hosts).configure_cert(context)
        return context

    return make


@pytest.fixture
def endpoint(authority: trustme.CA) -> HttpTokenEndpoint:
    """An endpoint that trusts the test authority, on the real clock."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return HttpTokenEndpoint(SystemClock(), SystemIds(), context)


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedServer]]:
    """Start scripted servers that end with the test."""
    with contextlib.ExitStack() as running:

        def start(script: Any, tls: ssl.SSLContext | None = None) -> ScriptedServer:
            return running.enter_context(ScriptedServer(script, tls))

        yield start
