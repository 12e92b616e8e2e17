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
    restarts = instance.restart_count or 0
    up = age(context, instance.started_at)
    code = (
        f", last with {instance.exit_code} ({exit_meaning(instance.exit_code)})" if instance.exit_code else ""
    )
    if instance.state == "restarting":
        return f"crashes and is restarted over and over: {count_text(restarts, 'restart')}{code}"
    if instance.state != "running" or up is None or instance.health == "healthy":
        return ""
    recent = _recent(instance, context)
    often = min(restarts, len(recent))  # the engine's own count is since it was made or started by hand
    gaps = [after - before for before, after in itertools.pairwise(recent)]
    settled = max([SETTLED_SECONDS, *(2 * gap for gap in gaps)])
    if often >= CRASHES and up < min(settled, WINDOW_SECONDS):
        return f"was restarted {count_text(often, 'time')} and runs for only {seconds_text(up)}"
    return ""


def _recent(instance: Instance, context: CheckContext) -> list[float]:
    return [moment for moment in instance.deaths if context.at.timestamp() - moment <= WINDOW_SECONDS]


def maybe_looping(instance: Instance, context: CheckContext) -> bool:
    """Return whether a container has only just started and nothing tells how often it did lately."""
    up = age(context, instance.started_at)
    fresh = instance.state == "running" and up is not None and up < SETTLED_SECONDS
    unread = not instance.deaths_read and not instance.deaths
    return fresh and unread and instance.health != "healthy" and (instance.restart_count or 0) >= CRASHES
