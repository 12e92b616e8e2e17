"""A run that is interrupted removes everything; what a killed one leaves, the next one removes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.machine import leftovers, machines_of, processes, sweep
from tests.lab.runner import Run
from tests.servers.base import wait_until

FAULT = "rostferrum/application-was-down"
"""Takes long enough to be interrupted while it is injected."""
PROJECT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("lab-interrupted")]


class Started:
    """`python -m tests.lab` in a process of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.told = folder / "told"
        self.report = folder / "report.json"
        argv = [sys.executable, "-m", "tests.lab", "--shared-machine", "--verbose", f"--only={FAULT}"]
        with self.told.open("wb") as told:
            self.process = subprocess.Popen(
                [*argv, f"--report={self.report}", *arguments],
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=told,
                start_new_session=True,
            )
        self.notes: list[dict[str, Any]] = []

    def until(self, text: str) -> None:
        """Wait until it says so; remember which machines it has by then."""

        def said() -> bool:
            assert self.process.poll() is None, self.told.read_text()
            return text in self.told.read_text()

        wait_until(said, f"the lab says {text!r}", 300, self.told)
        self.notes = machines_of(self.process.pid)

    def until_it_has_processes(self) -> None:
        """Wait until its machine runs."""

        def runs() -> bool:
            self.notes = machines_of(self.process.pid)
            groups = [Path(group) for note in self.notes for group in note["groups"]]
            return bool(processes(groups))

        wait_until(runs, "a machine that boots", 300, self.told)

    def end(self, number: int) -> int:
        """Send a signal to its whole process group, as a terminal does, and return how it ended."""
        os.killpg(self.process.pid, number)
        return self.process.wait(120)

    def kill(self) -> None:
        """Make sure that it has ended."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(120)


@pytest.fixture
def started(tmp_path: Path, lab: Run) -> Iterator[Started]:
    del lab  # says whether the lab can run here
    run = Started(tmp_path)
    try:
        yield run
    finally:
        run.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_booting(started: Started, number: int) -> None:
    started.until_it_has_processes()
    assert started.end(number) == 130
    assert leftovers(started.notes) == []


def test_interrupted_while_injecting(started: Started) -> None:
    started.until("rostferrum: inject\n")
    assert len(started.notes) == 1
    assert started.end(signal.SIGINT) == 130
    assert leftovers(started.notes) == []
    assert "control looks" in started.told.read_text(), "the table is printed all the same"
    assert started.report.exists()


def test_interrupted_while_removing(started: Started) -> None:
    started.until("rostferrum: inject\n")
    os.killpg(started.process.pid, signal.SIGINT)
    started.until("rostferrum: removing\n")
    for _ in range(3):
        os.killpg(started.process.pid, signal.SIGINT)
    assert started.end(signal.SIGTERM) == 130
    assert leftovers(started.notes) == []


def test_killed_outright(started: Started) -> None:
    """The machine ends with its runner, and the next run removes what the killed one could not."""
    started.until("rostferrum: inject\n")
    groups = [Path(group) for note in started.notes for group in note["groups"]]
    assert processes(groups)
    started.process.kill()
    started.process.wait(30)
    wait_until(lambda: not processes(groups), "the machine's end", 60)
    sweep()
    assert leftovers(started.notes) == []
