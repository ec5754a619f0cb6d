"""Byte streams for tests: a pair joined in memory."""

from __future__ import annotations

from buildwright.wire.memory import MemoryStream, memory_pair

__all__ = ["MemoryStream", "memory_pair"]
