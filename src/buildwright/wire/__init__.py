"""Bytes and calls: byte streams, gRPC in both roles on any of them, fsutil packets, generated messages.

Imports `errors` and `model` only. Used by `kube`, `drivers` (streams) and `client` (calls).
"""
