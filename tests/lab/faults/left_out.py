"""Slugs that no fault of the lab shows, each with the reason: what cannot be shown truly is not faked."""

from __future__ import annotations

LEFT_OUT: dict[str, str] = {
    "host/clock-skew": "the machines share the kernel's clock with this one: setting it would set it for "
    "everything that runs here",
    "host/io-pressure": "stalls of all processes for want of the disk are counted for the whole kernel: "
    "everything that runs here would have to wait for the disk for a minute",
    "host/memory-pressure": "stalls of all processes for want of memory are counted for the whole kernel: "
    "everything that runs here would have to stand still for half a minute",
    "host/rebooted": "the machines share the kernel, whose start they show, and it is not started anew; "
    "the check is off unless the stack file sets a limit",
    "host/swap-thrashing": "a swap area belongs to the kernel: everything that runs here would be swapped "
    "out with the lab",
    "postgres/version-unsupported": "Debian has one version of PostgreSQL, and it is supported",
}
"""Slug -> why no machine of this kind can show it."""

NOT_YET: frozenset[str] = frozenset(
    [
        "container/cpu-throttled",
        "container/log-unbounded",
        "container/memory-near-limit",
        "container/port-unpublished",
        "container/stale-unhealthy",
        "nginx/cache-full",
        "nginx/connections-exhausted",
        "nginx/down",
        "nginx/error-rate",
        "php/errors",
        "php/key-missing",
        "postgres/autovacuum-behind",
        "postgres/cache-miss",
        "postgres/checkpoints-forced",
        "postgres/checksum-failures",
        "postgres/deadlocks",
        "postgres/down",
        "postgres/idle-in-transaction",
        "postgres/long-query",
        "postgres/recovering",
        "postgres/statements-slow",
        "postgres/temp-files",
        "postgres/wraparound",
        "redis/append-failing",
        "redis/blocked-by-slow-command",
        "redis/down",
        "redis/fragmented",
        "redis/loading",
        "redis/queue-growing",
        "redis/replication-broken",
        "telegram/conflict",
        "telegram/webhook-failing",
    ]
)
"""Slugs that a machine could show and that nobody has written a fault for yet; it can only get shorter."""
