"""Calls at a moment."""

from __future__ import annotations

import os
import threading
import warnings

from opsctl.probes.alarms import call_later

WAITS = 30


def test_calls_come_in_the_order_of_their_moments_and_the_cancelled_never() -> None:
    called: list[str] = []
    done = threading.Event()
    late = call_later(0.2, lambda: (called.append("late"), done.set())[1])
    call_later(0.05, lambda: called.append("early"))
    call_later(0.1, lambda: called.append("cancelled")).cancel()
    assert done.wait(WAITS)
    late.cancel()  # harmless
    assert called == ["early", "late"]


def test_a_call_that_fails_costs_the_next_nothing() -> None:
    done = threading.Event()

    def fail() -> None:
        raise ValueError("on purpose")

    call_later(0, fail)
    call_later(0.01, done.set)
    assert done.wait(WAITS)


def test_one_thread_serves_all_also_after_a_fork() -> None:
    threads = [thread for thread in threading.enumerate() if thread.name == "alarms"]
    assert len(threads) <= 1
    alarms = [call_later(60, threading.Event().set) for _ in range(20)]
    assert sum(thread.name == "alarms" for thread in threading.enumerate()) == 1
    for alarm in alarms:
        alarm.cancel()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child does what is asked here and ends
        child = os.fork()
    if child == 0:
        done = threading.Event()
        call_later(0, done.set)
        os._exit(0 if done.wait(WAITS) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
