"""An explicit-state model of the procedure: every interleaving of a few replicas, within small bounds."""
