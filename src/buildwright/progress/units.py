"""How sizes and times are written: the forms of BuildKit's progress."""

from __future__ import annotations

SECOND = 1_000_000_000
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def size(count: int) -> str:
    """`123B`, `1.10MB`: decimal units with two digits, whole bytes below 1000."""
    if abs(count) < 1000:
        return f"{count}B"
    power = min((len(str(abs(count))) - 1) // 3, len(_UNITS) - 1)
    return f"{count / 1000**power:.2f}{_UNITS[power]}"


def amount(current: int, total: int) -> str:
    """`1.10MB / 3.30MB` when the total is known, `1.10MB` when not, "" for nothing."""
    if total:
        return f"{size(current)} / {size(total)}"
    return size(current) if current else ""


def log_time(elapsed: int) -> bytes:
    """The seconds before a line of output, and a space: four significant digits up to 1000 seconds."""
    value = seconds(elapsed)
    return b"%.*f " % (3 if value < 10 else 2 if value < 100 else 1, value)


def seconds(nanoseconds: int) -> float:
    """Seconds with the rounding of Go's Duration.Seconds, so that a printed last digit is never another one."""
    whole, rest = divmod(abs(nanoseconds), SECOND)
    value = whole + rest / SECOND
    return -value if nanoseconds < 0 else value
