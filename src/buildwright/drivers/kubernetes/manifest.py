"""A node's objects in the cluster, as pure functions of its options.

The form is buildx's (driver/kubernetes/manifest), so that either tool uses what the other made. Where it differs:
the first readiness probe waits until the daemon answers (--wait came with BuildKit 0.12),
so that it succeeds and no probe period is lost; ephemeral-storage requests are requests; a rootless
daemon is told where its configuration is; ConfigMaps are numbered in the order of their folders.
"""

from __future__ import annotations

import base64
import posixpath
from collections.abc import Mapping
from typing import Any

from buildwright.drivers.kubernetes.choose import CONTAINER
from buildwright.drivers.kubernetes.options import APP_LABEL, PLATFORM_ANNOTATION, Options
from buildwright.errors import UsageError
from buildwright.model.node import Node

CONFIG_ROOT = "/etc/buildkit"
CONFIG_FILE = "buildkitd.toml"
STATE = "/var/lib/buildkit"
ROOTLESS_STATE = "/home/user/.local/share/buildkit"

Manifest = dict[str, Any]

_READINESS = {
    "exec": {"command": ["sh", "-c", "buildctl --wait debug workers || exec buildctl debug workers"]},
    "periodSeconds": 3,
    "timeoutSeconds": 10,
    "failureThreshold": 10,
}
"""Kubelet may miss a container's start with its first probe; the next one then comes after one period."""
_LIVENESS = {
    "exec": {"command": ["buildctl", "debug", "workers"]},
    "initialDelaySeconds": 30,
    "periodSeconds": 30,
    "timeoutSeconds": 60,
    "failureThreshold": 10,
}


def labels(name: str, options: Options) -> dict[str, str]:
    """Labels of the workload and its pods, by which the pods are found."""
    return {APP_LABEL: name, **options.labels}


def config_maps(name: str, node: Node, options: Options) -> list[Manifest]:
    """One ConfigMap for each folder of files under /etc/buildkit."""
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": _metadata(f"{name}-{volume}", {}, _annotations(node, options)),
            **_data(files),
        }
        for volume, _, files in _folders(node.files)
    ]


def deployment(name: str, node: Node, options: Options) -> Manifest:
    """The Deployment of a node; `name` is its object name."""
    chosen = labels(name, options)
    annotations = _annotations(node, options)
    pod_annotations = dict(annotations)
    if options.rootless:
        # Servers before 1.30 know only the annotation, later ones want it to agree with the field.
        pod_annotations[f"container.apparmor.security.beta.kubernetes.io/{CONTAINER}"] = "unconfined"
    template: Manifest = {"metadata": {"labels": chosen, **_given(annotations=pod_annotations)}}
    template["spec"] = _pod(name, node, options)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(name, chosen, annotations),
        "spec": {"replicas": options.replicas, "selector": {"matchLabels": chosen}, "template": template},
    }


def _pod(name: str, node: Node, options: Options) -> Manifest:
    volumes, mounts = _volumes(name, node, options)
    container = {
        "name": CONTAINER,
        "image": options.image,
        **_given(
            args=_arguments(node, options), env=[{"name": k, "value": options.env[k]} for k in sorted(options.env)]
        ),
        "securityContext": _security(options),
        "readinessProbe": _READINESS,
        "livenessProbe": _LIVENESS,
        **_given(resources=_given(requests=dict(options.requests), limits=dict(options.limits)), volumeMounts=mounts),
    }
    emulators = {
        "name": "qemu",
        "image": options.qemu_image,
        "args": ["--install", "all"],
        "securityContext": {"privileged": True},
    }
    return {
        **_given(
            serviceAccountName=options.service_account,
            schedulerName=options.scheduler,
            nodeSelector=dict(options.node_selector),
            tolerations=[dict(item) for item in options.tolerations],
            initContainers=[emulators] if options.qemu else [],
        ),
        "containers": [container],
        **_given(volumes=volumes),
    }


def _arguments(node: Node, options: Options) -> list[str]:
    arguments = list(node.flags)
    if options.rootless:
        configured = any(flag == "--config" or flag.startswith("--config=") for flag in arguments)
        if CONFIG_FILE in node.files and not configured:
            arguments.append(f"--config={CONFIG_ROOT}/{CONFIG_FILE}")
        arguments.append("--oci-worker-no-process-sandbox")
    return arguments


def _security(options: Options) -> Manifest:
    if not options.rootless:
        return {"privileged": True}
    return {"seccompProfile": {"type": "Unconfined"}, "appArmorProfile": {"type": "Unconfined"}}


def _volumes(name: str, node: Node, options: Options) -> tuple[list[Manifest], list[Manifest]]:
    volumes: list[Manifest] = []
    mounts: list[Manifest] = []
    for volume, folder, _ in _folders(node.files):
        volumes.append({"name": volume, "configMap": {"name": f"{name}-{volume}"}})
        mounts.append({"name": volume, "mountPath": posixpath.normpath(posixpath.join(CONFIG_ROOT, folder))})
    memory = {"medium": "Memory", "sizeLimit": options.root_volume_memory} if options.root_volume_memory else {}
    if options.rootless:
        # The image's own volume is mounted nosuid and nodev on some nodes, which a rootless daemon cannot use.
        volumes.append({"name": "buildkitd", "emptyDir": memory})
        mounts.append({"name": "buildkitd", "mountPath": ROOTLESS_STATE})
    elif memory:
        volumes.append({"name": "buildkit-memory", "emptyDir": memory})
        mounts.append({"name": "buildkit-memory", "mountPath": STATE})
    return volumes, mounts


def _folders(files: Mapping[str, bytes]) -> list[tuple[str, str, dict[str, bytes]]]:
    """(volume name, folder, files by base name), the root first, then by name."""
    folders: dict[str, dict[str, bytes]] = {}
    for path in sorted(files):
        clean = posixpath.normpath(path)
        if clean.startswith(("/", "..")):
            raise UsageError(f'daemon file "{path}" lies outside of {CONFIG_ROOT}: give it a path below that folder')
        folders.setdefault(posixpath.dirname(clean), {})[posixpath.basename(clean)] = files[path]
    below = sorted(folder for folder in folders if folder)
    named = [("config", "")] if "" in folders else []
    named += [(f"config-{number}", folder) for number, folder in enumerate(below, 1)]
    return [(volume, folder, folders[folder]) for volume, folder in named]


def _data(files: Mapping[str, bytes]) -> Manifest:
    texts: dict[str, str] = {}
    binaries: dict[str, str] = {}
    for name, content in files.items():
        try:
            texts[name] = content.decode()
        except UnicodeDecodeError:
            binaries[name] = base64.b64encode(content).decode()
    return _given(data=texts, binaryData=binaries)


def _annotations(node: Node, options: Options) -> dict[str, str]:
    platforms = ",".join(str(platform) for platform in node.platforms)
    return {**({PLATFORM_ANNOTATION: platforms} if platforms else {}), **options.annotations}


def _metadata(name: str, chosen: Mapping[str, str], annotations: Mapping[str, str]) -> Manifest:
    return {"name": name, **_given(labels=dict(chosen), annotations=dict(annotations))}


def _given(**fields: Any) -> Manifest:
    """The fields that say something."""
    return {name: value for name, value in fields.items() if value}
