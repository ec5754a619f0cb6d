"""A SolveRequest as BuildKit's message."""

from __future__ import annotations

from buildwright.model.solve import SolveRequest
from buildwright.wire.proto import control_pb2


def encode(request: SolveRequest, session: str) -> bytes:
    """The message of `request` for the session of that id.

    Daemons before v0.13 know one exporter, in fields that are deprecated since: the first one is in both places.
    """
    message = control_pb2.SolveRequest(
        Ref=request.ref,
        Session=session,
        Frontend=request.frontend,
        FrontendAttrs=dict(request.frontend_attrs),
        Entitlements=request.entitlements,
        Internal=request.internal,
        # Present even when empty: daemons look into it without asking whether it is there.
        Cache=control_pb2.CacheOptions(
            Exports=[control_pb2.CacheOptionsEntry(Type=e.type, Attrs=dict(e.attrs)) for e in request.cache_exports],
            Imports=[control_pb2.CacheOptionsEntry(Type=e.type, Attrs=dict(e.attrs)) for e in request.cache_imports],
        ),
        Exporters=[control_pb2.Exporter(Type=e.type, Attrs=dict(e.attrs)) for e in request.exporters],
    )
    if request.exporters:
        message.ExporterDeprecated = request.exporters[0].type
        message.ExporterAttrsDeprecated.update(request.exporters[0].attrs)
    return message.SerializeToString()
