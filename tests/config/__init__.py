"""Tests of the configuration and of the provider profiles."""
