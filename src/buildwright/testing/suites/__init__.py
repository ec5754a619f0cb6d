"""One conformance suite per seam, to be run on every implementation.

A suite is a class of tests with a hook that makes what is tested. Subclass it in a test module under a name that
pytest collects, and implement the hook. Needs `pytest`.
"""
