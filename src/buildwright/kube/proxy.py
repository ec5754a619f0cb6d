"""By which proxy an API server is reached: the kubeconfig's, else the environment's by Go's rules."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit


def choose(server: str, stated: str, environ: Mapping[str, str]) -> str:
    """The proxy's address, "" for none; ValueError, without the address and its password, for one of no use.

    `stated` is the kubeconfig's. Without it HTTPS_PROXY or HTTP_PROXY count, and NO_PROXY: names with all below
    them, addresses, networks, each with a port or not. This machine itself is reached directly then.
    """
    target = urlsplit(server)
    address = stated or _of_environment(target, environ)
    if not address:
        return ""
    address = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise ValueError("its address is malformed") from None
    if parts.scheme.startswith("socks"):
        raise ValueError("SOCKS is not supported")
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"its scheme is {parts.scheme}")
    if not parts.hostname or port == 0:
        raise ValueError("its address is malformed")
    return address


def _of_environment(target: SplitResult, environ: Mapping[str, str]) -> str:
    name = f"{target.scheme}_proxy"
    address = environ.get(name.upper()) or environ.get(name, "")
    excluded = environ.get("NO_PROXY") or environ.get("no_proxy", "")
    if not address or _direct(target.hostname or "", target.port, excluded):
        return ""
    return address


def _direct(host: str, port: int | None, excluded: str) -> bool:
    import ipaddress

    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    for entry in excluded.lower().split(","):
        name, wanted = _with_port(entry.strip())
        if name == "*":
            return True
        if not name or wanted not in (None, port):
            continue
        if address is None:
            name = name.removeprefix("*")
            if host == name or host.endswith(name if name.startswith(".") else f".{name}"):
                return True
            continue
        try:
            if address in ipaddress.ip_network(name, strict=False):
                return True
        except ValueError:
            continue
    return False


def _with_port(entry: str) -> tuple[str, int | None]:
    head, colon, tail = entry.rpartition(":")
    if colon and tail.isdecimal() and (":" not in head or head.endswith("]")):
        return head.strip("[]"), int(tail)
    return entry.strip("[]"), None
