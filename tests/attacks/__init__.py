"""Attacks on the promises, by clocks, outages, deaths, copies and mixed configurations: none of them succeeds."""
