"""Numbers in Vault, which keeps them as the text that was sent."""

from __future__ import annotations

import json

import pytest

from rotator.model import Document, Malformed
from tests.fuzz.vault_answers import vault_secrets

METADATA = {"version": 1, "created_time": "2026-01-01T00:00:00Z", "deletion_time": "", "destroyed": False}


def read(number: str) -> Document | Malformed:
    """Read a document with this number in it through real hvac and requests."""
    found = json.dumps({"data": {"data": {"refresh_token": "rt-1", "deep": [{"n": "N"}]}, "metadata": METADATA}})
    body = found.replace('"N"', number).encode()
    return vault_secrets(body).read("payroll").content


@pytest.mark.parametrize("number", ["0.12345678901234567890123", "1e999", "-1e-999", "1.00000000000000000001"])
def test_a_document_with_a_number_that_would_lose_digits_is_not_touched(number: str) -> None:
    """Promise 3: an unknown field is written back with all its digits, or the document is refused, as in any store."""
    assert read(number) == Malformed("it holds a number that would not be written back as it is")


@pytest.mark.parametrize("number", ["0.5", "1e3", "123456789012345678901234567890", "-0.25", "1.50"])
def test_a_number_that_stays_what_it_is_does_no_harm(number: str) -> None:
    """What a double holds, and a whole number of any length, reads and writes as before."""
    content = read(number)
    assert isinstance(content, Document)
    assert content.fields["deep"][0]["n"] == json.loads(number)
