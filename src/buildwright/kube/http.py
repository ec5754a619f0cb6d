"""Plain HTTP to the API server, for what lightkube has no call for or none that can be left early."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildwright.kube.failure import unusable_proxy

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
    from lightkube.config.client_adapter import user_auth

    from buildwright.kube.credentials import tls

    context = tls(config)
    try:
        return httpx2.AsyncClient(
            base_url=config.server,
            verify=context if context is not None else False,
            auth=user_auth(config.credentials.user),
            proxy=config.proxy or None,
            timeout=httpx2.Timeout(_ANSWER, connect=_CONNECT, read=None if endless else _ANSWER),
            headers={"User-Agent": "buildwright"},
        )
    except (ImportError, ValueError, httpx2.InvalidURL) as error:
        raise unusable_proxy(config, error) from error
