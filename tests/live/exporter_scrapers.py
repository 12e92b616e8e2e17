"""Scrapers of an exporter on its bed: one that keeps its connection, and several that never stop."""

from __future__ import annotations

import contextlib
import http.client
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.live.exporter_bed import CANARIES, TOKEN_IN_URL, Bed

UP = re.compile(r"^((?!node_)(?:\w+_up|probe_success)(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)


@dataclass
class Page:
    """One answer: when it was asked for, how it was answered."""

    path: str
    status: int
    seconds: float
    text: str = ""
    error: str = ""

    def ups(self) -> dict[str, float]:
        return {name: float(value) for name, value in UP.findall(self.text)}


class Client:
    """Scrapes one exporter over a connection that is kept, as Prometheus does.

    Args:
        port: of the exporter.
        waits: how long the scraper says that it waits.
        patience: how much longer it really waits, so that a late answer is seen as one.
    """

    def __init__(self, port: int, waits: float, patience: float = 20.0) -> None:
        self.waits = waits
        self._make = lambda: http.client.HTTPConnection("127.0.0.1", port, timeout=waits + patience)
        self._connection = self._make()

    def get(self, path: str) -> Page:
        began = time.monotonic()
        try:
            headers = {"X-Prometheus-Scrape-Timeout-Seconds": str(self.waits)}
            self._connection.request("GET", path, headers=headers)
            answer = self._connection.getresponse()
            text = answer.read().decode()
            return Page(path, answer.status, time.monotonic() - began, text)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            self._connection = self._make()
            return Page(path, 0, time.monotonic() - began, error=f"{type(error).__name__}: {error}")

    def close(self) -> None:
        self._connection.close()


@dataclass
class Watch:
    """Scrapes every path all the time, from several threads, and keeps what was wrong with an answer.

    Args:
        bed: what is scraped.
        waits: how long the scrapers say that they wait: as Prometheus does by default. Scrapes that come
            together share one look, so less would cut short the looks of those that are judged.
        strict: an answer that comes later than that is wrong. Beside other tests a busy machine may
            delay anything, and only an answer that takes several times as long is.
        pause: between two scrapes of one thread.
    """

    bed: Bed
    waits: float = 10.0
    strict: bool = False
    pause: float = 0.2
    scrapes: int = 0
    wrong: list[str] = field(default_factory=list)
    left: float = 60.0
    """What the slowest answer left of its scraper's time, in seconds."""

    def __post_init__(self) -> None:
        self._stop, self.lock = threading.Event(), threading.Lock()

    def judge(self, page: Page, waits: float) -> None:
        """Note what must be so of every answer: 200, in time (`waits`), nothing secret."""
        secrets = [value for value in (*CANARIES.values(), TOKEN_IN_URL) if value in page.text]
        with self.lock:
            self.scrapes += 1
            self.left = min(self.left, waits - page.seconds)
            if page.status != 200:
                self.wrong.append(f"{page.path}: {page.status} {page.error or page.text[:200]}")
            if page.seconds > waits * (1 if self.strict else 4):
                self.wrong.append(f"{page.path}: answered after {page.seconds:.2f} s of {waits} s")
            self.wrong += [f"{page.path}: {secret} is shown" for secret in secrets]

    def _run(self, paths: list[str]) -> None:
        client = Client(self.bed.port, self.waits)
        while not self._stop.is_set():
            for path in paths:
                self.judge(client.get(path), self.waits)
                if self._stop.wait(self.pause):
                    break
        client.close()

    @contextlib.contextmanager
    def watching(self, threads: int = 2) -> Iterator[None]:
        """Scrape in the background as long as the block runs."""
        paths = self.bed.paths
        running = [
            threading.Thread(target=self._run, args=(paths[number::threads] + paths[:number],), daemon=True)
            for number in range(threads)
        ]
        for thread in running:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in running:
                thread.join(60)
            self._stop.clear()
