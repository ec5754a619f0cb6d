"""The cluster: its configuration, its API, and a pod's exec stream as a ByteStream.

Imports `errors`, `model` and `wire`. Used by `drivers.kubernetes`. lightkube, httpx and websockets are imported
when a cluster is first spoken to, never before.
"""
