"""Build container images with BuildKit from Python: on Kubernetes and on any daemon.

async with buildwright.connect("kube") as connection:
    result = await connection.build(".", tags=["registry.example.com/app"], push=True)
    print(result.digest)
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing it from typing would cost more than all the rest of this file
if TYPE_CHECKING:
    from buildwright.build.connection import Build, Connection, connect
    from buildwright.errors import BuildwrightError, DaemonLostError, SolveError
    from buildwright.model.platform import Platform
    from buildwright.model.request import BuildRequest, Output, SecretSource
    from buildwright.model.solve import BuildResult
    from buildwright.model.status import StatusUpdate, Vertex, VertexLog, VertexStatus, VertexWarning

__version__ = "0.1.0"

_HOMES = {
    "Build": "build.connection",
    "BuildRequest": "model.request",
    "BuildResult": "model.solve",
    "BuildwrightError": "errors",
    "Connection": "build.connection",
    "DaemonLostError": "errors",
    "Output": "model.request",
    "Platform": "model.platform",
    "SecretSource": "model.request",
    "SolveError": "errors",
    "StatusUpdate": "model.status",
    "Vertex": "model.status",
    "VertexLog": "model.status",
    "VertexStatus": "model.status",
    "VertexWarning": "model.status",
    "connect": "build.connection",
}

__all__ = [
    "Build",
    "BuildRequest",
    "BuildResult",
    "BuildwrightError",
    "Connection",
    "DaemonLostError",
    "Output",
    "Platform",
    "SecretSource",
    "SolveError",
    "StatusUpdate",
    "Vertex",
    "VertexLog",
    "VertexStatus",
    "VertexWarning",
    "connect",
]


def __getattr__(name: str) -> object:
    """Import public names when they are first used: the command line and short scripts start faster for it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
