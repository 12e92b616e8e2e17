"""Probes: they look at the live system and fill facts. I/O only; parsing is pure and beside it."""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from opsctl.facts.base import Facts
    from opsctl.probes.base import ProbeContext


@functools.cache
def probe_for(kind: str) -> Callable[[ProbeContext], Facts]:
    """Return the `probe` function of a kind."""
    module = importlib.import_module(f"opsctl.probes.{kind}")
    return cast("Callable[[ProbeContext], Facts]", module.probe)
