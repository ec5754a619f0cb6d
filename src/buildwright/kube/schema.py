"""Whether plain JSON fits a type of the API, down to the last field, as a server with strict validation checks it."""

from __future__ import annotations

from typing import Any


def fault(kind: str, value: object) -> str:
    """What is wrong with `value` as a core/v1 `kind`, like PodTemplateSpec; "" when nothing is."""
    import msgspec
    from lightkube.models import core_v1

    try:
        read = msgspec.convert(value, getattr(core_v1, kind))
    except msgspec.ValidationError as error:
        return str(error).replace("`", "").replace(" - at $", " at ").replace("at .", "at ")
    lost = _lost(value, msgspec.to_builtins(read), "")
    return f"{kind} has no field {lost}" if lost else ""


def _lost(value: Any, kept: Any, path: str) -> str:
    """The path of the first field that reading dropped."""
    if isinstance(value, dict) and isinstance(kept, dict):
        for key, inner in value.items():
            where = f"{path}.{key}" if path else key
            if inner is None:
                continue
            if key not in kept:
                return where
            if found := _lost(inner, kept[key], where):
                return found
    elif isinstance(value, list) and isinstance(kept, list):
        for number, (inner, other) in enumerate(zip(value, kept, strict=True)):
            if found := _lost(inner, other, f"{path}[{number}]"):
                return found
    return ""
