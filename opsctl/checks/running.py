"""Commands that show what runs a service: of its unit or its container, as the stack says. Pure."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opsctl.checks.base import CheckContext

_LABEL = "label=com.docker.compose.service="


def state_commands(context: CheckContext) -> list[str]:
    """Return the commands that show whether the service runs; none where nobody knows what runs it."""
    service = context.runs
    if service.unit:
        return [f"systemctl status --no-pager {quote(service.unit)}"]
    return [f"docker ps -a --filter {quote(_LABEL + service.container)}"] if service.container else []


def log_commands(context: CheckContext, lines: int = 30) -> list[str]:
    """Return the commands that show the end of the service's log."""
    service = context.runs
    if service.unit:
        return [f"journalctl -u {quote(service.unit)} -n {lines} --no-pager"]
    if service.container:
        found = f"docker ps -aq --filter {quote(_LABEL + service.container)}"
        return [f"{found} | xargs -r -n1 docker logs --tail {lines}"]
    return []
