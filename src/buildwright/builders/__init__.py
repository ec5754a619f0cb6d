"""Builders: the store that is shared with buildx, the current builder, and a record's way to its driver."""
