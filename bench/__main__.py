"""`python -m bench`: run the comparisons, interleaved, and print medians and ratios.

--only NAME...   some of: files large cached pod-files pod-large pod-ready pod-cached pod-death rings help import
--runs N         runs of each program (default: 5 for transfers, more for short ones)
--quick          one run of each, after a warm-up: to see that all of it works
--write          put the table into bench/results.md too
--profile        say where the time of a cached build goes

Exits with 1 when a comparison failed or a limit is exceeded.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import cases, peers, profile, rings, table
from bench.cases import Case
from bench.measure import Cost, RunError, run

FLEET = ("pod-ready", "pod-cached", "pod-death")
NAMES = ("help", "import", "cached", "files", "large", "pod-files", "pod-large", *FLEET, "rings")
SECONDS = 1800
"""No comparison starts after this."""


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rows: list[table.Row] = []
    failed = False
    begin = time.monotonic()
    with ExitStack() as stack:
        if options.profile:
            place = stack.enter_context(peers.workshop())
            daemon = stack.enter_context(peers.buildkitd(place))
            print(profile.cached_build(cases.cached_case(place, daemon)))
            return 0
        for case in chosen(stack, options.only):
            if time.monotonic() - begin > SECONDS:
                print(f"stopped after {SECONDS} s; left out: {case.name} and what follows it", file=sys.stderr)
                break
            try:
                rows += table.rows(case, measure(case, 1 if options.quick else options.runs or case.runs))
            except (RunError, AssertionError) as error:
                failed = True
                print(f"{case.name}: {error}", file=sys.stderr)
    text = table.render(rows) if rows else ""
    if "rings" in options.only:
        shares, even = rings.compared()
        text += ("\n\n" if text else "") + shares
        failed |= not even
    print(text)
    failed |= any(row.within is False for row in rows)
    if options.write:
        Path(__file__).with_name("results.md").write_text(f"{table.HEADER}\n{machine()}\n\n{text}\n")
    return 1 if failed else 0


def chosen(stack: ExitStack, names: Sequence[str]) -> Iterator[Case]:
    """The wanted cases; what they need is brought up just before, the cluster last."""
    place = stack.enter_context(peers.workshop())

    def wanted(found: list[Case]) -> Iterator[Case]:
        return (case for case in found if case.name in names)

    yield from wanted(cases.start_cases(place))
    if {"cached", "files", "large"} & set(names):
        daemon = stack.enter_context(peers.buildkitd(place))
        yield from wanted([cases.cached_case(place, daemon), *cases.daemon_cases(place, daemon)])
    if {"pod-files", "pod-large"} & set(names):
        yield from wanted(cases.pod_cases(place, stack.enter_context(peers.pod(place))))
    if set(FLEET) & set(names):
        yield from wanted(cases.fleet_cases(place, stack.enter_context(peers.fleet(place))))


def measure(case: Case, runs: int) -> dict[str, list[Cost]]:
    """Every program in turn, each round starting with another one, after one run of each that does not count."""
    env = cases.compiled(case.env)
    names = list(case.programs)
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    for turn in range(-1, runs):
        at = turn % len(names)
        for name in names[at:] + names[:at]:
            say(f"{case.title}: {'warm-up' if turn < 0 else f'run {turn + 1} of {runs}'}, {name}")
            case.before()
            cost = (case.act or run)(case.programs[name], env)
            try:
                case.after()
            except AssertionError as error:
                raise RunError(f"after {name}: {error}") from error
            if turn >= 0:
                costs[name].append(cost)
    say("")
    return costs


def say(text: str) -> None:
    """What goes on, on a terminal only: one line that the next one replaces."""
    if sys.stderr.isatty():
        print(f"\r{text:70}\r", end="", file=sys.stderr, flush=True)


def machine() -> str:
    processors = len(os.sched_getaffinity(0))
    return f"{platform.system()} {platform.release()}, {processors} processors, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
