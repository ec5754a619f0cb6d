"""A pod while a build runs in it: its stream, its lease, and how its end is noticed and explained."""
