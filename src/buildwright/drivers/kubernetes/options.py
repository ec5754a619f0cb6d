"""The kubernetes driver's options: `--driver-opt` texts to one frozen value. Pure.

Names, defaults and forms are buildx's (driver/kubernetes/factory.go). What buildx ignores or only finds out from the
cluster (a malformed toleration, a quantity, a label) is refused here, naming the option.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from buildwright.drivers import values
from buildwright.errors import DriverOptionError

IMAGE = "moby/buildkit:buildx-stable-1"
ROOTLESS_IMAGE = "moby/buildkit:buildx-stable-1-rootless"
QEMU_IMAGE = "tonistiigi/binfmt:latest"
PLATFORM_ANNOTATION = "buildx.docker.com/platform"
APP_LABEL = "app"

_QUANTITY = re.compile(r"\+?(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?", re.ASCII)
_NAME_PART = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)
_ENVIRONMENT = re.compile(r"[ -<>-~]+", re.ASCII)
_OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)

_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_LATER = frozenset(("persistent-volume-claim.requests.storage",))


class LoadBalance(StrEnum):
    STICKY = "sticky"
    RANDOM = "random"


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


def parse(texts: Mapping[str, str]) -> Options:
    """Read a node's driver options; raises DriverOptionError for one that is unknown or malformed."""
    found: dict[str, Any] = {"requests": {}, "limits": {}, "env": {}}
    for option, value in texts.items():
        group, _, rest = option.partition(".")
        if group == "env":
            found["env"][_environment_name(option, rest)] = value
        elif group in ("requests", "limits") and rest in _RESOURCES:
            found[group][rest] = _quantity(option, value)
        elif option in _READERS:
            name, read = _READERS[option]
            found[name] = read(option, value)
        elif option in _LATER:
            raise DriverOptionError(
                f'driver option "{option}" is not available in this version: leave it out', option=option
            )
        else:
            known = (*_READERS, *(f"{kind}.{name}" for kind in ("requests", "limits") for name in _RESOURCES))
            raise values.unknown(option, "kubernetes", (*known, "env.NAME"))
    for name, default in (("image", ROOTLESS_IMAGE if found.get("rootless") else IMAGE), ("qemu_image", QEMU_IMAGE)):
        found[name] = found.get(name) or default
    return Options(**found)


def _text(option: str, value: str) -> str:
    if value != value.strip() or any(character in value for character in "\n\r\0"):
        raise values.malformed(option, value, "write it without blanks around it")
    return value


def _quantity(option: str, value: str) -> str:
    if not _QUANTITY.fullmatch(value):
        raise values.malformed(option, value, "write a Kubernetes quantity, like 500m, 2 or 4Gi")
    return value


def _optional_quantity(option: str, value: str) -> str:
    return _quantity(option, value) if value else ""


def _namespace(option: str, value: str) -> str:
    if value and not _NAMESPACE.fullmatch(value):
        raise values.malformed(option, value, "write a name of lower-case letters, digits and - (at most 63)")
    return value


def _object_name(option: str, value: str) -> str:
    if value and not _OBJECT_NAME.fullmatch(value):
        raise values.malformed(option, value, "write the name of an object: lower-case letters, digits, - and .")
    return value


def _environment_name(option: str, name: str) -> str:
    if not _ENVIRONMENT.fullmatch(name):
        raise DriverOptionError(f'driver option "{option}" names no variable: write env.NAME=value', option=option)
    return name


def _qualified(option: str, value: str, key: str) -> None:
    prefix, slash, name = key.rpartition("/")
    if not _NAME_PART.fullmatch(name) or (slash and not _PREFIX.fullmatch(prefix)):
        raise values.malformed(
            option, value, f'"{key}" is no name that Kubernetes takes, like pool or example.com/pool'
        )


def _labels(option: str, value: str) -> dict[str, str]:
    found = values.pairs(option, value)
    for key, content in found.items():
        _qualified(option, value, key)
        if content and not _NAME_PART.fullmatch(content):
            raise values.malformed(
                option, value, f'the value "{content}" may have 63 letters, digits, -, _ and ., and no others'
            )
    return found


def _own_labels(option: str, value: str) -> dict[str, str]:
    found = _labels(option, value)
    if APP_LABEL in found:
        raise values.malformed(option, value, f'the label "{APP_LABEL}" is reserved for the builder itself')
    return found


def _annotations(option: str, value: str) -> dict[str, str]:
    found = values.pairs(option, value)
    for key in found:
        _qualified(option, value, key)
    if PLATFORM_ANNOTATION in found:
        raise values.malformed(option, value, f'the annotation "{PLATFORM_ANNOTATION}" is reserved, use --platform')
    return found


def _tolerations(option: str, value: str) -> tuple[Mapping[str, str | int], ...]:
    return tuple(_toleration(option, value, item) for item in value.strip('"').split(";"))


def _toleration(option: str, value: str, item: str) -> Mapping[str, str | int]:
    found: dict[str, str | int] = {}
    for pair in item.split(","):
        key, separator, content = pair.partition("=")
        if not separator or "=" in content or key not in ("key", "operator", "value", "effect", "tolerationSeconds"):
            raise values.malformed(
                option, value, f'"{pair}" should be one of key=, operator=, value=, effect=, tolerationSeconds='
            )
        found[key] = content
    if found.get("operator", "Equal") not in ("Equal", "Exists"):
        raise values.malformed(option, value, "operator is Equal or Exists")
    if found.get("effect", "") not in ("", "NoSchedule", "PreferNoSchedule", "NoExecute"):
        raise values.malformed(option, value, "effect is NoSchedule, PreferNoSchedule or NoExecute")
    if found.get("operator") == "Exists" and found.get("value"):
        raise values.malformed(option, value, "with operator=Exists there is no value")
    if not found.get("key") and found.get("operator") != "Exists":
        raise values.malformed(option, value, "name a key, or write operator=Exists to tolerate all taints")
    seconds = found.get("tolerationSeconds")
    if seconds is not None:
        if not re.fullmatch(r"[+-]?\d+", str(seconds), re.ASCII):
            raise values.malformed(option, value, "tolerationSeconds is a whole number")
        if found.get("effect") != "NoExecute":
            raise values.malformed(option, value, "tolerationSeconds goes with effect=NoExecute only")
        found["tolerationSeconds"] = int(seconds)
    return found


_Reader = Callable[[str, str], object]

_READERS: Mapping[str, tuple[str, _Reader]] = {
    "image": ("image", _text),
    "namespace": ("namespace", _namespace),
    "replicas": ("replicas", lambda option, value: values.integer(option, value, least=1)),
    "timeout": ("timeout", values.duration),
    "nodeselector": ("node_selector", _labels),
    "annotations": ("annotations", _annotations),
    "labels": ("labels", _own_labels),
    "tolerations": ("tolerations", _tolerations),
    "serviceaccount": ("service_account", _object_name),
    "schedulername": ("scheduler", _text),
    "rootless": ("rootless", values.boolean),
    "loadbalance": (
        "load_balance",
        lambda option, value: LoadBalance(values.choice(option, value, [kind.value for kind in LoadBalance])),
    ),
    "default-load": ("default_load", values.boolean),
    "buildkit-root-volume-memory": ("root_volume_memory", _optional_quantity),
    "qemu.install": ("qemu", values.boolean),
    "qemu.image": ("qemu_image", _text),
}
