"""The way of a node's pods to readiness: what is told of it, and when waiting is in vain."""
