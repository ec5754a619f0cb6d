"""Whether a builder's daemon reaches a registry: it is asked to resolve an image reference there.

An answer of the registry, also a refusal, is proof; the daemon's words for all else say what stands in the way. The
daemon is asked as it runs: it is not started, and nothing is written where a build would say that it goes on.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from buildwright.build.run import Host, run
from buildwright.drivers.steps import Unseen
from buildwright.errors import BuildwrightError, SolveError, UsageError
from buildwright.model.finding import Finding, Level
from buildwright.model.node import Builder, Node
from buildwright.model.request import BuildRequest, Output
from buildwright.registry.reference import Reference

DEFAULT = "docker.io"

_PATIENCE = 30.0
_ABSENT = "buildwright-doctor:absent"
_PRESENT = {"docker.io": "docker.io/library/busybox:latest"}
"""An image that is there, for a registry before which mirrors are common: what a mirror lacks is asked upstream."""
_NO_WAY = re.compile(
    r"(dial tcp|lookup |no such host|connection refused|connection reset|timeout|deadline exceeded|tls: |x509: |"
    r"HTTP response to HTTPS client|no route to host|network is unreachable|: EOF|proxyconnect).*"
)
_ANSWERS = re.compile(
    r"not found|unauthorized|authorization failed|denied|forbidden|insufficient_scope|unexpected status|"
    r"no match for platform|Too Many Requests",
    re.IGNORECASE,
)
_CAUSES = (
    (re.compile(r"lookup |no such host"), "the pods cannot resolve its name: check the cluster's DNS and the host"),
    (re.compile(r"x509: |tls: "), "give the daemon its certificate authority by --buildkitd-config (registry ca)"),
    (
        re.compile(r"HTTP response to HTTPS"),
        "it speaks plain HTTP: say so by --buildkitd-config (registry http = true)",
    ),
    (re.compile(r"refused"), "nothing listens there, or a firewall refuses: check host and port"),
)
_BLOCKED = "check firewalls, NetworkPolicies and proxies between the pods and it (env.HTTPS_PROXY is a driver option)"


def target(registry: str) -> str:
    """The reference to resolve for `HOST` or `HOST/REPO[:TAG]`; raises UsageError for what is neither."""
    host, slash, repository = registry.partition("/")
    reference = registry if slash else _PRESENT.get(host, f"{host}/{_ABSENT}")
    if not host or (slash and not repository) or any(character.isspace() for character in registry):
        raise UsageError(f'flag --registry: "{registry}" is no registry: write HOST, or HOST/REPOSITORY')
    if Reference.parse(reference).domain != host:
        raise UsageError(f'flag --registry: "{host}" is no registry\'s host: write it with its domain or port')
    return reference


async def reach(builder: Builder, node: Node, registry: str, environ: Mapping[str, str], *, asked: bool) -> Finding:
    """Ask one of a node's daemons, which must run; `asked`: the user has named this registry."""
    topic = f"registry {registry}"
    lost = Level.FAILED if asked else Level.WARNING
    with tempfile.TemporaryDirectory(prefix="buildwright-doctor-") as folder:
        Path(folder, "Dockerfile").write_text(f"FROM {target(registry)}\n")
        request = BuildRequest(context=folder, outputs=(Output(type="cacheonly"),), retries=0)
        alone = replace(builder, nodes=(node,))
        try:
            async with asyncio.timeout(_PATIENCE):
                await run(request, alone, sink=Unseen(), host=Host(environ=environ), unheld=True)
        except TimeoutError:
            return Finding(lost, topic, f"no answer within {_PATIENCE:.0f} seconds", _BLOCKED)
        except SolveError as error:
            return judge(registry, str(error), lost)
        except BuildwrightError as error:
            return Finding(Level.UNKNOWN, topic, f"the daemon could not be asked: {error}")
    return Finding(Level.OK, topic, "the daemon reaches it")


def judge(registry: str, said: str, lost: Level) -> Finding:
    """What a failed resolution says of the way to the registry."""
    topic = f"registry {registry}"
    if found := _NO_WAY.search(said):
        why = found[0]
        advice = next((words for cause, words in _CAUSES if cause.search(why)), _BLOCKED)
        return Finding(lost, topic, f"the daemon cannot reach it ({why})", advice)
    why = said.rsplit(": ", 1)[-1]
    if "Too Many Requests" in said:
        return Finding(
            Level.WARNING, topic, "the daemon reaches it, and it limits the rate", "docker login, or a mirror"
        )
    if "/" in registry and _ANSWERS.search(said):
        host = registry.partition("/")[0]
        advice = f"check the name, and docker login {host} if it is private"
        return Finding(Level.WARNING, topic, f"the daemon reaches it, and it refuses the image ({why})", advice)
    if re.search(r"unexpected status.*\b5\d\d\b", said):
        return Finding(lost, topic, f"the daemon reaches it, and it fails ({said.rpartition('unexpected ')[2]})")
    if _ANSWERS.search(said):
        return Finding(Level.OK, topic, "the daemon reaches it")
    return Finding(lost, topic, f"the daemon cannot use it ({why})")
