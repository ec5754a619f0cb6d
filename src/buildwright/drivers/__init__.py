"""Drivers: each makes, finds and removes the daemons of one node and yields byte streams to their BuildKit API.

May import `errors`, `model`, `wire` and `kube`. Used by `builders` and `build`.
"""
