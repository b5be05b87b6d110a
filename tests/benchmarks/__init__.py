"""Benchmarks, each against its floor in the same run: `python -m tests.benchmarks --help`."""
