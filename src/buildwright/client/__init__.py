"""Calls to a BuildKit daemon, and the session in which it calls back for files, secrets and credentials."""
