"""State stores: small records under compare-and-swap (`rotator.ports.StateStore`)."""
