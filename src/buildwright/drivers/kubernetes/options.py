"""The kubernetes driver's options: `--driver-opt` texts to one frozen value. Pure.

Names, defaults and forms are buildx's (driver/kubernetes/factory.go). What buildx ignores or only finds out from the
cluster (a malformed toleration, a quantity, a label) is refused here, naming the option.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from buildwright.drivers import values
from buildwright.drivers.kubernetes import placement, quantity
from buildwright.drivers.kubernetes.name import is_label, is_subdomain
from buildwright.errors import DriverOptionError, UsageError
from buildwright.model.reference import check_reference

IMAGE = "moby/buildkit:buildx-stable-1"
ROOTLESS_IMAGE = "moby/buildkit:buildx-stable-1-rootless"
QEMU_IMAGE = "tonistiigi/binfmt:latest"

CLAIM = "persistent-volume-claim.requests.storage"
STORAGE_CLASS = "persistent-volume-claim.storageclass"
ACCESS_MODE = "persistent-volume-claim.accessmode"
TEMPLATE = "podtemplate"
FROM_FILES = ("affinity", "topologyspread", TEMPLATE)
"""Options whose value may be `@` and a file's name when a builder is created."""

FOR_ALL_PODS = ("context", "default-load", "labels", "loadbalance", "managed", "namespace", "timeout")
"""Options that matter for pods that are not ours, too."""

_WITH_COMMAS = ("nodeselector", "annotations", "labels", "tolerations", "imagepullsecrets")
"""Options whose values may have commas, so that the pair is to be quoted."""
_PLACING = ("context", "labels", "managed", "namespace", CLAIM)
"""Options by which the objects are found."""

_ENVIRONMENT = re.compile(r"[!-<>-~]+", re.ASCII)

_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_ACCESS_MODES = ("ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany")
_FILE_LIMIT = 1 << 18
_LEAST_BYTES = 4 << 20
_MOST_REPLICAS = 1000


class LoadBalance(StrEnum):
    STICKY = "sticky"
    RANDOM = "random"
    AFFINITY = "affinity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`timeout` is in seconds; quantities are kept as they were written; "" stands for the cluster's default."""

    image: str = IMAGE
    namespace: str = ""
    replicas: int = 1
    timeout: float = 120.0
    requests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, str | int], ...] = ()
    service_account: str = ""
    scheduler: str = ""
    rootless: bool = False
    load_balance: LoadBalance = LoadBalance.STICKY
    default_load: bool = False
    root_volume_memory: str = ""
    qemu: bool = False
    qemu_image: str = QEMU_IMAGE
    env: Mapping[str, str] = field(default_factory=dict)
    claim: str = ""
    """How large each pod's volume claim is; without one the state goes with the pod."""
    storage_class: str = ""
    access_mode: str = ""
    pull_secrets: tuple[str, ...] = ()
    priority_class: str = ""
    affinity: Mapping[str, Any] = field(default_factory=dict)
    spread: tuple[Mapping[str, Any], ...] = ()
    pod_template: Mapping[str, Any] = field(default_factory=dict)
    """A strategic merge patch of the pod template."""
    context: str = ""
    """The kubeconfig's context; "" for the one that was current when the builder was created."""
    managed: bool = True
    """Whether workload and pods are ours to make, scale and delete; otherwise pods are found by `labels`."""
    drain: float = 600.0
    """Seconds for which running builds hold up what would end their pod; 0 for as long as Kubernetes does."""
    ttl: float = 0.0
    """Seconds without a build after which the builder may be collected; 0 for never."""
    owner: str = ""
    """`auto` for the pod that we run in, or `pod/NAME`: with its end everything of the builder goes."""


def parse(texts: Mapping[str, str]) -> Options:
    """Read a node's driver options; raises DriverOptionError for one that is unknown or malformed."""
    found: dict[str, Any] = {"requests": {}, "limits": {}, "env": {}}
    before = ""
    for option, value in texts.items():
        group, _, rest = option.partition(".")
        if group == "env":
            found["env"][_environment_name(option, rest)] = value
        elif group in ("requests", "limits") and rest in _RESOURCES:
            if value:
                found[group][rest] = _quantity(option, value) if rest == "cpu" else _amount(option, value)
        elif option in _READERS:
            name, read = _READERS[option]
            found[name] = read(option, value)
        else:
            known = (*_READERS, *(f"{kind}.{name}" for kind in ("requests", "limits") for name in _RESOURCES))
            after = before if before in _WITH_COMMAS else ""
            raise values.unknown(option, "kubernetes", (*known, "env.NAME"), after=after)
        before = option
    for name, default in (("image", ROOTLESS_IMAGE if found.get("rootless") else IMAGE), ("qemu_image", QEMU_IMAGE)):
        found[name] = found.get(name) or default
    return _fitting(Options(**found))


def removable(texts: Mapping[str, str]) -> dict[str, str]:
    """The options without those at fault, of which what is to be removed may have been made by another tool.

    Raises DriverOptionError for a fault in one that says where the objects are.
    """
    kept = dict(texts)
    while True:
        try:
            parse(kept)
            return kept
        except DriverOptionError as error:
            if error.option in _PLACING or kept.pop(error.option, None) is None:
                raise


def settled(texts: Mapping[str, str]) -> dict[str, str]:
    """Options as a builder keeps them: those that name a file hold what is in it.

    Raises DriverOptionError for a file that cannot be read or is no JSON. The only function here that reads files.
    """
    return {
        option: _content(option, value) if option in FROM_FILES and value.startswith("@") else value
        for option, value in texts.items()
    }


