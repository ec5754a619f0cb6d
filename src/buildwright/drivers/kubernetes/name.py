"""Names of a node's objects in the cluster, and of its builder. Pure."""

from __future__ import annotations

import re

from buildwright.errors import UsageError

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_LONGEST_STATEFUL = 52
"""A StatefulSet's controller labels its pods with its name, a dash and a hash of ten characters."""


def object_name(node: str, *, stateful: bool = False) -> str:
    """The name of a node's workload, which is a label's value too: `loving_mendeleev0` -> `loving-mendeleev0`.

    The pods of a StatefulSet have it in their host names, where there are no dots. Raises UsageError for a name that
    the cluster would refuse, or of which it could make no pods.
    """
    name = node.replace("_", "-")
    longest = _LONGEST_STATEFUL if stateful else 63
    if not (is_label(name) if stateful else is_subdomain(name)) or len(name) > longest:
        why = " for a node with a volume claim" if stateful else ""
        allowed = "digits and -" if stateful else "digits, - and ."
        raise UsageError(
            f'node name "{node}" cannot be used in Kubernetes: use lower-case letters, {allowed}, '
            f"at most {longest}{why}, with a letter or digit at both ends"
        )
    return name


def is_label(name: str) -> bool:
    """Whether it is a DNS label (RFC 1123) of at most 63 characters."""
    return _LABEL.fullmatch(name) is not None


def is_subdomain(name: str) -> bool:
    """Whether it is a DNS subdomain (RFC 1123): the name that most objects may have."""
    return len(name) <= 253 and all(_LABEL.fullmatch(part) for part in name.split("."))


def builder_of(endpoint: str) -> str:
    """The builder named in `kubernetes:///<builder>?...`, "" when none is."""
    scheme, _, rest = endpoint.partition("://")
    return rest.partition("?")[0].strip("/") if scheme == "kubernetes" else ""
