"""A time-out that this machine itself made says nothing of the target."""

from __future__ import annotations

import pytest

from opsctl.facts.base import Connection
from opsctl.facts.redis import RedisFacts
from opsctl.starvation import Clock, starved


class Measured(Clock):
    def __init__(self, waited: float, passed: float) -> None:
        super().__init__()
        self.measured = waited, passed

    def kept_waiting(self) -> tuple[float, float]:
        return self.measured


def facts(state: str) -> RedisFacts:
    return RedisFacts(up=state == "ok", connection=Connection(state=state))


@pytest.mark.parametrize(
    ("state", "waited", "passed", "proves_nothing"),
    [
        ("timeout", 2.4, 3.0, True),
        ("timeout", 1.6, 3.0, True),
        ("timeout", 1.4, 3.0, False),
        ("timeout", 0.0, 3.0, False),
        ("refused", 2.9, 3.0, False),
        ("ok", 2.9, 3.0, False),
    ],
)
def test_only_a_time_out_of_a_starved_probe_proves_nothing(
    state: str, waited: float, passed: float, proves_nothing: bool
) -> None:
    words = starved(facts(state), Measured(waited, passed))
    assert bool(words) is proves_nothing
    if words:
        assert (
            words
            == f"no answer in {passed:.1f} s, of which opsctl itself waited {waited:.1f} s for a processor"
        )


def test_the_clock_counts_what_the_kernel_counts() -> None:
    clock = Clock()
    sum(range(200_000))
    waited, passed = clock.kept_waiting()
    assert 0 <= waited <= passed
