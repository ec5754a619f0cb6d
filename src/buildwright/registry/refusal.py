"""What a registry or a token server says of a refusal, in the forms that distribution and OAuth2 give it."""

from __future__ import annotations

import json

_TEXT_LIMIT = 200


def reason(body: bytes) -> str:
    """One short line, "" when the body has none."""
    try:
        told = json.loads(body)
        if errors := told.get("errors"):
            told = errors[0]
        text = told.get("error_description") or told.get("message") or told.get("details") or told.get("error") or ""
    except (ValueError, AttributeError, LookupError, TypeError):
        return ""
    return " ".join(text.split())[:_TEXT_LIMIT] if isinstance(text, str) else ""
