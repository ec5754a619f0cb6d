"""Where the builder store is, and who owns what we write there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from buildwright.model.docker import config_dir


def store_dir(environ: Mapping[str, str]) -> str:
    """The folder that the builders are in: `$BUILDX_CONFIG`, else `buildx` beside docker's config.json."""
    return environ.get("BUILDX_CONFIG") or os.path.join(config_dir(environ), "buildx")


@dataclass(frozen=True, slots=True)
class Owner:
    uid: int
    gid: int


def sudo_owner(environ: Mapping[str, str], folder: str) -> Owner | None:
    """The user to give new files to: who called sudo and kept HOME, when `folder` is in that home."""
    uid, gid = environ.get("SUDO_UID", ""), environ.get("SUDO_GID", "")
    if os.name == "nt" or "SUDO_COMMAND" not in environ or not uid.isdigit() or not gid.isdigit():
        return None
    import pwd

    try:
        home = pwd.getpwuid(int(uid)).pw_dir
    except KeyError:
        return None
    if not home or environ.get("HOME") != home:
        return None
    inside = os.path.relpath(folder, home)
    return None if inside == "." or inside.startswith("..") else Owner(int(uid), int(gid))
