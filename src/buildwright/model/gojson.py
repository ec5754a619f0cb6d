"""JSON as Go's encoding/json writes it, where the bytes matter because their digest is a name."""

from __future__ import annotations

import json

_ESCAPED = "<>&\u2028\u2029"


def indented(value: object) -> str:
    """What MarshalIndent with two spaces gives; keys stay in the order they have, no newline at the end.

    Go escapes `<`, `>` and `&`, and the two line separators that JavaScript minds.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False)
    for character in _ESCAPED:
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
