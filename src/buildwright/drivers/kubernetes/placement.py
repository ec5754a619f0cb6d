"""Option values that place pods and mark objects: labels, taints, and parts of a pod as JSON. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from buildwright.drivers import values
from buildwright.drivers.kubernetes.name import is_subdomain

PLATFORM_ANNOTATION = "buildx.docker.com/platform"
APP_LABEL = "app"

_NAME_PART = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)
_SPREAD = '[{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}]'


def is_label_value(text: str) -> bool:
    return not text or _NAME_PART.fullmatch(text) is not None


def labels(option: str, value: str) -> dict[str, str]:
    found = values.pairs(option, value)
    for key, content in found.items():
        _qualified(option, value, key)
        if not is_label_value(content):
            raise values.malformed(
                option, value, f'the value "{content}" may have 63 letters, digits, -, _ and ., and no others'
            )
    return found


def own_annotations(option: str, value: str) -> dict[str, str]:
    found = values.pairs(option, value)
    for key in found:
        _qualified(option, value, key)
    if PLATFORM_ANNOTATION in found:
        raise values.malformed(option, value, f'the annotation "{PLATFORM_ANNOTATION}" is reserved, use --platform')
    return found


def _qualified(option: str, value: str, key: str) -> None:
    prefix, slash, name = key.rpartition("/")
    if not _NAME_PART.fullmatch(name) or (slash and not is_subdomain(prefix)):
        raise values.malformed(
            option, value, f'"{key}" is no name that Kubernetes takes, like pool or example.com/pool'
        )


def tolerations(option: str, value: str) -> tuple[Mapping[str, str | int], ...]:
    return tuple(_toleration(option, value, item) for item in value.strip('"').split(";"))


def _toleration(option: str, value: str, item: str) -> Mapping[str, str | int]:
    found: dict[str, str | int] = {}
    # buildx skips empty parts too, so that a comma too many does no harm.
    for pair in filter(None, item.split(",")):
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


def affinity(option: str, value: str) -> dict[str, Any]:
    from buildwright.kube import schema

    found = _json(option, value)
    if fault := schema.fault("Affinity", found):
        raise values.malformed(option, value, f"write a Kubernetes Affinity as a JSON object ({fault})")
    return dict(found)


def spread(option: str, value: str) -> tuple[dict[str, Any], ...]:
    from buildwright.kube import schema

    found = _json(option, value)
    if not isinstance(found, list):
        raise values.malformed(option, value, f"write a JSON list, like {_SPREAD}")
    for constraint in found:
        if fault := schema.fault("TopologySpreadConstraint", constraint):
            raise values.malformed(option, value, f"write topology spread constraints like {_SPREAD} ({fault})")
    return tuple(found)


def pod_template(option: str, value: str) -> dict[str, Any]:
    found: dict[str, Any] = _json(option, value)
    metadata = found.get("metadata", {}) if isinstance(found, dict) else None
    if not isinstance(metadata, dict) or not isinstance(found.get("spec", {}), dict) or set(found) - _TEMPLATE:
        raise values.malformed(option, value, 'write a JSON object with "spec", "metadata" or both, like a pod has')
    if set(metadata) - {"labels", "annotations"}:
        raise values.malformed(option, value, 'its "metadata" may have "labels" and "annotations" only')
    return found


_TEMPLATE = {"metadata", "spec"}


def _json(option: str, value: str) -> Any:
    if value.startswith("@"):
        raise values.malformed(option, value, "a file is read when the builder is created: create the builder anew")
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise values.malformed(option, value, f"write JSON, or @ and the name of a JSON file ({error})") from None
