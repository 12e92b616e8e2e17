"""The kinds of target, in the order in which people read them.

One kind is one word through the whole house: `opsctl/facts/KIND.py`, `opsctl/probes/KIND.py`,
`opsctl/checks/KIND.py`, `runbooks/KIND/`. This tuple is the only list of them.
"""

from __future__ import annotations

KINDS: tuple[str, ...] = (
    "host",
    "docker",
    "container",
    "systemd",
    "postgres",
    "redis",
    "http",
    "tls",
    "nginx",
    "php",
    "telegram",
    "logs",
    "config",
    "network",
    "data",
    "monitoring",
    "static",
)
