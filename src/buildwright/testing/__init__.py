"""Doubles that ship with the library: memory streams, and one conformance suite per seam."""
