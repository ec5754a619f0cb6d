"""A SolveRequest as BuildKit's message, and a worker's record as ours."""

from __future__ import annotations

from buildwright.model.platform import Platform
from buildwright.model.solve import SolveRequest
from buildwright.model.worker import CDIDevice, GCPolicy, Worker
from buildwright.wire.proto import control_pb2, worker_pb2


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


def decode_worker(record: worker_pb2.WorkerRecord) -> Worker:
    """The frozen form of one record, its platforms in their normal form."""
    return Worker(
        id=record.ID,
        labels=dict(record.Labels),
        platforms=tuple(
            Platform(p.OS, p.Architecture, p.Variant, p.OSVersion, tuple(p.OSFeatures)).normalized()
            for p in record.platforms
        ),
        gc_policy=tuple(
            GCPolicy(
                all=policy.all,
                keep_duration=policy.keepDuration,
                filters=tuple(policy.filters),
                reserved_space=policy.reservedSpace,
                max_used_space=policy.maxUsedSpace,
                min_free_space=policy.minFreeSpace,
            )
            for policy in record.GCPolicy
        ),
        version=record.BuildkitVersion.version,
        devices=tuple(
            CDIDevice(
                name=device.Name,
                auto_allow=device.AutoAllow,
                annotations=dict(device.Annotations),
                on_demand=device.OnDemand,
            )
            for device in record.CDIDevices
        ),
    )
