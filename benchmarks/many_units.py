"""`/metrics/systemd` of a machine with a real systemd, with 30 and with 300 units of the stack."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import yaml

from benchmarks.growth import Point, point, rows
from benchmarks.scraping import Processes
from tests.servers.base import free_port, listens, wait_until
from tests.servers.systemd import Machine, unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.timing import Row

FEW, MANY = 30, 300
UNIT = """[Unit]
Description=Nothing, for the benchmark
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
"""


def run() -> list[Row]:
    """Return rows (what, figures, ratio, within the limit)."""
    reason = unavailable()
    if reason:
        raise SystemExit(f"many_units needs a machine with systemd: {reason}")
    with Machine(network="host") as machine:
        few = _measured(machine, range(FEW))
        many = _measured(machine, range(FEW, MANY))
    return rows("units", "systemd", few, many)


def _measured(machine: Machine, more: range) -> Point:
    """Start some more units and measure the page of all."""
    for number in more:
        machine.write(f"/run/systemd/system/bench-{number}.service", UNIT)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", *(f"bench-{number}.service" for number in more))
    with _exporter(machine, more.stop) as (port, process):
        systemd = Processes([machine.leader], alone=True)
        return point(port, "/metrics/systemd", more.stop, Processes([process]), systemd)


@contextlib.contextmanager
def _exporter(machine: Machine, count: int) -> Iterator[tuple[int, int]]:
    """Run the exporter inside for so many units; give its port and the process that holds it."""
    services = {f"unit{number}": {"unit": f"bench-{number}.service"} for number in range(count)}
    path, port = f"/etc/opsctl/{count}.yml", free_port()
    machine.write(path, yaml.safe_dump({"name": "units", "services": services}))
    argv = ["python3", "-m", "opsctl", "exporter", "--stack", path, "--listen", f"127.0.0.1:{port}"]
    process = subprocess.Popen(
        machine.command(*argv), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_until(lambda: listens(port), "the exporter", 60)
        yield port, process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
