"""A time-out that this machine itself made says nothing of the target."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from opsctl import starvation
from opsctl.facts.base import Connection
from opsctl.facts.redis import RedisFacts
from opsctl.starvation import Clock, _Counter, read_ahead, starved


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


def test_what_was_read_ahead_is_the_beginning_of_one_clock_only(monkeypatch: pytest.MonkeyPatch) -> None:
    delays = iter([1, 4, 5, 6])

    def counts(_own: object) -> bytes:
        return b"77 %d000000000 3\n" % next(delays)

    now = [10.0]
    monkeypatch.setattr(_Counter, "counts", counts)
    monkeypatch.setattr(starvation, "time", SimpleNamespace(monotonic=lambda: now[0]))
    read_ahead()  # 1
    clock = Clock()
    now[0] += 10
    assert clock.kept_waiting() == (3.0, 10.0)  # 4
    clock = Clock()  # 5
    now[0] += 0.5
    assert clock.kept_waiting() == (0.5, 0.5)  # 6: no more than has passed


def test_where_the_kernel_does_not_count_nobody_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Counter, "counts", lambda _own: b"")
    read_ahead()
    assert Clock().kept_waiting()[0] == 0.0


def test_the_clock_counts_what_the_kernel_counts() -> None:
    clock = Clock()
    sum(range(200_000))
    waited, passed = clock.kept_waiting()
    assert 0 <= waited <= passed
