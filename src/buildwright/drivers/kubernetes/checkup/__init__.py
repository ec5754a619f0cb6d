"""Examining a builder and its cluster: rights, Pod Security, storage, registries, clocks."""
