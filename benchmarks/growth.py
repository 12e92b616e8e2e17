"""How the cost of a page grows with what is on it: per series, few against many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.scraping import Cost, Processes, Scraper, measure

if TYPE_CHECKING:
    from benchmarks.timing import Row

LIMIT = 1.0
"""Cost grows no faster than the number of series."""
WARM, SCRAPES = 5, 40


@dataclass(frozen=True)
class Point:
    """A page of one size."""

    count: int
    series: int
    cost: Cost


def point(port: int, path: str, count: int, exporter: Processes, target: Processes) -> Point:
    """Scrape a page of `count` things and return what that took."""
    scraper = Scraper(port, path)
    try:
        series = max(scraper.series() for _ in range(WARM))
        exporter.watch_idle()
        target.watch_idle()
        cost = Cost()
        measure(cost, scraper, exporter, target, SCRAPES)
        if scraper.series() < series / 2:
            raise RuntimeError(f"{path}: what is looked at is down, this machine is too busy to measure")
        return Point(count, series, cost)
    finally:
        scraper.close()


def rows(what: str, target: str, few: Point, many: Point) -> list[Row]:
    """Return a row each for latency, processor time, and that of the target, per series."""
    found: list[Row] = []
    for name, of_few, of_many, limit in (
        ("one scrape, p50", few.cost.middle, many.cost.middle, LIMIT),
        ("CPU", few.cost.cpu_each, many.cost.cpu_each, LIMIT),
        (f"CPU of {target}", few.cost.target_each, many.cost.target_each, LIMIT),
    ):
        ratio = (of_many / many.series) / (of_few / few.series)
        figures = (
            f"{of_many * 1000:.1f} ms for {many.series} series / {of_few * 1000:.1f} ms for {few.series}"
        )
        title = f"{many.count} {what} / {few.count}: {name} per series"
        found.append((title, figures, f"{ratio:.2f} × (≤ {limit:g})", ratio <= limit))
    return found
