"""When a measurement of the lab was disturbed by the host: what is stolen, of what was wanted, and when."""

from __future__ import annotations

import time

from tests.lab.processors import Processors


def disturbed(*samples: tuple[float, float, float]) -> float:
    processors = Processors()
    for sample in samples:
        processors.sample(*sample)
    return processors.disturbed_at


def test_a_good_part_of_what_is_wanted_must_be_stolen() -> None:
    assert disturbed((0, 100, 50), (1, 102, 50.9)) == 1
    assert disturbed((0, 100, 50), (1, 102, 50.7)) == float("-inf")


def test_the_share_of_a_machine_that_wants_nothing_says_nothing() -> None:
    assert disturbed((0, 100, 50), (1, 100.05, 50.05)) == float("-inf")


def test_it_is_the_last_seconds_that_count() -> None:
    quiet = [(float(at), 100.0 + at, 50.0) for at in range(60)]
    assert disturbed(*quiet, (60, 160, 50.9)) == float("-inf")  # one second of three
    assert disturbed(*quiet, (60, 160, 50.9), (61, 161, 51.8)) == 61


def test_without_patience_nothing_is_measured_again_or_waited_for() -> None:
    processors = Processors(patience=0)
    processors.disturbed_at = time.monotonic()
    assert not processors.disturbed_since(0)
    assert not processors.wait(60)


def test_patience_ends() -> None:
    processors = Processors(patience=1)
    processors.disturbed_at = time.monotonic() + 60
    assert processors.disturbed_since(time.monotonic())
    assert processors.wait(5)
    assert processors.patience <= 0
    assert not processors.disturbed_since(time.monotonic())
