"""Stores, states and escrows behind a tracer keep their contracts."""

from __future__ import annotations

import pytest

from rotator.clocks import SystemClock
from rotator.testing.contracts import EscrowContract, SecretStoreContract, StateStoreContract
from rotator.traced import TracedEscrow, TracedState, TracedStore
from tests.adapters.test_memory import EscrowInMemory, SecretsInMemory, StateInMemory
from tests.app.collectors import Memory


class TestTracedSecretStore(SecretStoreContract):
    @pytest.fixture
    def harness(self) -> SecretsInMemory:
        made = SecretsInMemory()
        made.store = TracedStore(made.memory, Memory(SystemClock()).traces)  # type: ignore[assignment]
        return made


class TestTracedStateStore(StateStoreContract):
    @pytest.fixture
    def harness(self) -> StateInMemory:
        made = StateInMemory()
        made.store = TracedState(made.memory, Memory(SystemClock()).traces)  # type: ignore[assignment]
        return made


class TestTracedEscrow(EscrowContract):
    @pytest.fixture(params=[False, True], ids=["private", "shared"])
    def harness(self, request: pytest.FixtureRequest) -> EscrowInMemory:
        made = EscrowInMemory(shared=request.param)
        made.escrow = TracedEscrow(made.escrow, Memory(SystemClock()).traces)  # type: ignore[assignment]
        return made
