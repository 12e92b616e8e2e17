"""Keeps a system lightly busy: a unit on its own server that asks its pages, bounded in rate and time."""

from __future__ import annotations

from tests.lab.machine import INSIDE_APPS
from tests.lab.stacks.base import System


def start(system: System) -> None:
    """Begin to ask; harmless where it is running."""
    unit = f"[Service]\nExecStart=python3 {INSIDE_APPS}/load.py {' '.join(system.load)}\nNice=5\n"
    system.server.unit("lab-load.service", unit)
    system.sh("systemctl restart lab-load")


def stop(system: System) -> None:
    """Leave the system idle."""
    system.sh("systemctl stop lab-load", check=False)
