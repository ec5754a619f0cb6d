"""Where the time of an all-cached build goes: the interpreter, imports, connecting, the solve, and the rest."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from bench.cases import OURS, Case, compiled
from bench.measure import run

RUNS = 11

# Runs inside the measured process. An import at the outermost level counts as import wherever it happens, so the
# other parts are without it.
PROBE = """
import sys, time
began = time.perf_counter()
import builtins, functools, json
spent = {"imports": 0.0, "connect": 0.0, "solve": 0.0}
depth = 0
load = builtins.__import__
def counted(*args, **kwargs):
    global depth
    depth += 1
    at = time.perf_counter()
    try:
        return load(*args, **kwargs)
    finally:
        depth -= 1
        if not depth:
            spent["imports"] += time.perf_counter() - at
builtins.__import__ = counted
import importlib
bare = importlib.import_module
def import_module(*args, **kwargs):
    global depth
    depth += 1
    at = time.perf_counter()
    try:
        return bare(*args, **kwargs)
    finally:
        depth -= 1
        if not depth:
            spent["imports"] += time.perf_counter() - at
importlib.import_module = import_module
def timed(owner, name, part):
    inner = getattr(owner, name)
    @functools.wraps(inner)
    async def outer(*args, **kwargs):
        at, before = time.perf_counter(), spent["imports"]
        try:
            return await inner(*args, **kwargs)
        finally:
            spent[part] += time.perf_counter() - at - (spent["imports"] - before)
    setattr(owner, name, outer)
from buildwright.drivers.remote import RemoteDriver
from buildwright.client.client import Client
from buildwright.wire.channel import Channel
timed(RemoteDriver, "start", "connect")
timed(RemoteDriver, "open", "connect")
timed(Channel, "__aenter__", "connect")
timed(Client, "solve", "solve")
from buildwright.cli.main import main
code = main(sys.argv[2:])
spent["rest"] = time.perf_counter() - began - sum(spent.values())
with open(sys.argv[1], "w") as file:
    json.dump(spent, file)
sys.exit(code)
"""


def cached_build(case: Case) -> str:
    """Medians in ms; the whole is the same build without the probe, so the parts need not add up to it exactly."""
    env = compiled(case.env)
    words = [str(word) for word in case.programs[OURS][1:]]
    result = f"{case.env['HOME']}/profile.json"
    whole, parts, bare = [], [], []
    run(case.programs[OURS], env)
    for _ in range(RUNS):
        whole.append(run(case.programs[OURS], env).wall)
        bare.append(run([sys.executable, "-c", "pass"], env).wall)
        run([sys.executable, "-c", PROBE, result, *words], env)
        with open(result) as file:
            parts.append(json.load(file))
    lines = [("interpreter", statistics.median(bare))]
    lines += [
        (name, statistics.median(part[name] for part in parts)) for name in ("imports", "connect", "solve", "rest")
    ]
    lines.append(("the whole build", statistics.median(whole)))
    listing = "\n".join(f"{name:16}{seconds * 1000:7.1f} ms" for name, seconds in lines)
    return f"{listing}\n\nLongest imports (self, us):\n{slowest_imports(env, words)}"


def slowest_imports(env: dict[str, str], words: list[str], count: int = 12) -> str:
    argv = [sys.executable, "-X", "importtime", "-m", "buildwright", *words]
    lines = (line.removeprefix("import time:").split("|") for line in _stderr(argv, env).splitlines() if "|" in line)
    found = [(int(fields[0]), fields[2].strip()) for fields in lines if fields[0].strip().isdigit()]
    return "\n".join(f"{micros:8}  {name}" for micros, name in sorted(found, reverse=True)[:count])


def _stderr(argv: list[str], env: dict[str, str]) -> str:
    return subprocess.run(
        argv, env=env, check=True, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ).stderr
