"""What the end of a container's main process means, in words. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.checks.wording import seconds_text
from opsctl.model import Evidence

if TYPE_CHECKING:
    from datetime import datetime

    from opsctl.facts.container import Instance

MEANINGS = {
    0: "it ended by itself, without an error",
    1: "the application gave up with an error",
    2: "wrong arguments or a shell error",
    125: "Docker itself could not start it",
    126: "the command is there but cannot be executed",
    127: "the command was not found in the image",
    130: "interrupted with Ctrl-C",
    134: "it aborted itself",
    137: "killed with SIGKILL: for want of memory, or stopped after its grace period",
    139: "it crashed with a segmentation fault",
    143: "stopped with SIGTERM, as `docker stop` does",
}

STOPPED = (0, 130, 137, 143)
"""Exit codes of a container that was stopped, or ended by itself without an error."""

NOT_STARTED = ("created",)
ENDED = ("exited", "dead", "created", "removing")


def exit_meaning(code: int | None) -> str:
    """Return what an exit code says; codes above 128 are signals."""
    if code is None:
        return "the exit code is not known"
    if code in MEANINGS:
        return MEANINGS[code]
    if 128 < code <= 192:
        return f"killed by signal {code - 128}"
    return "the application's own error code"


def ending(instance: Instance, now: datetime) -> str:
    """Return how an instance ended: its code, what it means, how long ago."""
    if instance.state in NOT_STARTED:
        return f"was created but could not be started: {instance.error or 'no reason is recorded'}"
    words = f"exited with {instance.exit_code} ({exit_meaning(instance.exit_code)})"
    if instance.finished_at is not None:
        words += f" {seconds_text(max(now.timestamp() - instance.finished_at, 0))} ago"
    if instance.error:
        words += f": {instance.error}"
    return words


def last_words(instance: Instance) -> list[Evidence]:
    """Return the last lines that it wrote, newest last, as evidence; they usually tell why."""
    source = f"docker logs --tail 8 {instance.name}"
    return [Evidence(text=line, source=source) for line in instance.log_tail[-4:]]
