"""Names of a node's objects in the cluster, and the endpoint by which the store remembers it. Pure."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from buildwright.errors import UsageError

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)


def object_name(node: str) -> str:
    """The name of a node's Deployment, which is a label's value too: `loving_mendeleev0` -> `loving-mendeleev0`."""
    name = node.replace("_", "-")
    if not _LABEL.fullmatch(name):
        raise UsageError(
            f'node name "{node}" cannot be used in Kubernetes: use lower-case letters, digits and -, '
            "at most 63, with a letter or digit at both ends"
        )
    return name


def kubeconfig_of(endpoint: str) -> str:
    """The kubeconfig kept in `kubernetes:///<builder>?deployment=<node>&kubeconfig=<path>`, "" when none is."""
    if not endpoint:
        return ""
    parts = urlsplit(endpoint)
    if parts.scheme != "kubernetes":
        raise UsageError(
            f'"{endpoint}" is no endpoint of the kubernetes driver: create the builder without one, with KUBECONFIG '
            "set to the cluster's configuration"
        )
    return parse_qs(parts.query).get("kubeconfig", [""])[0]
