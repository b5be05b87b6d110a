"""The contract of the ports as pytest suites, for every adapter, a plug-in's included.

    import pytest

    pytest.register_assert_rewrite("rotator.testing")  # in conftest.py, before the import below: better messages

    from rotator.testing.contracts import SecretStoreContract, SecretStoreHarness

    class Harness(SecretStoreHarness):
        def __init__(self) -> None:
            self.store = MyStore(...)
        ...                                # raw access that bypasses the store under test

    class TestMyStore(SecretStoreContract):
        refusal_supported = "the backend has no size limit"

        @pytest.fixture
        def harness(self) -> Harness:
            return Harness()

What a backend cannot show is switched off by name: an attribute that ends in `_supported` is True or the reason why
not, which pytest then reports as the reason of the skip.

The suites: `SecretStoreContract`, `StateStoreContract`, `EscrowContract`, each with the harness it asks for.
"""

from __future__ import annotations

from rotator.testing.contract_parts import Support, need, race, shown
from rotator.testing.escrow_contract import EscrowContract
from rotator.testing.harnesses import EscrowHarness, SecretStoreHarness, StateStoreHarness
from rotator.testing.secret_store_contract import SecretStoreContract
from rotator.testing.state_store_contract import StateStoreContract

__all__ = [
    "EscrowContract",
    "EscrowHarness",
    "SecretStoreContract",
    "SecretStoreHarness",
    "StateStoreContract",
    "StateStoreHarness",
    "Support",
    "need",
    "race",
    "shown",
]
