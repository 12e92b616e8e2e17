"""The engine: everything at once under one deadline, whatever hangs, crashes or refuses."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsctl import engine, look, system
from opsctl.diagnose import diagnose
from opsctl.model import Status, Target
from opsctl.probes.base import ProbeContext, ProbeError
from opsctl.stack import reader
from tests.servers.base import free_port

pytestmark = pytest.mark.live

MANY = 12


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never says anything."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        yield int(listener.getsockname()[1])


def stack_of(text: str, folder: Path) -> engine.Stack:
    return reader.parse(text.encode(), "test.yml", folder)


def test_what_hangs_is_left_behind_at_the_deadline(silent_port: int, tmp_path: Path) -> None:
    services = "".join(
        f"  cache{number}: {{redis: 'redis://127.0.0.1:{silent_port}/{number}'}}\n" for number in range(MANY)
    )
    stack = stack_of(f"name: t\nservices:\n{services}", tmp_path)
    began = time.monotonic()
    snapshot = engine.collect(stack, deadline=1.0)
    assert time.monotonic() - began < 10, "the deadline of one second was not kept at all"
    readings = [reading for reading in snapshot.readings if reading.target.kind == "redis"]
    assert len(readings) == MANY
    diagnosis = diagnose(snapshot)
    asked = [item for item in diagnosis.findings if item.id == "redis/hung"]
    assert {item.status for item in asked} == {Status.CRITICAL}


def test_a_probe_that_ignores_its_time_is_abandoned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    release = threading.Event()

    def stubborn(_context: ProbeContext) -> None:
        release.wait(30)

    monkeypatch.setattr("opsctl.look.probe_for", lambda kind, detail: stubborn)
    stack = stack_of("name: t\nservices:\n  a: {redis: 'redis://127.0.0.1:1/0'}\n", tmp_path)
    try:
        snapshot = engine.collect(stack, deadline=0.5)
    finally:
        release.set()
    assert all(reading.problem and reading.problem.code == "timeout" for reading in snapshot.readings)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (RuntimeError("boom"), "crashed", "RuntimeError: boom"),
        (ProbeError("permission", "no", "be root"), "permission", "no"),
        (MemoryError(), "crashed", "MemoryError"),
    ],
)
def test_a_probe_that_raises_harms_nobody_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, code: str, words: str
) -> None:
    real = look.probe_for

    def choose(kind: str, detail: str) -> object:
        def broken(_context: ProbeContext) -> None:
            raise error

        return broken if kind == "redis" else real(kind, detail)

    monkeypatch.setattr("opsctl.look.probe_for", choose)
    text = f"name: t\nservices:\n  a: {{redis: 'redis://127.0.0.1:1/0', http: 'http://127.0.0.1:{free_port()}/'}}\n"
    readings = {reading.target.kind: reading for reading in engine.collect(stack_of(text, tmp_path)).readings}
    problem = readings["redis"].problem
    assert problem is not None
    assert problem.code == code
    assert words in problem.message
    assert readings["http"].facts is not None


def test_only_what_is_wanted_is_looked_at(tmp_path: Path) -> None:
    stack = stack_of("name: t\nservices:\n  a: {redis: 'redis://127.0.0.1:1/0'}\n", tmp_path)
    snapshot = engine.collect(stack, wanted=lambda target: target.kind == "redis")
    assert [reading.target for reading in snapshot.readings] == [
        Target(kind="redis", service="a", address="127.0.0.1:1")
    ]


def test_a_missing_secret_is_said_with_where_it_was_looked_for(tmp_path: Path) -> None:
    text = (
        "name: t\nservices:\n  a: {redis: {url: 'redis://127.0.0.1:1/0', password_env: OPSCTL_TEST_UNSET}}\n"
    )
    (reading,) = engine.collect(
        stack_of(text, tmp_path), wanted=lambda target: target.kind == "redis"
    ).readings
    assert reading.problem is not None
    assert "OPSCTL_TEST_UNSET is not set" in reading.problem.message
    assert str(tmp_path / ".env") in reading.problem.message


def test_a_pipe_in_place_of_an_env_file_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".env")
    text = (
        "name: t\nservices:\n  a: {redis: {url: 'redis://127.0.0.1:1/0', password_env: OPSCTL_TEST_UNSET}}\n"
    )
    stack = stack_of(text, tmp_path)
    (reading,) = engine.collect(stack, deadline=2, wanted=lambda target: target.kind == "redis").readings
    assert reading.problem is not None
    assert reading.problem.code == "missing"


def test_a_thread_left_behind_starts_no_process_afterwards() -> None:
    batch = system.Batch()
    results: list[system.Result] = []

    def late() -> None:
        batch.join()
        results.append(system.run(["true"], timeout=5))
        batch.end()
        results.append(system.run(["true"], timeout=5))

    thread = threading.Thread(target=late)
    thread.start()
    thread.join()
    assert [result.ok for result in results] == [True, False]


def test_a_command_that_hangs_is_killed_with_its_children() -> None:
    marker = f"{time.time_ns() % 10**8 + 10**8}"
    result = system.run(["sh", "-c", f"sleep {marker} & sleep {marker}"], timeout=0.3)
    assert result.timed_out
    deadline = time.monotonic() + 5
    while marker in system.run(["ps", "-eo", "args"], timeout=5).stdout and time.monotonic() < deadline:
        time.sleep(0.05)
    assert marker not in system.run(["ps", "-eo", "args"], timeout=5).stdout


def test_a_command_that_is_not_there_is_an_answer() -> None:
    result = system.run(["opsctl-no-such-program"], timeout=1)
    assert result.missing
    assert not result.ok


def test_output_without_end_is_cut() -> None:
    result = system.run(["sh", "-c", "yes | head -c 20000000"], timeout=10)
    assert len(result.stdout) <= system.MAX_OUTPUT
