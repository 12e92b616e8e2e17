"""Slugs that no fault of the lab shows, each with the reason: what cannot be shown truly is not faked."""

from __future__ import annotations

LEFT_OUT: dict[str, str] = {
    "container/log-unbounded": "it speaks from a gigabyte of log on: writing that takes this machine's disk "
    "longer than all other faults together, and an empty file of that size is no log",
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
    "redis/queue-growing": "none of the five systems keeps its tasks in Redis, so no stack file names a "
    "queue; the one that can stall is a table (data/threshold)",
    "telegram/webhook-failing": "the bots of all five systems poll, and of a bot that polls the check says "
    "nothing; a webhook that is still set is telegram/conflict",
    "postgres/version-unsupported": "Debian has one version of PostgreSQL, and it is supported",
}
"""Slug -> why the lab does not show it."""
