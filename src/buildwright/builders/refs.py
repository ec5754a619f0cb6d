"""Forgetting the local state of builds (buildx localstate/localstate.go): refs/<builder>/<node>/<ref> and groups.

A group of builds that were started together is forgotten with the last of its refs that a removal takes along.
"""

from __future__ import annotations

import json
from collections import Counter

from buildwright.builders.files import Folder

_GROUPS = "refs/__group__"


def remove_builder(folder: Folder, builder: str) -> None:
    for node in folder.names(f"refs/{builder}"):
        remove_node(folder, builder, node)
    folder.remove(f"refs/{builder}")


def remove_node(folder: Folder, builder: str, node: str) -> None:
    path = f"refs/{builder}/{node}"
    removed = Counter(_read(folder, f"{path}/{ref}").get("GroupRef") for ref in folder.names(path))
    for group, count in removed.items():
        if isinstance(group, str) and group and len(_list(_read(folder, f"{_GROUPS}/{group}"))) == count:
            folder.remove(f"{_GROUPS}/{group}")
    folder.remove(path)


def _read(folder: Folder, name: str) -> dict[str, object]:
    try:
        value = json.loads(folder.read(name) or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _list(group: dict[str, object]) -> list[object]:
    refs = group.get("Refs")
    return refs if isinstance(refs, list) else []
