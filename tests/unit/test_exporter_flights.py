"""Work that may hang: shared while it is in the air, given up when due, never more threads than agreed."""

from __future__ import annotations

import threading
import time
import weakref

import pytest

from exporters import flights
from exporters.flights import MOST_LOST, Flights
from tests.servers.base import wait_until
from tests.unit.exporter import LONG


def soon() -> float:
    return time.monotonic() + LONG


def threads(name: str) -> int:
    return sum(thread.name.startswith(f"{name}-") for thread in threading.enumerate())


def test_a_second_asker_shares_the_flight() -> None:
    pool, gate, calls = Flights(4, "share"), threading.Event(), []

    def work() -> int:
        calls.append(1)
        assert gate.wait(LONG)
        return len(calls)

    first = pool.start("a", work, LONG)
    second = pool.start("a", work, LONG)
    assert second is first
    gate.set()
    assert pool.wait(first, soon())
    assert first.value == 1
    third = pool.start("a", work, LONG)
    assert pool.wait(third, soon())
    assert third.value == 2


def test_an_error_belongs_to_the_flight() -> None:
    pool = Flights(1, "error")
    flight = pool.start("a", lambda: 1 // 0, LONG)
    assert pool.wait(flight, soon())
    assert isinstance(flight.error, ZeroDivisionError)
    after = pool.start("a", lambda: 7, LONG)
    assert pool.wait(after, soon())
    assert after.value == 7


def test_what_hangs_is_given_up_and_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(flights, "RETRY_SECONDS", 0.0)
    pool, gate = Flights(2, "hang"), threading.Event()
    inside = threading.Semaphore(0)

    def hangs() -> None:
        inside.release()
        assert gate.wait(LONG)

    for _ in range(50):  # as many scrapes of a target that hangs
        flight = pool.start("frozen", hangs, 0.001)
        if not flight.lost:
            assert inside.acquire(timeout=LONG)
        assert not pool.wait(flight, soon())
        assert flight.lost
    assert pool.lost <= MOST_LOST + 1
    assert threads("hang") <= 2 + MOST_LOST + 1
    other = pool.start("well", lambda: "fine", LONG)
    assert pool.wait(other, soon())
    assert other.value == "fine"
    gate.set()
    wait_until(lambda: pool.lost == 0, "all back", LONG)
    again = pool.start("frozen", lambda: "back", LONG)
    assert pool.wait(again, soon())
    assert again.value == "back"
    wait_until(lambda: threads("hang") <= 2, "no more threads than agreed", LONG)


def test_a_short_wait_does_not_give_up_what_may_still_land() -> None:
    pool, gate = Flights(1, "short"), threading.Event()
    flight = pool.start("a", lambda: gate.wait(LONG), LONG)
    assert not pool.wait(flight, time.monotonic() + 0.01)
    assert not flight.lost
    gate.set()
    assert pool.wait(flight, soon())


def test_what_waits_for_a_thread_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights, "GRACE_SECONDS", 0.0)
    pool, gate, inside = Flights(1, "full"), threading.Event(), threading.Event()

    def first() -> None:
        inside.set()
        assert gate.wait(LONG)

    busy = pool.start("a", first, LONG)
    assert inside.wait(LONG)
    waiting = pool.start("b", lambda: "late", LONG)
    assert not pool.wait(waiting, time.monotonic() + 0.05)
    assert not waiting.lost
    assert pool.start("b", lambda: "again", LONG) is waiting
    gate.set()
    assert pool.wait(waiting, soon())
    assert waiting.value == "late"
    assert pool.wait(busy, soon())
    assert pool.lost == 0


def test_what_hangs_and_is_not_waited_for_holds_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights, "GRACE_SECONDS", 0.0)
    pool, gate = Flights(2, "forgotten"), threading.Event()
    inside = threading.Semaphore(0)

    def hangs() -> None:
        inside.release()
        assert gate.wait(LONG)

    left = [pool.start(number, hangs, 0.001) for number in range(2)]
    for _ in left:
        assert inside.acquire(timeout=LONG)
    wait_until(lambda: all(flight.due < time.monotonic() for flight in left), "overdue", LONG)
    other = pool.start("well", lambda: "fine", LONG)
    assert pool.wait(other, soon())
    assert other.value == "fine"
    gate.set()
    wait_until(lambda: pool.lost == 0, "all back", LONG)


def test_many_at_once_all_land() -> None:
    pool = Flights(3, "many")
    started = [pool.start(number, lambda number=number: number * 2, LONG) for number in range(200)]  # type: ignore[misc]
    assert all(pool.wait(flight, soon()) for flight in started)
    assert [flight.value for flight in started] == [number * 2 for number in range(200)]
    assert threads("many") <= 3


def test_what_has_landed_is_kept_by_nobody() -> None:
    class Brought:
        pass

    pool, seen = Flights(2, "kept"), []

    def work() -> Brought:
        brought = Brought()
        seen.append(weakref.ref(brought))
        return brought

    flight = pool.start("a", work, LONG)
    assert pool.wait(flight, soon())
    own = pool.here("b", work, LONG)
    assert own is not None
    del flight, own
    wait_until(lambda: [item() for item in seen] == [None, None], "gone", LONG)


def test_a_thread_that_asks_flies_by_itself_and_others_share_it() -> None:
    pool, inside, gate = Flights(2, "here"), threading.Event(), threading.Event()

    def work() -> str:
        inside.set()
        assert gate.wait(LONG)
        return threading.current_thread().name

    flown: list[flights.Flight | None] = []
    own = threading.Thread(target=lambda: flown.append(pool.here("a", work, LONG)), name="asker")
    own.start()
    assert inside.wait(LONG)
    assert pool.here("a", work, LONG) is None, "one at a time"
    shared = pool.start("a", work, LONG)
    gate.set()
    assert pool.wait(shared, soon())
    own.join(LONG)
    assert shared.value == "asker"
    assert flown == [shared]
