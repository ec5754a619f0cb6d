"""Strategic merge patches of a pod template (Kubernetes' patch strategies of core/v1 PodTemplateSpec). Pure.

Objects are merged, null takes a field away, lists of things with names are merged by these, and all other lists are
replaced. `"$patch": "delete"` takes a list's item away, `"$patch": "replace"` puts an object in the place of another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KEYS: Mapping[str, str] = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "schedulingGates": "name",
    "resourceClaims": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "hostAliases": "ip",
    "ports": "containerPort",
    "topologySpreadConstraints": "topologyKey",
}
_DIRECTIVE = "$patch"


def merge(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """`target` with `patch` applied; both stay as they are. ValueError says what is wrong with the patch."""
    directive, fields = _split(patch)
    merged = {} if directive == "replace" else dict(target)
    for name, value in fields.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            before = merged.get(name)
            merged[name] = merge(before if isinstance(before, dict) else {}, value)
        elif isinstance(value, list) and name in _KEYS:
            before = merged.get(name)
            merged[name] = _merge_list(name, before if isinstance(before, list) else [], value)
        else:
            merged[name] = value
    return merged


def _merge_list(name: str, target: list[Any], patch: list[Any]) -> list[Any]:
    key = _KEYS[name]
    merged = list(target)
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise ValueError(f'every item of "{name}" needs a "{key}", by which it is found')
        at = next((at for at, other in enumerate(merged) if other.get(key) == item[key]), None)
        if item.get(_DIRECTIVE) == "delete":
            if at is not None:
                del merged[at]
        elif at is None:
            merged.append(merge({}, item))
        else:
            merged[at] = merge(merged[at], item)
    return merged


def _split(patch: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The directive of an object and its fields."""
    directive = patch.get(_DIRECTIVE, "merge")
    if directive not in ("merge", "replace"):
        raise ValueError(f'"{_DIRECTIVE}" is "merge" or "replace", and for an item of a list also "delete"')
    fields = {name: value for name, value in patch.items() if name != _DIRECTIVE}
    if unknown := next((name for name in fields if name.startswith("$")), ""):
        raise ValueError(f'the directive "{unknown}" is not available, "{_DIRECTIVE}" is')
    return directive, fields
