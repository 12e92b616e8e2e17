"""Timing whole processes: alternating runs, medians, ratios."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Row = tuple[str, str, str, bool]
"""What was measured, its figures, their ratio with its limit, and whether it is within."""


def seconds(argv: Sequence[str], environment: dict[str, str] | None = None) -> float:
    """Return the wall seconds of one run of a command; its output is thrown away."""
    began = time.perf_counter()
    subprocess.run(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
        check=False,
    )
    return time.perf_counter() - began


def alternating(runs: int, *measures: Callable[[], float]) -> list[list[float]]:
    """Run the measures in turn, so that a drifting machine hits all alike; the first turn is not counted."""
    results: list[list[float]] = [[] for _ in measures]
    for turn in range(runs + 1):
        for result, measure in zip(results, measures, strict=True):
            value = measure()
            if turn:
                result.append(value)
    return results


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios pair by pair."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def milliseconds(values: Sequence[float]) -> str:
    """Return median and range in milliseconds."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle * 1000:.0f} ms ({low * 1000:.0f}–{high * 1000:.0f})"
