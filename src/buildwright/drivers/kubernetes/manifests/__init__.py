"""A node's objects as they shall be: pure functions of its options."""
