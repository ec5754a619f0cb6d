"""A worker's record in BuildKit's form as ours."""

from __future__ import annotations

from buildwright.model.platform import Platform
from buildwright.model.worker import CDIDevice, GCPolicy, Worker
from buildwright.wire.proto import worker_pb2


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
