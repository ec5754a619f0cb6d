"""`python -m buildwright`: the same as the console script."""

from buildwright.cli.entry import entry

if __name__ == "__main__":
    entry()
