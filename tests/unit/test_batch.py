"""A batch of processes: what was left behind starts no more, and whoever looked may go on."""

from __future__ import annotations

from pathlib import Path

from opsctl import system
from opsctl.look import look
from opsctl.probes.base import Shared
from opsctl.redact import Redactor
from opsctl.secrets import Secrets
from opsctl.stack.reader import parse
from opsctl.stack.targets import assignments


def test_after_the_end_of_a_batch_its_threads_start_nothing() -> None:
    batch = system.Batch()
    batch.join()
    batch.end()
    try:
        assert system.run(["true"], 20).timed_out
    finally:
        batch.leave()
    assert system.run(["true"], 20).ok


def test_a_thread_that_looked_may_start_processes_afterwards(tmp_path: Path) -> None:
    stack = parse(b"name: x\nservices: {a: {http: ['http://127.0.0.1:1/']}}\n", "x.yml", tmp_path)
    redactor = Redactor()
    (item,) = [item for item in assignments(stack) if item.target.kind == "http"]
    look(stack, item, 20.0, Secrets(stack, redactor), redactor, Shared(), {})
    assert system.run(["true"], 20).ok