def _content(option: str, value: str) -> str:
    try:
        with open(os.path.expanduser(value[1:]), encoding="utf-8") as file:
            text = file.read(_FILE_LIMIT + 1)
        if len(text) > _FILE_LIMIT:
            raise values.malformed(option, value, "the file is larger than 256 KiB")
        return json.dumps(json.loads(text), separators=(",", ":"))
    except OSError as error:
        raise values.malformed(option, value, f"the file cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise values.malformed(option, value, f"the file is no JSON ({error})") from error


def _text(option: str, value: str) -> str:
    if value != value.strip() or any(character in value for character in "\n\r\0"):
        raise values.malformed(option, value, "write it without blanks around it")
    return value


def _quantity(option: str, value: str) -> str:
    try:
        quantity.parse(value)
    except ValueError:
        right = "like 500m or 2" if option.endswith(".cpu") else "like 512Mi or 4Gi"
        raise values.malformed(option, value, f"write a Kubernetes quantity, {right}") from None
    return value


def _amount(option: str, value: str) -> str:
    """Bytes. `500m`, which looks like megabytes, is half a byte."""
    amount = quantity.parse(_quantity(option, value))
    if 0 < amount < 1:
        raise values.malformed(option, value, "that is less than a byte: write a size like 512Mi or 4Gi")
    if option.startswith("limits.") and amount < _LEAST_BYTES:
        raise values.malformed(
            option, value, "no container goes on with less than 4Mi: write a size like 512Mi or 4Gi"
        )
    return value


def _size(option: str, value: str) -> str:
    if value and not quantity.parse(_amount(option, value)):
        raise values.malformed(option, value, "write a size like 512Mi or 4Gi")
    return value


def _image(option: str, value: str) -> str:
    try:
        return check_reference(value) if value else value
    except UsageError:
        raise values.malformed(option, value, f"write the name of an image, like {IMAGE}") from None


def _namespace(option: str, value: str) -> str:
    if value and not is_label(value):
        raise values.malformed(option, value, "write a name of lower-case letters, digits and - (at most 63)")
    return value


def _object_name(option: str, value: str) -> str:
    if value and not is_subdomain(value):
        raise values.malformed(option, value, "write the name of an object: lower-case letters, digits, - and .")
    return value


def _environment_name(option: str, name: str) -> str:
    if not _ENVIRONMENT.fullmatch(name):
        raise DriverOptionError(f'driver option "{option}" names no variable: write env.NAME=value', option=option)
    return name


def _object_names(option: str, value: str) -> tuple[str, ...]:
    names = tuple(value.split(","))
    if not all(is_subdomain(name) for name in names):
        raise values.malformed(option, value, "write names of secrets, with commas between them")
    return names


def _owner(option: str, value: str) -> str:
    kind, slash, name = value.partition("/")
    if value in ("", "auto") or (kind == "pod" and slash and is_subdomain(name)):
        return value
    raise values.malformed(option, value, "write auto, for the pod that this runs in, or pod/NAME")


def _fitting(options: Options) -> Options:
    """Refuse what no cluster takes of several options together."""
    for name, most in options.limits.items():
        least = options.requests.get(name, "")
        if least and quantity.parse(least) > quantity.parse(most):
            raise values.malformed(
                f"requests.{name}", least, f"it is more than limits.{name}={most}: write at most that"
            )
    for option, given in ((STORAGE_CLASS, options.storage_class), (ACCESS_MODE, options.access_mode)):
        if given and not options.claim:
            raise DriverOptionError(
                f'driver option "{option}" goes with {CLAIM}: say how large the volume shall be', option=option
            )
    if options.managed and placement.APP_LABEL in options.labels:
        raise DriverOptionError(
            f'driver option labels may not have "{placement.APP_LABEL}": that label is the builder\'s own',
            option="labels",
        )
    if not options.managed and not options.labels:
        raise DriverOptionError(
            'driver option managed="false" goes with labels: say by which labels the pods are found', option="managed"
        )
    return options


_Reader = Callable[[str, str], object]

_READERS: Mapping[str, tuple[str, _Reader]] = {
    "image": ("image", _image),
    "namespace": ("namespace", _namespace),
    "replicas": (
        "replicas",
        lambda option, value: values.integer(option, value, least=1, most=_MOST_REPLICAS),
    ),
    "timeout": ("timeout", values.duration),
    "nodeselector": ("node_selector", placement.labels),
    "annotations": ("annotations", placement.own_annotations),
    "labels": ("labels", placement.labels),
    "tolerations": ("tolerations", placement.tolerations),
    "serviceaccount": ("service_account", _object_name),
    "schedulername": ("scheduler", _object_name),
    "rootless": ("rootless", values.boolean),
    "loadbalance": (
        "load_balance",
        lambda option, value: LoadBalance(values.choice(option, value, [kind.value for kind in LoadBalance])),
    ),
    "default-load": ("default_load", values.boolean),
    "buildkit-root-volume-memory": ("root_volume_memory", _size),
    "qemu.install": ("qemu", values.boolean),
    "qemu.image": ("qemu_image", _image),
    CLAIM: ("claim", _size),
    STORAGE_CLASS: ("storage_class", _object_name),
    ACCESS_MODE: ("access_mode", lambda option, value: values.choice(option, value, _ACCESS_MODES)),
    "imagepullsecrets": ("pull_secrets", _object_names),
    "priorityclass": ("priority_class", _object_name),
    "affinity": ("affinity", placement.affinity),
    "topologyspread": ("spread", placement.spread),
    TEMPLATE: ("pod_template", placement.pod_template),
    "context": ("context", _text),
    "managed": ("managed", values.boolean),
    "drain": ("drain", values.duration),
    "ttl": ("ttl", values.duration),
    "owner": ("owner", _owner),
}
