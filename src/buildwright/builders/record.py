"""A builder's store file: the JSON of buildx store/nodegroup.go, byte for byte as Go's encoder writes it.

Go distinguishes null from an empty list or map, and buildx writes either; so these records hold None where the
rest of the program, which has `model.node.Builder`, sees something empty. Unknown keys are read over and not kept.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from buildwright.model.node import Builder, Node
from buildwright.model.platform import Platform

_T = TypeVar("_T")
_ESCAPED = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
_JSON_WORDS: Mapping[type, str] = {dict: "object", list: "list", str: "text", bool: "true or false"}
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    name: str
    endpoint: str
    platforms: tuple[Platform, ...] | None = None
    driver_opts: Mapping[str, str] | None = None
    flags: tuple[str, ...] | None = None
    files: Mapping[str, bytes] | None = None

    def node(self) -> Node:
        return Node(
            name=self.name,
            endpoint=self.endpoint,
            platforms=self.platforms or (),
            driver_opts=self.driver_opts or {},
            flags=self.flags or (),
            files=self.files or {},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRecord:
    """`name` is as the user wrote it; its file has the lower-cased name."""

    name: str
    driver: str
    nodes: tuple[NodeRecord, ...] = ()
    dynamic: bool = False

    def builder(self, last_activity: str = "") -> Builder:
        return Builder(
            name=self.name,
            driver=self.driver,
            nodes=tuple(node.node() for node in self.nodes),
            last_activity=last_activity,
        )


def encode(group: GroupRecord) -> bytes:
    return go_json(
        {
            "Name": group.name,
            "Driver": group.driver,
            "Nodes": [_encode_node(node) for node in group.nodes] or None,
            "Dynamic": group.dynamic,
        }
    )


def decode(data: bytes) -> GroupRecord:
    """Read a store file; ValueError says what is wrong with it."""
    document = _expect(json.loads(data), dict, "the file")
    nodes = _optional(document, "Nodes", list) or []
    return GroupRecord(
        name=_optional(document, "Name", str) or "",
        driver=_optional(document, "Driver", str) or "",
        nodes=tuple(_decode_node(_expect(node, dict, "Nodes")) for node in nodes),
        dynamic=_optional(document, "Dynamic", bool) or False,
    )


def go_json(value: object) -> bytes:
    """Compact JSON with the escapes of Go's encoding/json."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPED)
    return _SURROGATE.sub(r"\\ufffd", text).encode()


def _encode_node(node: NodeRecord) -> dict[str, object]:
    files = node.files
    return {
        "Name": node.name,
        "Endpoint": node.endpoint,
        "Platforms": None if node.platforms is None else [_encode_platform(item) for item in node.platforms],
        "DriverOpts": None if node.driver_opts is None else dict(sorted(node.driver_opts.items())),
        "Flags": None if node.flags is None else list(node.flags),
        "Files": None if files is None else {name: base64.b64encode(files[name]).decode() for name in sorted(files)},
    }


def _encode_platform(platform: Platform) -> dict[str, object]:
    document: dict[str, object] = {"architecture": platform.architecture, "os": platform.os}
    if platform.os_version:
        document["os.version"] = platform.os_version
    if platform.os_features:
        document["os.features"] = list(platform.os_features)
    if platform.variant:
        document["variant"] = platform.variant
    return document


def _decode_node(document: dict[str, object]) -> NodeRecord:
    platforms = _optional(document, "Platforms", list)
    flags = _optional(document, "Flags", list)
    return NodeRecord(
        name=_optional(document, "Name", str) or "",
        endpoint=_optional(document, "Endpoint", str) or "",
        platforms=None if platforms is None else tuple(map(_decode_platform, platforms)),
        driver_opts=_map(document, "DriverOpts", str),
        flags=None if flags is None else tuple(_expect(flag, str, "Flags") for flag in flags),
        files=_map(document, "Files", _bytes),
    )


def _decode_platform(value: object) -> Platform:
    document = _expect(value, dict, "Platforms")
    features = _optional(document, "os.features", list) or []
    return Platform(
        os=_optional(document, "os", str) or "",
        architecture=_optional(document, "architecture", str) or "",
        variant=_optional(document, "variant", str) or "",
        os_version=_optional(document, "os.version", str) or "",
        os_features=tuple(_expect(feature, str, "os.features") for feature in features),
    )


def _expect(value: object, kind: type[_T], where: str) -> _T:
    if not isinstance(value, kind):
        raise ValueError(f"{where} holds no {_JSON_WORDS.get(kind, kind.__name__)}")
    return value


def _optional(document: Mapping[str, object], key: str, kind: type[_T]) -> _T | None:
    value = document.get(key)
    return None if value is None else _expect(value, kind, key)


def _map(document: Mapping[str, object], key: str, read: Callable[[str], _T]) -> dict[str, _T] | None:
    values = _optional(document, key, dict)
    if values is None:
        return None
    return {name: read(_expect(value, str, key)) for name, value in values.items()}


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"Files holds no base64: {error}") from None
