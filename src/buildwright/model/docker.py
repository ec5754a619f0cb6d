"""Where docker keeps its configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping


def config_dir(environ: Mapping[str, str] = os.environ) -> str:
    """The folder of docker's config.json: `$DOCKER_CONFIG`, else `.docker` in the home that `environ` names."""
    return environ.get("DOCKER_CONFIG") or os.path.join(_home(environ), ".docker")


def _home(environ: Mapping[str, str]) -> str:
    return environ.get("USERPROFILE" if os.name == "nt" else "HOME") or os.path.expanduser("~")
