"""Escrows: where received tokens wait, sealed, until the store has them (`record`: in the state; `file`: in files)."""
