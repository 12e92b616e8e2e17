"""Whether the host of this machine leaves us our processors while the lab measures.

On a rented machine the host may take away more than half of the time in which somebody wants to run.
Pages then take seconds and health checks time out although nothing was injected. What was measured
meanwhile says nothing of a diagnosis: it is measured again, whether it was right or wrong.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from pathlib import Path

STOLEN_SHARE = 0.4
"""Of the time wanted."""
WINDOW_SECONDS = 3.0
SAMPLE_SECONDS = 1.0
LEAST_WANTED = 0.1
"""Of one processor; of less than that no share can be told."""
PATIENCE_SECONDS = 300.0
"""How long waiting and measuring again may take in all for one system; then the machine counts as it is."""
TICKS = 100.0
"""Of `/proc/stat` a second, on every architecture."""


class Processors:
    """Watches how much of the processors is stolen.

    Args:
        patience: how many seconds may be spent on what a disturbance makes necessary; with 0 nothing is
            waited for and nothing measured again.
    """

    def __init__(self, patience: float = 0.0) -> None:
        self.patience = patience
        self.measured_again = 0
        self.disturbed_at = float("-inf")
        """When they were taken away last, by the monotonic clock."""
        self._samples: deque[tuple[float, float, float]] = deque()
        self._lock = threading.Lock()
        self._ends = threading.Event()

    def start(self) -> None:
        """Look once a second from now on; without patience there is nothing to look for."""
        if self.patience:
            threading.Thread(target=self._watch, name="processors", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._ends.set()

    def _watch(self) -> None:
        while not self._ends.wait(SAMPLE_SECONDS):
            self.sample(time.monotonic(), *_wanted_and_stolen())

    def sample(self, now: float, wanted: float, stolen: float) -> None:
        """Take in the seconds that were wanted (stolen ones among them) and stolen since the start."""
        with self._lock:
            while self._samples and self._samples[0][0] < now - WINDOW_SECONDS:
                self._samples.popleft()
            if self._samples:
                before, wanted_before, stolen_before = self._samples[0]
                asked = wanted - wanted_before
                enough = asked >= LEAST_WANTED * (now - before) and now > before
                if enough and stolen - stolen_before > STOLEN_SHARE * asked:
                    self.disturbed_at = now
            self._samples.append((now, wanted, stolen))

    def disturbed_since(self, began: float) -> bool:
        """Return whether they were taken away since, and there is patience left to measure again."""
        if self.patience <= 0:
            return False
        self.sample(time.monotonic(), *_wanted_and_stolen())
        return self.disturbed_at >= began

    def again(self, began: float) -> None:
        """Note that what began then is measured again."""
        self.measured_again += 1
        self.patience -= time.monotonic() - began

    def wait(self, seconds: float) -> bool:
        """Wait until they have been ours for so long; return whether there was anything to wait for."""
        began = time.monotonic()
        while self.patience > 0 and self.disturbed_since(time.monotonic() - seconds):
            time.sleep(0.5)
            self.patience -= 0.5
        return time.monotonic() - began >= 0.5


def _wanted_and_stolen() -> tuple[float, float]:
    """Return processor seconds since the boot of this machine: used or stolen, and stolen."""
    with Path("/proc/stat").open() as file:
        user, nice, system, _, _, irq, softirq, stolen = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + stolen) / TICKS, stolen / TICKS
