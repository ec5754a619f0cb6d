"""What a node's endpoint keeps of the cluster that it was created in. Pure.

The form is buildx's, `kubernetes:///<builder>?deployment=<node>&kubeconfig=<paths>`, with more parameters, over which
buildx reads. An endpoint of another form is a docker context's name, or of old and says nothing of the cluster.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from urllib.parse import parse_qs, urlencode

_SCHEME = "kubernetes://"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """`context` and `namespace` are the kubeconfig's at creation, "" where there was none or an option says it.

    `cluster` is the UID of its namespace kube-system, "" when it could not be read; `server` its address then, which
    identifies nothing but tells people which one it was.
    """

    kubeconfig: str = ""
    context: str = ""
    namespace: str = ""
    cluster: str = ""
    server: str = ""

    @classmethod
    def read(cls, endpoint: str) -> Pins:
        query = parse_qs(endpoint.partition("?")[2]) if endpoint.startswith(_SCHEME) else {}
        return cls(**{name: query[name][0] for name in cls.__slots__ if name in query})

    def kept_in(self, endpoint: str) -> str:
        """`endpoint` with these pins in place of those that it has; without any it is as buildx makes it."""
        builder, _, stated = endpoint.partition("?")
        pins = {name: value for name, value in asdict(self).items() if value or name == "kubeconfig"}
        deployment = parse_qs(stated).get("deployment", [""])[0]
        query = urlencode(sorted({"deployment": deployment, **pins}.items()))
        return f"{builder}?{query}"


def is_cluster_address(endpoint: str) -> bool:
    """Whether `endpoint` is of the form above; none at all counts as one without pins."""
    return not endpoint or endpoint.startswith(_SCHEME)
