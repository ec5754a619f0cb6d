"""One road for every build: parse specs, load the context, plan, translate, open the session, run.

May import everything below it but not `cli` or `progress`. Used by the public API and by `cli`.
"""
