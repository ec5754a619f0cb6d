"""What this machine's configuration says of registries' users."""

from __future__ import annotations

from collections.abc import Mapping

from buildwright.builders.location import store_dir
from buildwright.registry.config import load
from buildwright.registry.credentials import Credentials
from buildwright.registry.scope import load_scoped


def open_credentials(environ: Mapping[str, str]) -> Credentials:
    """Credentials as docker's configuration and the builder store's scoped ones hold them; one for a whole build.

    Raises ConfigurationError for a damaged configuration.
    """
    return Credentials(load(environ=environ), scoped=load_scoped(store_dir(environ), environ))
