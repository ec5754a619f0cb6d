"""`doctor`: what stands between a builder and its builds, and the rights that it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildwright.cli.command import Command, Context
from buildwright.cli.flags import Flag, Kind, Values
from buildwright.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from buildwright.build.doctor import NodeReport
    from buildwright.model.node import Builder

_DRIVER = "Driver"
_BIND = (
    "nobody has this Role until its RoleBinding has subjects: write them into it, or, once it is applied, kubectl "
    "-n NAMESPACE set subject rolebinding buildwright-{role} --user=NAME (or --group=NAME, "
    "--serviceaccount=NAMESPACE:NAME)"
)
_WORDS = {"FAILED": "failed", "warning": "with a warning", "unknown": "unknown", "ok": "ok"}
"""The levels of findings, the worst first."""


async def run(values: Values, context: Context) -> int:
    form, role = values.string("format"), values.string("rbac")
    if form not in ("text", "json"):
        raise UsageError(f'flag --format: unknown format "{form}": choose text or json')
    if role not in ("", "user", "admin"):
        raise UsageError(f'flag --rbac: unknown role "{role}": choose user or admin')
    builder, planned = await _builder(values, context)
    if role:
        context.stdout.write(_roles(builder, role, planned=planned))
        context.stdout.flush()
        print(_BIND.format(role=role), file=context.stderr)
        return 0
    from buildwright.build.doctor import examine

    reports = await examine(builder, values.strings("registry"), context.environ, planned=planned)
    healthy = all(report.healthy for report in reports)
    if form == "json":
        _print_json(builder, reports, context, planned=planned)
    else:
        for line in _text(builder, reports, planned=planned):
            print(line, file=context.stdout)
    return 0 if healthy else 1


async def _builder(values: Values, context: Context) -> tuple[Builder, bool]:
    """The builder to examine, and whether it is one that is still to be made."""
    from buildwright.builders.open import supported
    from buildwright.builders.planned import planned
    from buildwright.builders.resolve import resolve

    name, options = values.arg() or values.string("builder"), values.strings("driver-opt")
    if options and (values.arg() or values.given("builder")):
        raise UsageError(
            "name a builder to examine it, or give --driver-opt to examine one that is still to be made, not both"
        )
    if not options:
        builder = await resolve(name, environ=context.environ, on_wait=context.warn)
        if name or supported(builder.driver):
            return builder, False
    return planned(options), True


def _roles(builder: Builder, role: str, *, planned: bool) -> str:
    from buildwright.builders.open import driver_for
    from buildwright.drivers.table import roles

    driver_for(builder, builder.nodes[0])
    return roles(builder.driver, builder.nodes, role, planned=planned)


def _text(builder: Builder, reports: Sequence[NodeReport], *, planned: bool) -> Iterator[str]:
    import sys
    import time

    from buildwright import __version__

    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    python = ".".join(map(str, sys.version_info[:3]))
    yield f"buildwright v{__version__}, Python {python} on {sys.platform}, {now}"
    yield "A builder that is still to be made" if planned else f"Builder {builder.name}, driver {builder.driver}"
    findings = [finding for report in reports for finding in report.findings]
    margin = max((len(finding.topic) for finding in findings), default=0)
    for report in reports:
        yield ""
        if where := ", ".join(filter(None, ("" if planned else f"Node {report.node}", report.place))):
            yield where
        for finding in report.findings:
            yield f"  {finding.level:<8} {finding.topic.ljust(margin)}  {finding.text}"
            if finding.advice:
                yield f"  {'':<8} {'':{margin}}  -> {finding.advice}"
    yield ""
    levels = [finding.level.value for finding in findings]
    counts = [f"{count} {_WORDS[level]}" for level in _WORDS if (count := levels.count(level))]
    yield ", ".join(counts)


def _print_json(builder: Builder, reports: Sequence[NodeReport], context: Context, *, planned: bool) -> None:
    import json

    from buildwright import __version__

    document = {
        "version": __version__,
        "builder": None if planned else builder.name,
        "driver": builder.driver,
        "healthy": all(report.healthy for report in reports),
        "nodes": [
            {
                "node": None if planned else report.node,
                "place": report.place,
                "healthy": report.healthy,
                "checks": [
                    {"result": finding.level.lower(), "check": finding.topic, "detail": finding.text}
                    | ({"advice": finding.advice} if finding.advice else {})
                    for finding in report.findings
                ],
            }
            for report in reports
        ],
    }
    print(json.dumps(document, indent=2, ensure_ascii=False), file=context.stdout)


COMMAND = Command(
    name="doctor",
    usage="doctor [OPTIONS] [NAME]",
    short="Examine a builder, its cluster and its rights (not in buildx)",
    long="Examine what builds on a builder need: rights, quotas and policies, nodes, daemons, clocks, registries.\n"
    "Nothing is changed. With --driver-opt it examines a builder before it is created. The exit code is 1 when\n"
    "something is missing that a build needs.",
    flags=(
        Flag(
            name="driver-opt",
            value="key=value",
            kind=Kind.ARRAY,
            group=_DRIVER,
            help="Examine a builder that create would make with these options",
        ),
        Flag(
            name="registry",
            value="host[/repository]",
            kind=Kind.ARRAY,
            help="Registry that the daemons must reach; without it docker.io is tried, and only warned about",
        ),
        Flag(name="rbac", value="role", help="Print the smallest Role for its namespace instead: user or admin"),
        Flag(name="format", default="text", value="format", help="Format the output: text or json"),
    ),
    max_args=1,
    examples=(
        ("What is wrong with the current builder", "doctor"),
        (
            "Before a builder is created",
            "doctor --driver-opt namespace=ci,replicas=4 --registry registry.example.com",
        ),
        ("The Role for those who build on it, for kubectl apply", "doctor kube --rbac user"),
    ),
    run=run,
)
