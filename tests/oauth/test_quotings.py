"""Promise 7: a provider that quotes the request in its error brings none of it into any text, however it quotes."""

from __future__ import annotations

import json
import re
from urllib.parse import quote, quote_plus

import pytest

from rotator.answers import classify
from rotator.http_messages import HttpReply
from rotator.model import Provider, RefreshRequest
from rotator.redact import Secret
from rotator.testing.memory import EPOCH

TOKEN = "v1.MRjQkL8fZbXy+2nWqTcHs9dGvEo3/uKiPa7xYzQw=="

QUOTED = {
    "as it is": TOKEN,
    "percent-encoded": quote(TOKEN, safe=""),
    "form-encoded twice": quote_plus(quote_plus(TOKEN)),
    "percent-encoded in small letters, as ASP.NET does": re.sub(
        "%..", lambda one: one[0].lower(), quote(TOKEN, safe="")
    ),
    "JSON in a JSON text, as System.Text.Json escapes it": TOKEN.replace("+", "\\u002B"),
    "JSON in a JSON text, as PHP escapes it": TOKEN.replace("/", "\\/"),
    "HTML entities": TOKEN.replace("=", "&#x3D;").replace("+", "&#43;").replace("/", "&#x2F;"),
    "without its padding": TOKEN.rstrip("="),
    "its beginning": f"{TOKEN[:24]}...",
    "its end": f"...{TOKEN[-20:]}",
    "in the middle of a word": f"token:{TOKEN}:end",
}


@pytest.mark.parametrize("status", [400, 401, 503])
@pytest.mark.parametrize("member", ["error", "error_description"])
@pytest.mark.parametrize("how", QUOTED)
def test_an_error_does_not_show_a_token_however_the_provider_quotes_it(how: str, member: str, status: int) -> None:
    """`invalid_request` leaves the token alive, and its description goes to log, audit event and record."""
    body = json.dumps({"error": "invalid_request", member: f"cannot use {QUOTED[how]}"}).encode()
    request = RefreshRequest(
        provider=Provider("acme", "generic", "https://id.example/token"),
        refresh_token=Secret(TOKEN),
        client_id="client",
        client_secret=Secret("client-secret-1234567890"),
    )

    shown = str(classify(HttpReply(status, (), body, True, EPOCH, EPOCH), request, EPOCH))

    assert not [piece for piece in (TOKEN[at : at + 8] for at in range(len(TOKEN) - 7)) if piece in shown]
