"""The second process: its answer, its death, its end. Forked from a fresh single-threaded Python."""

from __future__ import annotations

import subprocess
import sys

PRELUDE = """
import os, time, threading
from opsctl.companion import Companion, possible
def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
"""


def run(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_answer_comes_back_whole() -> None:
    size = 3_000_000
    script = (
        f"c = Companion(lambda: b'x' * {size}); print(len(c.result(time.monotonic() + 30)), alive(c.pid))"
    )
    assert run(script) == f"{size} False"


def test_a_process_that_hangs_is_killed_at_its_time() -> None:
    script = "c = Companion(lambda: time.sleep(60)); print(c.result(time.monotonic() + 0.2), alive(c.pid))"
    assert run(script) == "None False"


def test_a_process_that_dies_gives_no_answer_and_runs_no_clean_up_of_the_first() -> None:
    script = """
import atexit
atexit.register(lambda: print("clean-up"))
def work():
    raise RuntimeError("boom")
c = Companion(work)
print(c.result(time.monotonic() + 30))
"""
    assert run(script) == "None\nclean-up"


def test_it_is_not_forked_from_several_threads() -> None:
    script = """
stop = threading.Event()
thread = threading.Thread(target=stop.wait); thread.start()
print(possible()); stop.set(); thread.join()
"""
    assert run(script) == "False"
