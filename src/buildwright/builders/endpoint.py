"""The address that a new node is stored with: a daemon's, or for a cluster one that only has to be its own."""

from __future__ import annotations

import os
import re
from urllib.parse import parse_qs, urlencode, urlsplit

from buildwright.builders import names
from buildwright.errors import UsageError

REMOTE_SCHEMES = ("docker-container", "kube-pod", "npipe", "ssh", "tcp", "unix")
_PLACE = ("kubeconfig", "context", "namespace")
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


def alike(one: str, other: str) -> bool:
    """Whether two addresses in a cluster lead to the same place, as far as both say where."""
    places = [parse_qs(urlsplit(address).query) for address in (one, other)]
    if not all(address.startswith("kubernetes://") for address in (one, other)):
        return one == other
    said = [{name: place[name] for name in _PLACE if name in place} for place in places]
    return all(said[0][name] == said[1][name] for name in said[0].keys() & said[1].keys())


def kubernetes(builder: str, node: str, kubeconfig: str) -> str:
    """The address of a node in a cluster, as buildx makes it. Relative paths are made absolute."""
    paths = os.pathsep.join(os.path.abspath(path) if path else "" for path in kubeconfig.split(os.pathsep))
    query = urlencode({"deployment": node or names.deployment(), "kubeconfig": paths if kubeconfig else ""})
    return f"kubernetes:///{builder}?{query}"
