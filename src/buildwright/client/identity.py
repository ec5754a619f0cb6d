"""Random names as BuildKit makes them (identity/randomid.go)."""

from __future__ import annotations

import secrets

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_LENGTH = 25


def new_id() -> str:
    """25 digits of base 36, about 129 bits of chance: an id for a session, a build or a stream."""
    return "".join(secrets.choice(_DIGITS) for _ in range(_LENGTH))
