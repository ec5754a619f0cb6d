"""A node's objects in the cluster, as pure functions of its options.

The form is that of buildx (driver/kubernetes/manifest), so that either tool uses what the other made. It differs:
the readiness probe waits for the daemon, so that no period is lost; ephemeral-storage requests are requests; a
rootless daemon is told where its configuration is; a claim leaves other mounts alone; private keys are in Secrets; no
token of the namespace's own account is mounted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from buildwright.drivers import values
from buildwright.drivers.kubernetes.choose import CONTAINER
from buildwright.drivers.kubernetes.manifests import drain, patch
from buildwright.drivers.kubernetes.manifests.files import ROOT, contents, folders
from buildwright.drivers.kubernetes.manifests.gc import CONFIG_FILE
from buildwright.drivers.kubernetes.name import builder_of
from buildwright.drivers.kubernetes.options import TEMPLATE, Options
from buildwright.drivers.kubernetes.placement import APP_LABEL, PLATFORM_ANNOTATION, is_label_value
from buildwright.errors import DriverOptionError
from buildwright.model.node import Node

STATE = "/var/lib/buildkit"
ROOTLESS_STATE = "/home/user/.local/share/buildkit"
ROOTLESS_USER = 1000
CLAIM = "buildkitd"
"""The claim template's name; a pod's claim is called that, a dash and the pod's name."""

MANAGED_BY = "app.kubernetes.io/managed-by"
BUILDER = "builder"
TTL = "buildwright/ttl"
"""Annotation of the workload: after how long without a build it may be collected, as a Go duration."""

LAST_USED = "buildwright/last-used"
"""Annotation of the workload: when a build last began, went on or ended there (RFC 3339)."""
APPARMOR_FIELD = (1, 30)
"""The release since which a container's AppArmor profile is a field, and the annotation deprecated."""

Manifest = dict[str, Any]

_READINESS = {
    "exec": {"command": ["sh", "-c", "buildctl --wait debug workers || exec buildctl debug workers"]},
    "periodSeconds": 5,
    "timeoutSeconds": 10,
    "failureThreshold": 6,
}
"""The kubelet asks as soon as the container runs, and this waits for the daemon (--wait came with BuildKit 0.12). A
missed moment costs one period. A startup probe would be asked only at its own ticks, never at once."""
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


def marks(name: str, node: Node, options: Options) -> dict[str, str]:
    """Labels of every object: these, and by which builder and by whom it was made. The user's own come first."""
    builder = builder_of(node.endpoint)
    ours = {MANAGED_BY: "buildwright", **({BUILDER: builder} if builder and is_label_value(builder) else {})}
    return {**ours, **labels(name, options)}


def config_maps(name: str, node: Node, options: Options) -> list[Manifest]:
    """One ConfigMap for each folder of files under /etc/buildkit that has other than private keys."""
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": _metadata(f"{name}-{folder.volume}", marks(name, node, options), _annotations(node, options)),
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
            "metadata": _metadata(f"{name}-{folder.volume}", marks(name, node, options), _annotations(node, options)),
            "data": folder.secret_data(),
        }
        for folder in folders(contents(node, options))
        if folder.private
    ]


def file_objects(name: str, node: Node, options: Options) -> list[str]:
    """Names that ConfigMaps and Secrets of the node's files may have, whichever tool has made them."""
    return [f"{name}-{folder.volume}" for folder in folders(contents(node, options))]


def budget(name: str, node: Node, options: Options) -> Manifest | None:
    """The PodDisruptionBudget that goes with the workload; None when builds hold up nothing."""
    return drain.budget(name, labels(name, options), marks(name, node, options)) if options.drain else None


def workload(name: str, node: Node, options: Options, *, apparmor_field: bool = True) -> Manifest:
    """A node's Deployment, or StatefulSet when its pods have volume claims; `name` is its object name.

    `apparmor_field`: whether the server is of the release APPARMOR_FIELD or later.

    Raises DriverOptionError when the pod template's patch makes no pod of it that we could use.
    """
    marked = marks(name, node, options)
    annotations = _annotations(node, options)
    pod_annotations = dict(annotations)
    if options.rootless and not apparmor_field:
        pod_annotations[f"container.apparmor.security.beta.kubernetes.io/{CONTAINER}"] = "unconfined"
    template: Manifest = {"metadata": {"labels": marked, **_given(annotations=pod_annotations)}}
    template["spec"] = _pod(name, node, options, apparmor_field=apparmor_field)
    spec = {
        "replicas": options.replicas,
        "selector": {"matchLabels": labels(name, options)},
        "template": _patched(template, labels(name, options), options) if options.pod_template else template,
    }
    if options.claim:
        spec |= {
            "serviceName": CLAIM,
            "podManagementPolicy": "Parallel",
            "volumeClaimTemplates": [_claim(marked, options)],
        }
        if options.owner:
            spec["persistentVolumeClaimRetentionPolicy"] = {"whenDeleted": "Delete", "whenScaled": "Retain"}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet" if options.claim else "Deployment",
        "metadata": _metadata(
            name, marked, {**annotations, **_given(**{TTL: f"{math.ceil(options.ttl)}s" if options.ttl else ""})}
        ),
        "spec": spec,
    }


