"""The address that a new node is stored with: a daemon's, or for a cluster one that only has to be its own."""

from __future__ import annotations

import os
import re
from urllib.parse import urlencode

from buildwright.builders import names
from buildwright.errors import UsageError

REMOTE_SCHEMES = ("docker-container", "kube-pod", "npipe", "ssh", "tcp", "unix")
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):")


def scheme(address: str) -> str:
    match = _SCHEME.match(address)
    return match[1].lower() if match else ""


def remote(address: str) -> str:
    """Check a daemon's address; UsageError when there is none or its scheme is unknown."""
    if not address:
        raise UsageError(
            "no remote endpoint is given: write one like unix:///run/buildkit/buildkitd.sock or tcp://HOST:PORT"
        )
    if scheme(address) not in REMOTE_SCHEMES:
        raise UsageError(
            f'unrecognized address "{address}": write one like unix:///run/buildkit/buildkitd.sock or tcp://HOST:PORT'
        )
    return address


def kubernetes(builder: str, node: str, kubeconfig: str) -> str:
    """The address of a node in a cluster, as buildx makes it. Relative paths are made absolute."""
    paths = os.pathsep.join(os.path.abspath(path) if path else "" for path in kubeconfig.split(os.pathsep))
    query = urlencode({"deployment": node or names.deployment(), "kubeconfig": paths if kubeconfig else ""})
    return f"kubernetes:///{builder}?{query}"
