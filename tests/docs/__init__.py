"""What holds for README and docs/, and the generator of docs/reference."""