def _claim(marked: Mapping[str, str], options: Options) -> Manifest:
    return {
        "metadata": {"name": CLAIM, "labels": dict(marked)},
        "spec": {
            "accessModes": [options.access_mode or "ReadWriteOnce"],
            "resources": {"requests": {"storage": options.claim}},
            **_given(storageClassName=options.storage_class),
        },
    }


def _patched(template: Manifest, selector: Mapping[str, str], options: Options) -> Manifest:
    """The template with the user's patch, which must leave what we find pods and daemons by."""
    from buildwright.kube import schema

    try:
        merged = patch.merge(template, options.pod_template)
        wrong = schema.fault("PodTemplateSpec", merged)
    except ValueError as error:
        wrong = str(error)
    if wrong:
        raise values.malformed(TEMPLATE, json.dumps(options.pod_template), f"it makes no valid pod ({wrong})")
    kept = merged.get("metadata", {}).get("labels", {}).items() >= selector.items()
    names = [container["name"] for container in merged.get("spec", {}).get("containers", ())]
    if not kept or CONTAINER not in names:
        raise DriverOptionError(
            f'driver option "{TEMPLATE}" takes away what the builder is found by: leave the label "{APP_LABEL}", the '
            f'labels of the option labels and the container "{CONTAINER}" as they are',
            option=TEMPLATE,
        )
    return merged


def _pod(name: str, node: Node, options: Options, *, apparmor_field: bool) -> Manifest:
    volumes, mounts = _volumes(name, node, options)
    container = {
        "name": CONTAINER,
        "image": options.image,
        **_given(
            args=_arguments(node, options), env=[{"name": k, "value": options.env[k]} for k in sorted(options.env)]
        ),
        "securityContext": _security(options, apparmor_field=apparmor_field),
        "readinessProbe": _READINESS,
        "livenessProbe": _LIVENESS,
        **_given(lifecycle=drain.hook(options.drain), resources=_resources(options), volumeMounts=mounts),
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
            initContainers=[
                *([_state_owner(options)] if options.rootless and options.claim else []),
                *([emulators] if options.qemu else []),
            ],
            terminationGracePeriodSeconds=drain.grace(options.drain),
        ),
        # A daemon has no use for the cluster's API, and a pod without volumes starts a third of a second sooner.
        **({} if options.service_account else {"automountServiceAccountToken": False}),
        "containers": [container],
        **_given(volumes=volumes),
    }


def _state_owner(options: Options) -> Manifest:
    """A volume belongs to root at first, and fsGroup would leave its mark on every folder of the images in it."""
    return {
        "name": "state-owner",
        "image": options.image,
        "command": ["chown", f"{ROOTLESS_USER}:{ROOTLESS_USER}", ROOTLESS_STATE],
        "securityContext": {"runAsUser": 0, "runAsNonRoot": False},
        **_given(resources=_resources(options)),
        "volumeMounts": [{"name": CLAIM, "mountPath": ROOTLESS_STATE}],
    }


def _resources(options: Options) -> Manifest:
    return _given(requests=dict(options.requests), limits=dict(options.limits))


def _arguments(node: Node, options: Options) -> list[str]:
    arguments = list(node.flags)
    if options.rootless:
        configured = any(flag == "--config" or flag.startswith("--config=") for flag in arguments)
        if CONFIG_FILE in contents(node, options) and not configured:
            arguments.append(f"--config={ROOT}/{CONFIG_FILE}")
        arguments.append("--oci-worker-no-process-sandbox")
    return arguments


def _security(options: Options, *, apparmor_field: bool) -> Manifest:
    if not options.rootless:
        return {"privileged": True}
    unconfined = {"type": "Unconfined"}
    return {"seccompProfile": unconfined, **({"appArmorProfile": unconfined} if apparmor_field else {})}


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
