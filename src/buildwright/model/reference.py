"""Image references, by the grammar of the distribution project (distribution/reference)."""

from __future__ import annotations

import re

from buildwright.errors import UsageError

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_DOMAIN_LABEL}(?:\.{_DOMAIN_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_NAME = rf"(?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(rf"(?P<name>{_NAME})(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?")
_MAX_NAME = 255


def check_reference(text: str) -> str:
    """`text` unchanged when it is a reference (name, optional tag and digest); else UsageError saying why not."""
    match = _REFERENCE.fullmatch(text)
    if match is not None and len(match["name"]) <= _MAX_NAME:
        return text
    if match is not None:
        reason = f"repository name must not be more than {_MAX_NAME} characters"
    elif _REFERENCE.fullmatch(text.lower()):
        reason = "repository name must be lowercase"
    else:
        reason = "invalid reference format, write it as [HOST[:PORT]/]NAME[:TAG]"
    raise UsageError(f'invalid tag "{text}": {reason}')
