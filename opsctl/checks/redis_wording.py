"""Words that all Redis checks share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opsctl.facts.redis import RedisFacts

INFO_HINT = "let the user run INFO"
CONFIG_HINT = "let the user run CONFIG GET"


def redis_cli(facts: RedisFacts, command: str) -> str:
    """Return the redis-cli line that asks this server."""
    host, _, port = facts.address.rpartition(":")
    if facts.address.startswith("/"):
        return f"redis-cli -s {facts.address} {command}"
    if host and port.isdecimal():
        return f"redis-cli -h {host.strip('[]')} -p {port} {command}"
    return f"redis-cli {command}"
