"""Errors that a person can act on: one clear message, no traceback."""

from __future__ import annotations


def shown_path(path: str) -> str:
    """Return a path for a message: on one line, nothing that steers a terminal, never very long."""
    text = "".join(character if character.isprintable() else "\ufffd" for character in path)
    return text if len(text) <= 200 else f"{text[:120]}…{text[-60:]}"


class UserError(Exception):
    """What is wrong, where, and what to do. The CLI prints it and ends with exit code 3."""
