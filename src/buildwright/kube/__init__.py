"""The cluster: its configuration, its API, and a pod's exec stream as a ByteStream.

Imports `errors`, `model` and `wire`. Used by `drivers.kubernetes`. asyncio's streams are imported
when a cluster is first spoken to, lightkube's types when a pod template is checked.
"""
