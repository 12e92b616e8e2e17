"""The soak of the exporter: `python -m tests.live.exporter_soak --scrapes 1000` (`make soak`).

One exporter, one real server of every kind, one fault after the other. While all paths are scraped
all the time, the pages that show the fault are scraped by several scrapers at once. Each fault comes
once before anything is counted; what the exporter holds on to then is what it may hold at the end.
The short form, for the tests, leaves that first round out: see `FRESH_THREADS`.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import threading
import time
from dataclasses import dataclass, field

from tests.live.exporter_bed import Bed, Use, bed, unavailable
from tests.live.exporter_faults import SITE, Fault, faults
from tests.live.exporter_scrapers import Client, Page, Watch

SCRAPERS = 2
"""With the two that watch: as many as are answered at once."""
USUAL_SECONDS = 10.0
"""How long Prometheus waits by default; so long is waited for what the fault must not touch."""
SETTLE_SECONDS = 60.0
GROWTH_MIB = 16.0
"""How much more memory is no leak: freed memory goes back to the system in pieces, not at once."""
FEW = 2
"""Descriptors, threads and sessions that may be under way at the moment of counting."""
FRESH_DESCRIPTORS = 6
"""What is kept per target (a connection, an event stream) may not be there yet before the first fault."""
FRESH_THREADS = 20
"""How many more threads a process may have that has not met its first fault yet: its pools fill up."""


@dataclass
class Report:
    """What a soak found."""

    before: Use
    after: Use
    under_fault: int = 0
    all_scrapes: int = 0
    left: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def held(self, threads: int = FEW, descriptors: int = FEW) -> list[str]:
        """Return what the exporter holds on to that it did not before, by more than a few."""
        before, after = self.before, self.after
        allowed = dict.fromkeys(("backends", "redis_clients"), float(FEW))
        allowed |= {"threads": threads, "descriptors": descriptors, "resident_mib": GROWTH_MIB}
        grown = [
            name for name, more in allowed.items() if getattr(after, name) > getattr(before, name) + more
        ]
        return [f"{name}: {getattr(before, name)} -> {getattr(after, name)}" for name in grown]


class Soak:
    """Makes faults on a bed and judges each answer."""

    def __init__(self, on: Bed, waits: float, strict: bool, verbose: bool) -> None:
        self.bed, self.verbose = on, verbose
        self.watch = Watch(on, USUAL_SECONDS, strict)
        self.clients = [Client(on.port, waits) for _ in range(SCRAPERS)]
        self.usual = Client(on.port, USUAL_SECONDS)
        self.under_fault = 0
        self.healthy: dict[str, dict[str, float]] = {}

    def settle(self, what: str) -> None:
        """Wait until every page says again what it says when all is well."""
        client, ends = Client(self.bed.port, USUAL_SECONDS), time.monotonic() + SETTLE_SECONDS
        pages = [client.get(path) for path in self.bed.paths]
        while (pages := [page for page in pages if not self._well(page)]) and time.monotonic() < ends:
            time.sleep(0.05)
            pages = [client.get(page.path) for page in pages]
        client.close()
        self.watch.wrong += [
            f"{what}: {page.path} is not well after {SETTLE_SECONDS:.0f} s: {page.status} {page.ups()}"
            for page in pages
        ]

    def _well(self, page: Page) -> bool:
        self.watch.judge(page, USUAL_SECONDS)
        ups = page.ups()
        if page.status != 200:
            return False
        known = self.healthy.get(page.path)
        if known is not None:
            return ups == known
        if set(ups.values()) == ({1.0} if self.bed.has_up(page.path) else set()):
            self.healthy[page.path] = ups
        return page.path in self.healthy

    def expected(self, fault: Fault, path: str) -> dict[str, float | None]:
        """Return what a page must say under a fault."""
        found: dict[str, float | None] = {}
        for series, value in self.healthy[path].items():
            name = series.partition("{")[0]
            name = SITE if path.startswith("/probe") else name
            known = name in fault.ups and (name != SITE or path in fault.paths)
            found[series] = fault.ups[name] if known else value
        return found

    def agrees(self, fault: Fault, page: Page) -> str:
        """Return what is wrong with a page under a fault; empty where nothing is."""
        ups = page.ups()
        for series, value in self.expected(fault, page.path).items():
            if value is not None and ups.get(series) != value:
                return f"{series} is {ups.get(series)}, not {value:g}"
        if fault.shows and page.path in fault.paths and not re.search(fault.shows, page.text, re.MULTILINE):
            return f"{fault.shows} is missing"
        return ""

    def under(self, fault: Fault, rounds: int) -> None:
        """Make a fault; scrape `rounds` times with every scraper what shows it, once all others; undo it."""
        began = time.monotonic()
        with fault.make(self.bed):
            down = 0 in fault.ups.values()
            clients = self.clients if down else [Client(self.bed.port, USUAL_SECONDS) for _ in self.clients]
            client, ends = clients[0], time.monotonic() + SETTLE_SECONDS
            words = "not seen yet"
            while words and time.monotonic() < ends:  # a look that began before it may still be under way
                words = next(filter(None, (self.agrees(fault, client.get(path)) for path in fault.paths)), "")
            if words:
                self.watch.wrong.append(f"{fault.name}: {words}")
            seen = time.monotonic() - began
            threads = [
                threading.Thread(target=self._scrapes, args=(fault, scraper, rounds), daemon=True)
                for scraper in clients
            ]
            for thread in threads:
                thread.start()
            for path in (path for path in self.bed.paths if path not in fault.paths):
                self._scrape(fault, self.usual, path)
            for thread in threads:
                thread.join(600)
            if not down:
                for client in clients:
                    client.close()
        undone = time.monotonic()
        self.settle(fault.name)
        if self.verbose:
            now = time.monotonic()
            print(
                f"{fault.name:<48} seen after {seen:5.1f} s, well again after {now - undone:5.1f} s; "
                f"{self.bed.use().words()}",
                flush=True,
            )

    def _scrapes(self, fault: Fault, client: Client, rounds: int) -> None:
        for _ in range(rounds):
            for path in fault.paths:
                self._scrape(fault, client, path)

    def _scrape(self, fault: Fault, client: Client, path: str) -> None:
        page = client.get(path)
        self.watch.judge(page, client.waits)
        with self.watch.lock:
            self.under_fault += path in fault.paths
            if page.status == 200 and (words := self.agrees(fault, page)):
                self.watch.wrong.append(f"{fault.name}: {path}: {words} after {page.seconds:.2f} s")


def soak(
    on: Bed,
    scrapes: int,
    waits: float = 1.5,
    short: bool = False,
    strict: bool = False,
    verbose: bool = False,
) -> Report:
    """Run the soak.

    Args:
        on: the bed, everything running.
        scrapes: how many scrapes of pages that show a fault, at least.
        waits: how long the scrapers say that they wait, in seconds.
        short: leave out faults that are much like others, and what is held on to is first counted
            before any fault.
        strict: an answer that comes later than that is wrong, on whatever machine.
        verbose: tell each fault.
    """
    work = Soak(on, waits, strict, verbose)
    work.settle("before any fault")
    if work.watch.wrong:
        raise RuntimeError("; ".join(work.watch.wrong[:9]) + on.stderr.read_text()[-2000:])
    every = [fault for fault in faults(on) if fault.always or not short]
    pages = sum(len(fault.paths) for fault in every)
    rounds = max(1, -(-scrapes // (pages * SCRAPERS)))
    with work.watch.watching():
        if short:
            time.sleep(3)
        for fault in [] if short else every:
            work.under(fault, 1)
    before = idle(work)
    already = work.under_fault
    with work.watch.watching():
        while work.under_fault - already < scrapes:
            for fault in every:
                if short or work.under_fault - already < scrapes:
                    work.under(fault, rounds)
    after, watch = idle(work), work.watch
    done = work.under_fault - already
    return Report(before, after, done, watch.scrapes, watch.left, watch.wrong)


def idle(work: Soak) -> Use:
    """Return what the exporter holds on to when nobody scrapes; the least of a few seconds."""
    for client in (*work.clients, work.usual):
        client.close()
    found = []
    for _ in range(10):
        time.sleep(0.5)
        found.append(work.bed.use())
    names = ("descriptors", "threads", "resident_mib", "backends", "redis_clients")
    return Use(*(min(getattr(use, name) for use in found) for name in names))


def main() -> int:
    """Run the long form and print what it found."""
    parser = argparse.ArgumentParser(prog="python -m tests.live.exporter_soak", description=__doc__)
    parser.add_argument("--scrapes", type=int, default=1000, help="scrapes under a fault")
    parser.add_argument("--waits", type=float, default=1.5, help="seconds that a scraper says it waits")
    arguments = parser.parse_args()
    if reason := unavailable():
        print(f"the soak cannot run here: {reason}", file=sys.stderr)
        return 3
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped
    with bed() as made:
        began = time.monotonic()
        report = soak(made, arguments.scrapes, arguments.waits, strict=True, verbose=True)
        seconds = time.monotonic() - began
        code, said = made.end()
    wrong = report.wrong + report.held() + ([f"ended with {code}"] if code else []) + said.splitlines()[1:]
    print(f"{report.under_fault} scrapes under a fault, {report.all_scrapes} in all, in {seconds:.0f} s")
    print(f"the answer that came latest left {report.left:.2f} s of its scraper's time")
    print(f"before: {report.before.words()}\nafter:  {report.after.words()}")
    print("\n".join(wrong) if wrong else "nothing was wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
