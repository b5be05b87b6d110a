"""The contract of the ports as pytest suites, for every adapter, a plug-in's included.

    import pytest

    pytest.register_assert_rewrite("rotator.testing")  # in conftest.py, before the import below: better messages

    from rotator.testing.contracts import SecretStoreContract, SecretStoreHarness, cannot_show

    class Harness(SecretStoreHarness):
        def __init__(self) -> None:
            self.store = MyStore(...)
        ...                                # raw access that bypasses the store under test

        def refused_document(self) -> Document:
            cannot_show("the backend has no size limit")

    class TestMyStore(SecretStoreContract):
        empty_supported = "the backend takes no empty value"

        @pytest.fixture
        def harness(self) -> Harness:
            return Harness()

What a backend does not have is switched off by name: a suite's attribute that ends in `_supported` is True or the
reason why not. A step of the harness that the backend cannot show calls `cannot_show` with the reason. pytest reports
both as the reason of the skip.

The suites: `SecretStoreContract`, `StateStoreContract`, `EscrowContract`, `NotifierContract`, each with the harness it
asks for.
"""

from __future__ import annotations

from rotator.testing.contract_parts import Support, cannot_show, need, race, shown
from rotator.testing.escrow_contract import EscrowContract
from rotator.testing.harnesses import EscrowHarness, SecretStoreHarness, StateStoreHarness
from rotator.testing.notifier_contract import NotifierContract, NotifierHarness
from rotator.testing.secret_store_contract import SecretStoreContract
from rotator.testing.state_store_contract import StateStoreContract

__all__ = [
    "EscrowContract",
    "EscrowHarness",
    "NotifierContract",
    "NotifierHarness",
    "SecretStoreContract",
    "SecretStoreHarness",
    "StateStoreContract",
    "StateStoreHarness",
    "Support",
    "cannot_show",
    "need",
    "race",
    "shown",
]
