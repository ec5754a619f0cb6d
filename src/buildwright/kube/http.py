"""Plain HTTP to the API server, for what lightkube has no call for or none that can be left early."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2

    from buildwright.kube.config import ClusterConfig

_ANSWER, _CONNECT = 20.0, 10.0


def client(config: ClusterConfig, *, endless: bool = False) -> httpx2.AsyncClient:
    """A client whose paths begin at the server, with the user's credentials; the caller closes it.

    `endless` is for answers that may be silent for any time. Raises ConfigurationError for certificates or a proxy
    that cannot be used; what its requests raise is for `failure.translated`.
    """
    import httpx2

    from buildwright.kube.credentials import tls
    from buildwright.kube.transport import Transport

    tls(config)
    return httpx2.AsyncClient(
        base_url=config.server,
        transport=Transport(config),
        timeout=httpx2.Timeout(_ANSWER, connect=_CONNECT, read=None if endless else _ANSWER),
        headers={"User-Agent": "buildwright"},
    )
