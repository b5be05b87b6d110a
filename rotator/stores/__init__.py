"""Secret stores: where the credential documents live (`rotator.ports.SecretStore`)."""
