"""Deterministic simulation: several replicas of the real procedure over simulated ports, with faults at every call.

    python -m rotator.testing.sim --seeds 1000          # many worlds
    python -m rotator.testing.sim --replay 4711         # one of them again, with its trace

The seam is the ports and nothing else. Each replica is a greenlet; every port call is a point at which another one
may go on, the process may crash, the call may fail with or without its effect, a read may be stale, or time may pass.
All of it follows from the seed, so the same seed gives the same trace. `invariants` are the promises, written as code.
"""
