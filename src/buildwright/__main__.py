"""`python -m buildwright`: the same as the console script."""

from buildwright.cli.main import entry

if __name__ == "__main__":
    entry()
