"""Probes: they look at the live system and fill facts. I/O only; parsing is pure and beside it."""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from opsctl.facts.base import Facts
    from opsctl.probes.base import ProbeContext


_FOR_METRICS = frozenset({"logs", "nginx"})
"""Kinds that are looked at in another way where somebody looks again every few seconds."""


@functools.cache
def probe_for(kind: str, detail: str = "") -> Callable[[ProbeContext], Facts]:
    """Return the function that looks at targets of a kind; with the detail `metrics`, again and again."""
    if detail == "metrics" and kind in _FOR_METRICS:
        module = importlib.import_module(f"opsctl.probes.{kind}_metrics")
        return cast("Callable[[ProbeContext], Facts]", module.probe_metrics)
    module = importlib.import_module(f"opsctl.probes.{kind}")
    return cast("Callable[[ProbeContext], Facts]", module.probe)
