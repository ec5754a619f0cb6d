"""A node's objects in the cluster, as pure functions of its options.

The form is buildx's (driver/kubernetes/manifest), so that either tool uses what the other made. Where it differs:
the first readiness probe waits until the daemon answers (--wait came with BuildKit 0.12),
so that it succeeds and no probe period is lost; ephemeral-storage requests are requests; a rootless
daemon is told where its configuration is; a claim leaves the other mounts as they are; private keys are in Secrets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from buildwright.drivers import values
from buildwright.drivers.kubernetes import patch
from buildwright.drivers.kubernetes.choose import CONTAINER
from buildwright.drivers.kubernetes.files import ROOT, contents, folders
from buildwright.drivers.kubernetes.gc import CONFIG_FILE
from buildwright.drivers.kubernetes.options import TEMPLATE, Options
from buildwright.drivers.kubernetes.placement import APP_LABEL, PLATFORM_ANNOTATION
from buildwright.errors import DriverOptionError
from buildwright.model.node import Node

STATE = "/var/lib/buildkit"
ROOTLESS_STATE = "/home/user/.local/share/buildkit"
CLAIM = "buildkitd"
"""The claim template's name; a pod's claim is called that, a dash and the pod's name."""

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
    """One ConfigMap for each folder of files under /etc/buildkit that has other than private keys."""
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": _metadata(f"{name}-{folder.volume}", {}, _annotations(node, options)),
            **folder.config_data(),
        }
        for folder in folders(contents(node, options))
        if folder.public
    ]


def secrets(name: str, node: Node, options: Options) -> list[Manifest]:
    """One Secret for each folder that has private keys."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": _metadata(f"{name}-{folder.volume}", {}, _annotations(node, options)),
            "data": folder.secret_data(),
        }
        for folder in folders(contents(node, options))
        if folder.private
    ]


def file_objects(name: str, node: Node, options: Options) -> list[str]:
    """Names that ConfigMaps and Secrets of the node's files may have, whichever tool has made them."""
    return [f"{name}-{folder.volume}" for folder in folders(contents(node, options))]


def workload(name: str, node: Node, options: Options) -> Manifest:
    """A node's Deployment, or StatefulSet when its pods have volume claims; `name` is its object name.

    Raises DriverOptionError when the pod template's patch makes no pod of it that we could use.
    """
    chosen = labels(name, options)
    annotations = _annotations(node, options)
    pod_annotations = dict(annotations)
    if options.rootless:
        # Servers before 1.30 know only the annotation, later ones want it to agree with the field.
        pod_annotations[f"container.apparmor.security.beta.kubernetes.io/{CONTAINER}"] = "unconfined"
    template: Manifest = {"metadata": {"labels": chosen, **_given(annotations=pod_annotations)}}
    template["spec"] = _pod(name, node, options)
    spec = {
        "replicas": options.replicas,
        "selector": {"matchLabels": chosen},
        "template": _patched(template, options) if options.pod_template else template,
    }
    if options.claim:
        spec |= {"serviceName": CLAIM, "podManagementPolicy": "Parallel", "volumeClaimTemplates": [_claim(options)]}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet" if options.claim else "Deployment",
        "metadata": _metadata(name, chosen, annotations),
        "spec": spec,
    }


def _claim(options: Options) -> Manifest:
    return {
        "metadata": {"name": CLAIM},
        "spec": {
            "accessModes": [options.access_mode or "ReadWriteOnce"],
            "resources": {"requests": {"storage": options.claim}},
            **_given(storageClassName=options.storage_class),
        },
    }


def _patched(template: Manifest, options: Options) -> Manifest:
    """The template with the user's patch, which must leave what we find pods and daemons by."""
    from buildwright.kube import schema

    try:
        merged = patch.merge(template, options.pod_template)
        wrong = schema.fault("PodTemplateSpec", merged)
    except ValueError as error:
        wrong = str(error)
    if wrong:
        raise values.malformed(TEMPLATE, json.dumps(options.pod_template), f"it makes no valid pod ({wrong})")
    kept = merged.get("metadata", {}).get("labels", {}).items() >= template["metadata"]["labels"].items()
    names = [container["name"] for container in merged.get("spec", {}).get("containers", ())]
    if not kept or CONTAINER not in names:
        raise DriverOptionError(
            f'driver option "{TEMPLATE}" takes away what the builder is found by: leave the label "{APP_LABEL}", the '
            f'labels of the option labels and the container "{CONTAINER}" as they are',
            option=TEMPLATE,
        )
    return merged


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
            priorityClassName=options.priority_class,
            imagePullSecrets=[{"name": secret} for secret in options.pull_secrets],
            affinity=dict(options.affinity),
            topologySpreadConstraints=[
                {"labelSelector": {"matchLabels": labels(name, options)}, **constraint}
                for constraint in options.spread
            ],
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
        if CONFIG_FILE in contents(node, options) and not configured:
            arguments.append(f"--config={ROOT}/{CONFIG_FILE}")
        arguments.append("--oci-worker-no-process-sandbox")
    return arguments


def _security(options: Options) -> Manifest:
    if not options.rootless:
        return {"privileged": True}
    return {"seccompProfile": {"type": "Unconfined"}, "appArmorProfile": {"type": "Unconfined"}}


def _volumes(name: str, node: Node, options: Options) -> tuple[list[Manifest], list[Manifest]]:
    found = folders(contents(node, options))
    volumes = [folder.source(name) for folder in found]
    mounts = [folder.mount for folder in found]
    if options.claim:
        mounts.append({"name": CLAIM, "mountPath": ROOTLESS_STATE if options.rootless else STATE})
        return volumes, mounts
    memory = {"medium": "Memory", "sizeLimit": options.root_volume_memory} if options.root_volume_memory else {}
    if options.rootless:
        # The image's own volume is mounted nosuid and nodev on some nodes, which a rootless daemon cannot use.
        volumes.append({"name": "buildkitd", "emptyDir": memory})
        mounts.append({"name": "buildkitd", "mountPath": ROOTLESS_STATE})
    elif memory:
        volumes.append({"name": "buildkit-memory", "emptyDir": memory})
        mounts.append({"name": "buildkit-memory", "mountPath": STATE})
    return volumes, mounts


def _annotations(node: Node, options: Options) -> dict[str, str]:
    platforms = ",".join(str(platform) for platform in node.platforms)
    return {**({PLATFORM_ANNOTATION: platforms} if platforms else {}), **options.annotations}


def _metadata(name: str, chosen: Mapping[str, str], annotations: Mapping[str, str]) -> Manifest:
    return {"name": name, **_given(labels=dict(chosen), annotations=dict(annotations))}


def _given(**fields: Any) -> Manifest:
    """The fields that say something."""
    return {name: value for name, value in fields.items() if value}
