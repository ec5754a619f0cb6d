"""Kubernetes: cluster configuration, API access, and a pod's exec stream as a byte stream."""
