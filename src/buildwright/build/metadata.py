"""The exporter's response as `--metadata-file` shows it (buildx commands/build.go)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping

from buildwright.model.gojson import indented


def decode_response(response: Mapping[str, str]) -> dict[str, object]:
    """Values that are base64 of a non-empty JSON object, or of a list of objects, become that; others stay text."""
    return {key: _decode(key, value) for key, value in response.items()}


def _decode(key: str, value: str) -> object:
    try:
        text = value if key == "result.json" else base64.b64decode(value, validate=True)
        decoded: object = json.loads(text)
    except (binascii.Error, ValueError):
        return value
    if isinstance(decoded, dict):
        return decoded or value
    if isinstance(decoded, list) and decoded and all(isinstance(item, dict) for item in decoded):
        return decoded
    return value


def dump(metadata: Mapping[str, object]) -> str:
    """Two-space JSON with sorted top-level keys, as Go's MarshalIndent writes a map; no newline at the end."""
    return indented(dict(sorted(metadata.items())))
