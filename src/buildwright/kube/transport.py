"""How requests get to the API server: by its proxy, under its TLS name, with the user's proof."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

import httpx2

from buildwright.kube import proxy
from buildwright.kube.credentials import Proof, prove
from buildwright.kube.failure import unusable_proxy

if TYPE_CHECKING:
    from buildwright.kube.config import ClusterConfig


def proxy_of(config: ClusterConfig) -> str:
    """The address of the proxy to `config`'s server, "" for none; ConfigurationError for one of no use."""
    try:
        return proxy.choose(config.server, config.proxy, os.environ)
    except ValueError as error:
        raise unusable_proxy(config, str(error)) from error


class Transport(httpx2.AsyncBaseTransport):
    """A refused proof is renewed, and the request sent once more; what it raises is for `failure.translated`.

    Connections of a client certificate that has been replaced stay until `aclose`: watches may run on them.
    """

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self._proxy = proxy_of(config) or None
        self._pools: dict[ssl.SSLContext | None, httpx2.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        proof = await prove(self._config)
        response = await self._send(request, proof)
        if response.status_code == 401:
            renewed = await prove(self._config, refused=proof)
            if renewed != proof:
                await response.aclose()
                response = await self._send(request, renewed)
        return response

    async def _send(self, request: httpx2.Request, proof: Proof) -> httpx2.Response:
        pool = self._pools.get(proof.tls)
        if pool is None:
            verify = proof.tls if proof.tls is not None else False
            pool = self._pools[proof.tls] = httpx2.AsyncHTTPTransport(verify=verify, proxy=self._proxy)
        request.headers.update(proof.headers)
        if self._config.server_name:
            request.extensions = {**request.extensions, "sni_hostname": self._config.server_name}
        return await pool.handle_async_request(request)

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()
