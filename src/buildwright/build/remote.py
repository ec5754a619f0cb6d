"""Which contexts are remote: http addresses and git repositories, as BuildKit tells them from local paths.

The forms are those of moby/buildkit frontend/dockerfile/dfgitutil and util/gitutil.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
_SCP = re.compile(r"^[A-Za-z0-9_.~-]+@[^/:]+:(?!//)")


def is_http(address: str) -> bool:
    return address.startswith(("http://", "https://"))


def is_git(address: str) -> bool:
    """Whether BuildKit would clone `address`: a git or ssh URL, `user@host:path`, `github.com/…`, `http….git`."""
    if address.startswith(("./", "../")):
        return False
    if address.startswith("github.com/"):
        return True
    if _SCHEME.match(address):
        parts = urlsplit(address)
        if parts.scheme in ("http", "https"):
            return parts.path.endswith(".git")
        return parts.scheme in ("git", "ssh")
    return bool(_SCP.match(address))


def is_remote(address: str) -> bool:
    return is_http(address) or is_git(address)


def has_git_query(address: str) -> bool:
    """Whether a git address carries options in its query, which frontends before 1.18 do not know."""
    return is_git(address) and bool(urlsplit(address.partition("#")[0]).query)
