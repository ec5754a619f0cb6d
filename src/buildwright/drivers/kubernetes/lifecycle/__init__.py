"""Making a node's objects, changing them, removing them, and collecting what is left behind."""
