"""A run that is interrupted removes everything; what a killed one leaves, the next one removes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.machine import leftovers, machines_of, processes, records, sweep
from tests.lab.machine import started as started_at
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
    """What a killed run has started is removed without it."""
    started.until("rostferrum: inject\n")
    assert leftovers(started.notes)
    started.process.kill()
    started.process.wait(30)
    wait_until(lambda: leftovers(started.notes) == [], "everything removed", 120)


def test_the_next_run_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    """Should even the guard have been killed."""
    folder = tmp_path / "engine"
    (folder / "data").mkdir(parents=True)
    gone = subprocess.Popen(["true"])
    note = {"owner": gone.pid, "owner_started": started_at(gone.pid), "name": "opsctl-0test0"}
    gone.wait()
    note |= {"folders": [str(folder)], "groups": []}
    (records() / "opsctl-0test0.json").write_text(json.dumps(note))
    sweep()
    assert leftovers([note]) == []


def test_machines_of_living_runs_are_left_alone(tmp_path: Path) -> None:
    owner = os.getpid()
    note = {"owner": owner, "owner_started": started_at(owner), "name": "opsctl-0test1"}
    note |= {"folders": [str(tmp_path)], "groups": []}
    file = records() / "opsctl-0test1.json"
    file.write_text(json.dumps(note))
    try:
        sweep()
        assert file.exists()
        assert tmp_path.exists()
    finally:
        file.unlink()
