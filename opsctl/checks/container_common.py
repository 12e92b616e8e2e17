"""What several of the container checks lean on: ages, crash loops, the compose command line. Pure."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from opsctl.checks.container_exit import exit_meaning
from opsctl.checks.wording import count_text, seconds_text
from opsctl.model import Status

if TYPE_CHECKING:
    from opsctl.checks.base import CheckContext
    from opsctl.facts.container import ContainerFacts, Instance

WINDOW_SECONDS = 600.0
"""What happened longer ago is over."""
CRASHES = 3
"""Restarts from which on a container is said to crash in a loop; one or two happen at a deploy."""
SETTLED_SECONDS = 60.0
"""Docker waits at most 60 s between restarts; one that has run longer has got over it."""


def age(context: CheckContext, moment: float | None) -> float | None:
    """Return how many seconds ago something was, None where the moment is not known."""
    return None if moment is None else max(context.at.timestamp() - moment, 0.0)


def loss_status(facts: ContainerFacts) -> Status:
    """Return how bad the loss of one container is: others of the same service may still serve."""
    return Status.WARNING if facts.running else Status.CRITICAL


def compose_options(facts: ContainerFacts) -> str:
    """Return the options that point `docker compose` to the project."""
    return f"-f {facts.compose_file} -p {facts.project} " if facts.compose_file else f"-p {facts.project} "


def looping(instance: Instance, context: CheckContext) -> str:
    """Return how a container crashes in a loop, in words; empty where it does not."""
    up = age(context, instance.started_at)
    if instance.state == "restarting":
        return f"waits to be started again: {_ended(instance, instance.exit_code, context)}"
    if instance.state != "running" or up is None or instance.health == "healthy":
        return ""
    recent = ends(instance, context)
    often = min(instance.restart_count or 0, len(recent))  # the count is since it was made or started by hand
    gaps = [after - before for before, after in itertools.pairwise(recent)]
    settled = max([SETTLED_SECONDS, *(2 * gap for gap in gaps)])
    if often >= CRASHES and up < min(settled, WINDOW_SECONDS):
        ended = _ended(instance, instance.death_exit_code, context)
        return f"crashes in a loop: it started {seconds_text(up)} ago; before that {ended}"
    return ""


def ends(instance: Instance, context: CheckContext) -> list[float]:
    """Return the moments of the last ten minutes at which the main process ended, oldest first."""
    return [moment for moment in instance.deaths if context.at.timestamp() - moment <= WINDOW_SECONDS]


def _ended(instance: Instance, code: int | None, context: CheckContext) -> str:
    """Return when and how it ended, how often in the window, and apart from that the lifetime's count."""
    recent = ends(instance, context)
    last = age(context, recent[-1] if recent else instance.finished_at)
    ago = f" {seconds_text(last)} ago" if last is not None else ""
    words = f"it exited with {code} ({exit_meaning(code)}){ago}" if code is not None else f"it ended{ago}"
    if recent:
        span = context.at.timestamp() - recent[0]
        words += f", {count_text(len(recent), 'end')} in the last {seconds_text(max(span, 0))}"
    if instance.restart_count:
        words += f" ({count_text(instance.restart_count, 'restart')} in its lifetime)"
    return words


def maybe_looping(instance: Instance, context: CheckContext) -> bool:
    """Return whether a container has only just started and nothing tells how often it did lately."""
    up = age(context, instance.started_at)
    fresh = instance.state == "running" and up is not None and up < SETTLED_SECONDS
    unread = not instance.deaths_read and not instance.deaths
    return fresh and unread and instance.health != "healthy" and (instance.restart_count or 0) >= CRASHES
