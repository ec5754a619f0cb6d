"""TLS and the Authorization header for connections that lightkube does not make itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, cast

from buildwright.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl

    from buildwright.kube.config import ClusterConfig


def tls(config: ClusterConfig) -> ssl.SSLContext | None:
    """What `config` trusts and shows; None for a server without TLS. Raises ConfigurationError for bad material."""
    if not config.server.startswith("https:"):
        return None
    import binascii
    import ssl

    from lightkube.config.client_adapter import verify_cluster

    single = config.credentials
    try:
        assert single.user is not None
        return verify_cluster(single.cluster, single.user, single.abs_file)
    except (ssl.SSLError, binascii.Error, OSError, TypeError) as error:
        raise ConfigurationError(
            f'the certificates of context "{config.context}" in {config.origin} cannot be used ({error}): '
            "get a new kubeconfig for this cluster"
        ) from error


async def authorization(config: ClusterConfig, *, refused: bool = False) -> dict[str, str]:
    """Header fields that identify the user; `refused` asks for fresh ones after the server said 401.

    Runs the kubeconfig's credential plugin when it names one. Raises what `api.translated` knows.
    """
    from lightkube.config.client_adapter import user_auth

    auth = user_auth(config.credentials.user)
    if auth is None:
        return {}
    import httpx2

    request = httpx2.Request("GET", config.server)
    flow = cast("AsyncGenerator[Any, Any]", auth.async_auth_flow(request))
    try:
        request = await anext(flow)
        if refused:
            try:
                request = await flow.asend(httpx2.Response(401, request=request))
            except StopAsyncIteration:
                pass
    finally:
        await flow.aclose()
    value = request.headers.get("Authorization")
    return {"Authorization": value} if value else {}
