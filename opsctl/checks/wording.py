"""Numbers as a person reads them. Pure."""

from __future__ import annotations

_PLAIN_ANSWERS = (
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "RECORD_LAYER_FAILURE",
    "PACKET_LENGTH_TOO_LONG",
    "UNKNOWN_PROTOCOL",
)
"""What OpenSSL says where the answer to its greeting is no TLS, such as a web server's plain words."""


def speaks_no_tls(detail: str) -> bool:
    """Return whether a failed handshake failed because the other side speaks no TLS at all."""
    return any(reason in detail for reason in _PLAIN_ANSWERS)


def bytes_text(value: float) -> str:
    """Return bytes with a binary unit: `1.5 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def seconds_text(value: float) -> str:
    """Return seconds in the unit a person would use: `3 ms`, `2.1 s`, `4 min`, `3 h`, `12 d`."""
    if abs(value) < 1:
        return f"{value * 1000:.0f} ms"
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if abs(value) < limit:
            number = value / divisor
            return f"{number:.1f} {unit}" if unit == "s" and number < 10 else f"{number:.0f} {unit}"
    return f"{value / 86400:.0f} d"


def percent_text(ratio: float) -> str:
    """Return a ratio as a percentage: `41 %`."""
    return f"{ratio * 100:.0f} %"


def count_text(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: `1 error`, `3 errors`."""
    return f"{number} {one if number == 1 else many or one + 's'}"
