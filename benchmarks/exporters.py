"""One round of the machine, PostgreSQL, Redis, nginx and a page: `opsctl exporter` against Debian's five.

Blocks of scrapes take turns, so that a machine that drifts hits both alike. Limits: processor time
and memory 0.6 of theirs together, processor time in the targets 0.6, each page no slower than its twin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from benchmarks.scraping import Cost, Processes, Scraper, measure
from benchmarks.standard_exporters import (
    NAMES,
    OwnExporter,
    StandardExporter,
    Targets,
    missing,
    standard_exporters,
)

if TYPE_CHECKING:
    from benchmarks.timing import Row

SHARE = 0.6
BLOCK = 20
WARM = 10
MEBIBYTE = 1024 * 1024


def run(scrapes: int = 200) -> list[Row]:
    """Return rows (what, figures, ratio, within the limit)."""
    if packages := missing():
        raise SystemExit(f"exporters needs: apt-get install --no-install-recommends {' '.join(packages)}")
    with Targets() as targets:
        with OwnExporter(targets.services()) as first:  # fills the bytecode's folder, and is not counted
            for path in _paths(targets).values():
                Scraper(first.port, path).scrape()
        with standard_exporters(targets) as theirs, OwnExporter(targets.services()) as ours:
            return _rows(targets, theirs, ours, scrapes)


def _paths(targets: Targets) -> dict[str, str]:
    """Return our page for each of the standard exporters."""
    probe = "/probe?" + urlencode({"target": targets.page, "module": "http"})
    return {name: probe if name == "blackbox" else f"/metrics/{name}" for name in NAMES}


def _rows(
    targets: Targets, theirs: dict[str, StandardExporter], ours: OwnExporter, scrapes: int
) -> list[Row]:
    watched = {
        "node": None,
        "postgres": Processes([targets.postgres.pid]),
        "redis": Processes([targets.redis.pid]),
        "nginx": Processes([targets.nginx.pid]),
    }
    watched["blackbox"] = watched["nginx"]
    own = Processes([ours.pid])
    standard = {name: Processes([exporter.pid]) for name, exporter in theirs.items()}
    paths = _paths(targets)
    pairs = {
        name: (Scraper(ours.port, paths[name]), Scraper(exporter.port, exporter.path))
        for name, exporter in theirs.items()
    }
    for pair in pairs.values():
        for _ in range(WARM):
            for scraper in pair:
                scraper.scrape()
    for processes in {own, *standard.values(), *watched.values()} - {None}:
        processes.watch_idle()
    costs = {name: (Cost(), Cost()) for name in pairs}
    for _ in range(-(-scrapes // BLOCK)):
        for name, pair in pairs.items():
            target = watched[name]
            for cost, scraper, process in zip(costs[name], pair, (own, standard[name]), strict=True):
                measure(cost, scraper, process, target, BLOCK)
    rows: list[Row] = [row for name, (our, their) in costs.items() for row in _page(name, our, their)]
    cpu = [sum(pair[side].cpu_each for pair in costs.values()) for side in (0, 1)]
    rows.append(_sum("CPU of one round", cpu[0] * 1000, cpu[1] * 1000, "ms"))
    asked = [sum(pair[side].target_each for pair in costs.values()) for side in (0, 1)]
    rows.append(_sum("CPU of one round in the targets", asked[0] * 1000, asked[1] * 1000, "ms"))
    memory = own.resident() / MEBIBYTE, sum(item.resident() for item in standard.values()) / MEBIBYTE
    rows.append(_sum("resident memory", *memory, "MiB"))
    return rows


def _page(name: str, ours: Cost, theirs: Cost) -> list[Row]:
    """Return how one page compares with its twin: its median, and what it costs (no limit of its own)."""
    ratio = ours.middle / theirs.middle
    cpu = f"{ours.cpu_each * 1000:.2f} / {theirs.cpu_each * 1000:.2f} ms CPU"
    asked = f", {ours.target_each * 1000:.2f} / {theirs.target_each * 1000:.2f} ms in the target"
    figures = f"{ours.middle * 1000:.2f} / {theirs.middle * 1000:.2f} ms; {cpu}"
    figures += asked if ours.target or theirs.target else ""
    return [(f"{name}: one scrape, p50", figures, f"{ratio:.2f} × (≤ 1)", ratio <= 1)]


def _sum(what: str, ours: float, theirs: float, unit: str) -> Row:
    ratio = ours / theirs
    return (
        f"{what}, ours / the standard exporters'",
        f"{ours:.1f} / {theirs:.1f} {unit}",
        f"{ratio:.2f} × (≤ {SHARE:g})",
        ratio <= SHARE,
    )
