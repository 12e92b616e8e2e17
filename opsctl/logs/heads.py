"""What the first line of an entry says, whatever its format. Pure."""

from __future__ import annotations

from typing import NamedTuple

ERROR_LEVELS = frozenset({"error", "fatal"})
LEVELS = {
    "trace": "debug", "debug": "debug", "verbose": "debug", "info": "info", "information": "info",
    "notice": "info", "log": "info", "statement": "info", "success": "info", "warn": "warning",
    "warning": "warning", "err": "error", "error": "error", "severe": "error",
    "fatal": "fatal", "critical": "fatal", "crit": "fatal", "alert": "fatal", "emerg": "fatal",
    "emergency": "fatal", "panic": "fatal",
}  # fmt: skip
MAX_LINE = 8192
"""Characters of a line that are looked at."""


class Head(NamedTuple):
    """What the first line of an entry says.

    `level` is debug, info, warning, error, fatal, or empty where the line does not say; `route`
    the request that failed, where it is a line of an access log. `joins` marks a line that has a
    head of its own and yet belongs to the entry above.
    """

    time: float | None
    naive: bool
    level: str
    message: str
    route: str = ""
    joins: bool = False


def level_of(word: str) -> str:
    """Return the level that a word of any logger means, empty where it is none."""
    return LEVELS.get(word.strip().lower(), "")
