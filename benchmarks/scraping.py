"""Scraping as Prometheus does it, and what that costs the processes concerned.

Processor time is read from each process's own clock (nanoseconds); of children that have ended,
from what their parent has waited for (ticks of 10 ms). What a process uses while nobody asks is
measured before and taken off.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import os
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

TICKS = os.sysconf("SC_CLK_TCK")
IDLE_SECONDS = 2.0
"""For how long it is watched what processes use by themselves."""
PAUSE_SECONDS = 0.02
"""Between two scrapes; a server that is asked without a break is another one than Prometheus sees."""


class Scraper:
    """One kept connection to an exporter's page."""

    def __init__(self, port: int, path: str) -> None:
        self.path = path
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._headers = {
            "Accept": "text/plain;version=0.0.4",
            "Accept-Encoding": "gzip",
            "X-Prometheus-Scrape-Timeout-Seconds": "10",
        }

    def scrape(self) -> tuple[float, bytes]:
        """Ask once; return seconds until the last byte and the body as it came.

        Raises:
            RuntimeError: the answer was not 200.
        """
        began = time.perf_counter()
        try:
            self._connection.request("GET", self.path, headers=self._headers)
            answer = self._connection.getresponse()
        except (http.client.HTTPException, OSError):  # the other side has let go of the connection
            self._connection.close()
            began = time.perf_counter()
            self._connection.request("GET", self.path, headers=self._headers)
            answer = self._connection.getresponse()
        body = answer.read()
        seconds = time.perf_counter() - began
        if answer.status != 200:
            raise RuntimeError(f"{self.path}: {answer.status} {body[:200]!r}")
        return seconds, gzip.decompress(body) if answer.getheader("Content-Encoding") == "gzip" else body

    def series(self) -> int:
        """Ask once; return how many samples are on the page."""
        return sum(1 for line in self.scrape()[1].splitlines() if line and not line.startswith(b"#"))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Processes:
    """Processes and all below them, whose processor time is counted together; `alone` without those."""

    def __init__(self, pids: Iterable[int], alone: bool = False) -> None:
        self._pids, self._alone = tuple(pids), alone
        self.idle = 0.0
        """Seconds of processor time a second while nobody asks."""

    def cpu(self) -> float:
        """Return the seconds of processor time so far."""
        return sum(_clock(pid) + (0.0 if self._alone else _waited_for(pid)) for pid in self._living())

    def watch_idle(self, seconds: float = IDLE_SECONDS) -> None:
        """Measure what they use by themselves; nobody may ask meanwhile."""
        before = self.cpu()
        time.sleep(seconds)
        self.idle = max(self.cpu() - before, 0.0) / seconds

    def resident(self) -> int:
        """Return their resident memory in bytes."""
        found = 0
        for pid in self._living():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/statm").read_text().split()
                found += int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
        return found

    def _living(self) -> list[int]:
        if self._alone:
            return list(self._pids)
        found, left = [], list(self._pids)
        while left:
            pid = left.pop()
            found.append(pid)
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    left += [int(child) for child in children.read_text().split()]
        return found


def _clock(pid: int) -> float:
    """Return a process's processor time, threads that have ended included (clock_getcpuclockid(3))."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:  # it has ended; its parent knows
        return 0.0


def _waited_for(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[13]) + int(fields[14])) / TICKS


@dataclass
class Cost:
    """What scrapes of one page took: wall seconds each; processor seconds in all."""

    seconds: list[float] = field(default_factory=list)
    cpu: float = 0.0
    target: float = 0.0

    @property
    def middle(self) -> float:
        """The median latency in seconds."""
        return statistics.median(self.seconds)

    @property
    def cpu_each(self) -> float:
        """Processor seconds of one scrape in the exporter."""
        return self.cpu / len(self.seconds)

    @property
    def target_each(self) -> float:
        """Processor seconds of one scrape in what is looked at."""
        return self.target / len(self.seconds)


def measure(cost: Cost, scraper: Scraper, exporter: Processes, target: Processes | None, times: int) -> None:
    """Scrape a few times and add what it cost."""
    began, cpu, before = time.monotonic(), exporter.cpu(), target.cpu() if target else 0.0
    for _ in range(times):
        cost.seconds.append(scraper.scrape()[0])
        time.sleep(PAUSE_SECONDS)
    passed = time.monotonic() - began
    cost.cpu += max(exporter.cpu() - cpu - exporter.idle * passed, 0.0)
    if target is not None:
        cost.target += max(target.cpu() - before - target.idle * passed, 0.0)
