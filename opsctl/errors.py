"""Errors that a person can act on: one clear message, no traceback."""

from __future__ import annotations


class UserError(Exception):
    """What is wrong, where, and what to do. The CLI prints it and ends with exit code 3."""
