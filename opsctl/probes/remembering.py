"""What a probe remembers from one look at a target to the next, where somebody looks again and again.

`options["kept"]` is the memory: a dictionary that is there again at the next look. Without one, as in
`opsctl diagnose`, nothing is remembered and everything is read anew.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from opsctl.probes.base import ProbeContext

T = TypeVar("T")

OLDEST_SECONDS = 300.0
"""Counters of longer ago say nothing of now."""
SHARE = 0.02
"""Of the time, that is spent on reading what could be remembered."""


def for_metrics(context: ProbeContext) -> bool:
    """Return whether metrics are wanted: looked at again soon, and never to be kept waiting."""
    return context.options.get("detail") == "metrics"


def memory(context: ProbeContext) -> dict[str, Any] | None:
    """Return what this target's looks remember, None where nobody looks again."""
    kept = context.options.get("kept")
    return kept if isinstance(kept, dict) else None


def remembered(context: ProbeContext, name: str, seconds: float, make: Callable[[], T]) -> T:
    """Return `make()`, or what it returned at a look at most `seconds` ago.

    For what costs much and changes seldom: `make` takes at most `SHARE` of the time, however slow it
    is. Nothing, and what is empty, is not remembered.
    """
    kept = memory(context)
    if kept is None:
        return make()
    began = time.monotonic()
    known = kept.get(name)
    if known is not None and began - known[0] <= max(seconds, known[1] / SHARE):
        value: T = known[2]
        return value
    made = make()
    if made:
        now = time.monotonic()
        kept[name] = (now, now - began, made)
    return made


def earlier(
    context: ProbeContext, name: str, sample: T, least: float, most: float = OLDEST_SECONDS
) -> tuple[float, T] | None:
    """Return the sample of an earlier look and its age in seconds; note this one for later looks.

    What `diagnose` sleeps for comes for free where looks follow each other: the sample before. Two are
    kept, for looks that come in pairs: the second of a pair is compared with what the first was.

    Args:
        context: of this look.
        name: what the sample is of.
        sample: of this look.
        least: a sample that is younger is not compared with, and is not followed by another.
        most: an earlier sample that is older says nothing of now.
    """
    kept = memory(context)
    if kept is None:
        return None
    now = time.monotonic()
    known: tuple[tuple[float, T], ...] = kept.get(name, ())
    old = [item for item in known if now - item[0] >= least]
    if len(old) == len(known):  # the newest is no longer too young to be followed by another
        kept[name] = (*known[-1:], (now, sample))
    if not old or now - old[-1][0] > most:
        return None
    return now - old[-1][0], old[-1][1]
