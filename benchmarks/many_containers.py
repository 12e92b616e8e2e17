"""`/metrics/container` of a real engine with 20 and with 200 running containers."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from benchmarks.growth import Point, point, rows
from benchmarks.scraping import Processes
from benchmarks.standard_exporters import OwnExporter
from tests.servers.docker import BASE_IMAGE, DockerEngine, running_engine, unavailable

if TYPE_CHECKING:
    from benchmarks.timing import Row

FEW, MANY = 20, 200
PROJECT = "many"
SETTLED_SECONDS = 65.0
"""In its first minute a container's state changes every second in the engine's words."""


def run() -> list[Row]:
    """Return rows (what, figures, ratio, within the limit)."""
    reason = unavailable()
    if reason:
        raise SystemExit(f"many_containers needs a Docker engine: {reason}")
    with running_engine() as engine:
        few = _measured(engine, range(FEW))
        many = _measured(engine, range(FEW, MANY))
    return rows("containers", "dockerd", few, many)


def _measured(engine: DockerEngine, more: range) -> Point:
    """Start some more containers and measure the page of all."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: _start(engine, number), more))
    time.sleep(SETTLED_SECONDS)
    services = {f"box{number}": {"container": f"box{number}"} for number in range(more.stop)}
    compose = {"project": PROJECT, "docker_host": engine.host}
    with OwnExporter(services, compose=compose) as exporter:
        daemon = Processes([engine.pid])
        return point(exporter.port, "/metrics/container", more.stop, Processes([exporter.pid]), daemon)


def _start(engine: DockerEngine, number: int) -> None:
    labels = {"project": PROJECT, "service": f"box{number}", "oneoff": "False"}
    arguments = [f"--label=com.docker.compose.{name}={value}" for name, value in labels.items()]
    image = [BASE_IMAGE, "sleep", "infinity"]
    engine.docker("run", "-d", "--network=none", f"--name=box{number}", *arguments, *image)
