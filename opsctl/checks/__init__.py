"""Checks: pure functions from facts to findings. Nothing here does I/O."""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opsctl.checks.base import Check


@functools.cache
def checks_for(kind: str) -> tuple[Check, ...]:
    """Return the checks of a kind in the order in which they are written."""
    from opsctl.checks.base import registered

    importlib.import_module(f"opsctl.checks.{kind}")
    return registered(kind)


def all_checks() -> list[Check]:
    """Return every check of every kind."""
    from opsctl.kinds import KINDS

    return [check for kind in KINDS for check in checks_for(kind)]


def find_check(slug: str) -> Check:
    """Return the check of that slug.

    Raises:
        UserError: there is none; suggests the nearest.
    """
    import difflib

    from opsctl.errors import UserError

    known = {check.slug: check for check in all_checks()}
    if slug in known:
        return known[slug]
    close = difflib.get_close_matches(slug, known, n=1) or [
        name for name in known if name.endswith(f"/{slug}")
    ]
    meant = f"did you mean {close[0]!r}?" if close else "`opsctl checks` lists them"
    raise UserError(f"no check named {slug!r}; {meant}")
