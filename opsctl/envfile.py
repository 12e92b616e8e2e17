"""Env files as Docker Compose and systemd read them: NAME=VALUE lines. Pure, no I/O."""

from __future__ import annotations

import re

_ASSIGNMENT = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*")
_INLINE_COMMENT = re.compile(r"(?:^|\s)#.*$", re.S)
_ESCAPED = re.compile(r"\\(.)", re.S)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def parse_env(text: str) -> dict[str, str]:
    """Return the variables of an env file; later lines win; lines that are not assignments are skipped.

    Quoted values may span lines (a private key); in double quotes a backslash escapes.
    """
    values: dict[str, str] = {}
    position, end = 0, len(text)
    if text.startswith("\ufeff"):
        position = 1
    while position < end:
        line_end = text.find("\n", position)
        line_end = end if line_end < 0 else line_end
        match = _ASSIGNMENT.match(text, position, line_end)
        if match is None:
            position = line_end + 1
            continue
        start = match.end()
        quote = text[start : start + 1]
        closing = _closing(text, start) if quote in ("'", '"') else -1
        if closing > 0:
            inside = text[start + 1 : closing]
            values[match.group(1)] = _unescape(inside) if quote == '"' else inside
            line_end = text.find("\n", closing)
            line_end = end if line_end < 0 else line_end
        else:
            values[match.group(1)] = _INLINE_COMMENT.sub("", text[start:line_end].rstrip()).rstrip()
        position = line_end + 1
    return values


_ENDS = {"'": re.compile(r"[^']*+'"), '"': re.compile(r'(?:[^"\\]|\\.)*+"', re.S)}


def _closing(text: str, opening: int) -> int:
    """Return where the quoted value ends, -1 where it never does."""
    match = _ENDS[text[opening]].match(text, opening + 1)
    return match.end() - 1 if match else -1


def _unescape(text: str) -> str:
    return _ESCAPED.sub(lambda match: _ESCAPES.get(match.group(1), match.group(1)), text)
