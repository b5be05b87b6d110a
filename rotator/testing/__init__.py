"""For authors of plug-ins and for rotator's own tests: contract suites, in-memory adapters, a virtual clock."""
