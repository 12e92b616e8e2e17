"""A thread that hangs with a request: another one answers in its place, and nothing is lost or said twice."""

from __future__ import annotations

import threading
import time

import pytest

from exporters import server
from exporters.application import Application
from exporters.relief import Relief, relief_of
from exporters.requests import Answer, Request, line
from opsctl.facts.base import Facts
from opsctl.stack.targets import Assignment
from tests.servers.base import wait_until
from tests.unit.exporter import LONG, Client, ask, lookout, serving, stack
from tests.unit.test_exporter_pages import SERVICES, samples, well

SECONDS = 0.3
DATABASE = {"db": SERVICES["db"]}


def plain(_request: Request) -> Answer:
    return line(200, "plain")


class Hanging:
    """A first answer that waits for a gate where the path says so; counts who came out."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.left = threading.Semaphore(0)
        self.relief = Relief(self.seconds, self.first, self.instead)

    def seconds(self, request: Request) -> float:
        return 0.0 if request.path == "/plain" else SECONDS

    def first(self, request: Request) -> Answer:
        self.entered.release()
        if request.path == "/hangs":
            assert self.gate.wait(LONG)
        self.left.release()
        return line(200, "first")

    def instead(self, _request: Request) -> Answer:
        return line(200, "instead")


@pytest.mark.parametrize(
    ("path", "words"), [("/quick", b"first"), ("/hangs", b"instead"), ("/plain", b"plain")]
)
def test_who_answers(path: str, words: bytes) -> None:
    hanging = Hanging()
    with serving(plain, relief=hanging.relief) as running, Client(running.port) as client:
        try:
            assert client.ask(path)[2] == words + b"\n"
            assert client.ask("/quick")[2] == b"first\n", "the connection is kept"
        finally:
            hanging.gate.set()


def test_the_late_answer_goes_nowhere_and_its_thread_ends() -> None:
    hanging = Hanging()
    with serving(plain, relief=hanging.relief) as running, Client(running.port) as client:
        try:
            client.send(
                b"GET /hangs HTTP/1.1\r\nHost: a\r\n\r\n" * 2 + b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n"
            )
            assert [client.answer()[2] for _ in range(3)] == [b"instead\n", b"instead\n", b"plain\n"]
            with_hung = threading.active_count()
        finally:
            hanging.gate.set()
        assert hanging.left.acquire(timeout=LONG)
        assert hanging.left.acquire(timeout=LONG)
        wait_until(lambda: threading.active_count() <= with_hung - 2, "both ended", LONG)
        assert client.ask("/quick")[2] == b"first\n"
        assert running.connections() == 1


def test_threads_that_hang_are_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "THREADS", 2)
    hanging = Hanging()
    with serving(plain, relief=hanging.relief) as running:
        try:
            for _ in range(6):
                assert ask(running.port, "/hangs")[2] == b"instead\n"
            assert ask(running.port, "/plain")[2] == b"plain\n"
        finally:
            hanging.gate.set()


def test_the_first_one_may_still_win() -> None:
    """The one that stands in hangs as well, until the first has answered."""
    entered, gate, answered = threading.Event(), threading.Event(), threading.Event()

    def first(_request: Request) -> Answer:
        assert gate.wait(LONG)
        return line(200, "first")

    def instead(_request: Request) -> Answer:
        entered.set()
        assert answered.wait(LONG)
        return line(200, "instead")

    relief = Relief(lambda request: 0.0 if request.path == "/plain" else SECONDS, first, instead)
    with serving(plain, relief=relief) as running, Client(running.port) as client:
        client.send(b"GET /hangs HTTP/1.1\r\nHost: a\r\n\r\n")
        assert entered.wait(LONG)
        gate.set()
        assert client.answer()[2] == b"first\n"
        answered.set()
        assert client.ask("/plain")[2] == b"plain\n", "nothing was said twice"


def test_a_page_of_one_target_is_looked_at_in_the_thread_that_answers() -> None:
    names: dict[str, str] = {}

    def facts_of(item: Assignment) -> Facts | None:
        names[item.target.id] = threading.current_thread().name
        return well(item)

    application = Application(lookout(stack(SERVICES), facts_of, 3.0))
    with serving(application.answer, relief=relief_of(application)) as running:
        ask(running.port, "/metrics/postgres")
        assert names["db/postgres"].startswith("answer")
        ask(running.port, "/metrics/redis")
        assert {name.partition("-")[0] for item, name in names.items() if "cache" in item} == {"look"}
        ask(running.port, "/metrics/postgres", x_prometheus_scrape_timeout_seconds="3")
        assert names["db/postgres"].startswith("look"), "no time to be relieved"


def test_a_look_that_hangs_is_reported_and_the_next_scrapes_do_not_wait_for_it() -> None:
    gate, hung = threading.Event(), []

    def facts_of(item: Assignment) -> Facts | None:
        hung.append(item.target.id)
        assert gate.wait(LONG)
        return well(item)

    watched = lookout(stack(DATABASE), facts_of, SECONDS)
    application = Application(watched)
    with serving(application.answer, relief=relief_of(application)) as running:
        try:
            for _ in range(5):
                status, _, body = ask(running.port, "/metrics/postgres")
                assert (status, samples(body)) == (200, {"pg_up service=db": 0})
            assert hung == ["db/postgres"]
            own = samples(ask(running.port, "/metrics")[2])
            assert own["opsctl_exporter_hung_collections"] == 1
            assert own["opsctl_exporter_scrapes_total path=/metrics/postgres"] == 5
            assert ask(running.port, "/probe?target=other&module=http")[0] == 400
        finally:
            gate.set()
        wait_until(lambda: watched.flights.lost == 0, "it came back", LONG)
        assert samples(ask(running.port, "/metrics/postgres")[2])["pg_up service=db"] == 1


def test_many_scrapes_with_looks_that_land_as_they_are_due() -> None:
    """Whoever is the first answers: never both, never none."""
    application = Application(
        lookout(stack(DATABASE), lambda item: time.sleep(SECONDS) or well(item), SECONDS)
    )
    relief = relief_of(application)
    close = Relief(lambda request: relief.seconds(request) and SECONDS, relief.first, relief.instead)
    with serving(application.answer, relief=close) as running, Client(running.port) as client:
        for _ in range(8):
            status, _, body = client.ask("/metrics/postgres")
            assert status == 200
            assert "pg_up service=db" in samples(body)
