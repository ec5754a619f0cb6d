"""What differs between two states of an object, as lines to read: a path, and what it was and will be. Pure.

Left out are an object's status and what the server alone writes. Contents of Secrets, private keys elsewhere,
and values of a container's environment are told to differ and never shown.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from buildwright.kube.api import Object

_OWN = ("labels", "annotations")
_SERVERS = ("apiVersion", "kind", "metadata", "status")
_KEYS = ("name", "mountPath", "topologyKey", "ip")
"""What tells the items of a list apart, if all have one and no two the same."""
_SHOWN_OF_ENV = ((".name",), (".valueFrom",))
_PLAIN = re.compile(r"[\w./:@=-]+", re.ASCII)
_LONGEST = 160
_HIDDEN = "(not shown)"


def difference(before: Object | None, after: Object | None) -> list[str]:
    """Lines for what changes of an object that is made (`before` is None), changed, or deleted (`after` is None)."""
    kind = (after or before or {}).get("kind", "")
    old, new = (None if state is None else _compared(state) for state in (before, after))
    if old is None or new is None:
        return [] if old is new else ["is deleted" if new is None else "is made"]
    return [line for steps, was, will in _walk((), old, new) for line in _lines(kind, steps, was, will)]


def _compared(item: Object) -> Object:
    metadata = item.get("metadata") or {}
    kept = {name: metadata[name] for name in _OWN if metadata.get(name)}
    return {"metadata": kept, **{name: value for name, value in item.items() if name not in _SERVERS}}


def _walk(steps: tuple[str, ...], old: Any, new: Any) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """The leaves that differ, by the steps that lead to them; None stands for one that is not there."""
    if old == new:
        return
    before, after = _children(old), _children(new)
    if (before is None and old is not None) or (after is None and new is not None) or not (before or after):
        yield steps, old, new
        return
    before, after = before or {}, after or {}
    for name in sorted({*before, *after}):
        yield from _walk((*steps, name), before.get(name), after.get(name))


def _children(value: Any) -> dict[str, Any] | None:
    """The parts of a value by the step that leads to each; None for one that is a leaf."""
    if isinstance(value, dict):
        return {_step(name): part for name, part in value.items()}
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return None
    for key in _KEYS:
        names = [item.get(key) for item in value]
        if None not in names and len(set(names)) == len(names):
            return {f"[{item[key]}]": item for item in value}
    return None


def _step(name: str) -> str:
    return f".{name}" if name.isidentifier() else f"[{name}]"


def _lines(kind: str, steps: tuple[str, ...], old: Any, new: Any) -> list[str]:
    path = "".join(steps).lstrip(".")
    if _is_secret(kind, steps, old, new):
        word = "changed" if old is not None and new is not None else "removed" if new is None else "added"
        return [f"{path}: {word} {_HIDDEN}"]
    if kind == "ConfigMap" and steps[0] == ".data":
        shown = difflib.unified_diff((old or "").splitlines(), (new or "").splitlines(), n=1, lineterm="")
        return [f"{path}:", *(f"  {line}" for line in list(shown)[2:])]
    return [f"{path}: {_shown(old)} -> {_shown(new)}"]


def _is_secret(kind: str, steps: tuple[str, ...], old: Any, new: Any) -> bool:
    if steps[0] == ".binaryData" or (kind == "Secret" and steps[0] in (".data", ".stringData")):
        return True
    for at in range(1, len(steps)):
        # An item of a list that has an `env` is a container; a label may be called that too.
        if steps[at] == ".env" and steps[at - 1].startswith("["):
            return steps[at + 2 : at + 3] not in _SHOWN_OF_ENV
    return any("PRIVATE KEY" in text for text in (old, new) if isinstance(text, str))


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) and _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def merged(live: Object, wanted: Mapping[str, Any], before: Mapping[str, Any]) -> Object:
    """`wanted` as what `live` shall become: the marks that others have set on it stay, ours of `before` go.

    All else of it is as `wanted`, so what someone changed by hand is put back.
    """
    metadata = {name: value for name, value in live["metadata"].items() if name not in (*_OWN, "managedFields")}
    return {**wanted, "metadata": metadata | marks(live["metadata"], wanted["metadata"], before.get("metadata", {}))}


def marks(live: Mapping[str, Any], wanted: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Labels and annotations: those of `wanted`, and of `live` those that `before` did not have."""
    found = {}
    for name in _OWN:
        others = {key: value for key, value in (live.get(name) or {}).items() if key not in (before.get(name) or {})}
        found[name] = others | dict(wanted.get(name) or {})
    return {name: value for name, value in found.items() if value}
