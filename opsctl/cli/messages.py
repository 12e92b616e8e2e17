"""Messages to a person: on stderr, and never the reason that an answer does not come."""

from __future__ import annotations

import contextlib

import click


def tell(text: str, newline: bool = True) -> None:
    """Write to stderr; where that is closed or full, go on without."""
    with contextlib.suppress(OSError, ValueError):
        click.echo(text, err=True, nl=newline)
