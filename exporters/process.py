"""The exporter's own process, as /proc shows it."""

from __future__ import annotations

import contextlib
import os
import resource
import threading
import time
from pathlib import Path

from exporters.self_facts import ProcessFacts

_SELF = Path("/proc/self")
_M_ARENA_MAX = -8
"""Of mallopt(3): how many heaps the C library keeps."""


def keep_one_heap() -> None:
    """Have the C library use one heap for all threads, where it is one that knows several.

    With a heap for each thread that ever allocated, memory that one thread has given back is of no
    use to the others. Python holds its lock around most allocations: nobody waits longer for it.
    """
    import ctypes

    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def process_facts() -> ProcessFacts:
    """Return the figures of this process; what /proc does not tell is left out."""
    times = os.times()
    most = resource.RLIM_INFINITY
    with contextlib.suppress(OSError):  # a seccomp filter may forbid to ask
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    values: dict[str, int | float | None] = {}
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = (_SELF / "stat").read_bytes().rpartition(b")")[2].split()
        values = {
            "virtual": int(fields[20]),
            "resident": int(fields[21]) * resource.getpagesize(),
            "started_at": _boot_time() + int(fields[19]) / os.sysconf("SC_CLK_TCK"),
            "open_files": len(os.listdir("/proc/self/fd")) - 1,  # noqa: PTH208 - one of them lists them
        }
    return ProcessFacts(
        cpu=round(times.user + times.system, 3),
        most_files=None if most == resource.RLIM_INFINITY else most,
        threads=threading.active_count(),
        **values,  # type: ignore[arg-type]
    )


def _boot_time() -> float:
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
