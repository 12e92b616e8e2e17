"""Env files as Docker Compose and systemd read them: NAME=VALUE lines. Pure, no I/O."""

from __future__ import annotations

import re

_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*=\s*(.*?)\s*$")
_INLINE_COMMENT = re.compile(r"\s+#.*$")


def parse_env(text: str) -> dict[str, str]:
    """Return the variables of an env file; later lines win; lines that are not assignments are skipped."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line)
        if match:
            values[match.group(1)] = _unquote(match.group(2))
    return values


def _unquote(text: str) -> str:
    for quote in ("'", '"'):
        if text.startswith(quote):
            end = text.find(quote, 1)
            if end > 0:
                inside = text[1:end]
                if quote == '"':
                    inside = inside.replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\")
                return inside
    return _INLINE_COMMENT.sub("", text)
