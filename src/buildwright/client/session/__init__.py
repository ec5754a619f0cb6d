"""The services that a daemon calls back during a solve, each given all it needs when made."""
