"""One road for every build: plan, translate, open the session, run, merge."""
