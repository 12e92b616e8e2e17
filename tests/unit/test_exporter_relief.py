"""A thread that hangs with a request: another one answers in its place, and nothing is lost or said twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from exporters import looking, server
from exporters.application import PROBES_AT_ONCE, Application
from exporters.relief import Work
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
        self.ended = 0

    def relief(self, request: Request) -> Work | None:
        return None if request.path == "/plain" else HangingWork(self, request.path == "/hangs")


class HangingWork:
    seconds = SECONDS

    def __init__(self, all: Hanging, hangs: bool) -> None:
        self.all, self.hangs = all, hangs

    def first(self) -> Answer:
        self.all.entered.release()
        if self.hangs:
            assert self.all.gate.wait(LONG)
        self.all.left.release()
        return line(200, "first")

    def instead(self) -> Answer:
        return line(200, "instead")

    def end(self) -> None:
        self.all.ended += 1


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
        assert hanging.ended == 3, "once a request"


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

    class Slow(HangingWork):
        def first(self) -> Answer:
            assert gate.wait(LONG)
            return line(200, "first")

        def instead(self) -> Answer:
            entered.set()
            assert answered.wait(LONG)
            return line(200, "instead")

    def relief(request: Request) -> Work | None:
        return None if request.path == "/plain" else Slow(Hanging(), True)

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
    with serving(application.answer, relief=application.work) as running:
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
    with serving(application.answer, relief=application.work) as running:
        try:
            for _ in range(5):
                status, _, body = ask(running.port, "/metrics/postgres")
                assert (status, samples(body)) == (200, {"pg_up service=db": 0})
            assert hung == ["db/postgres"]
            own = samples(ask(running.port, "/metrics")[2])
            assert own["opsctl_exporter_hung_collections"] == 1
            assert own["opsctl_exporter_scrapes_total path=/metrics/postgres"] == 5
            own = samples(ask(running.port, "/metrics")[2])
            assert own["opsctl_exporter_scrape_series path=/metrics/postgres"] == 1
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

    def close(request: Request) -> Work | None:
        work = application.work(request)
        assert work is not None
        work.seconds = SECONDS
        return work

    with serving(application.answer, relief=close) as running, Client(running.port) as client:
        for _ in range(8):
            status, _, body = client.ask("/metrics/postgres")
            assert status == 200
            assert "pg_up service=db" in samples(body)


def test_looks_that_hang_keep_no_place_from_others() -> None:
    """As many targets hang as may be probed at once: those that are well are probed all the same."""
    gate = threading.Event()
    names = [f"a{number}" for number in range(PROBES_AT_ONCE)]

    def facts_of(item: Assignment) -> Facts | None:
        if item.target.service in names:
            assert gate.wait(LONG)
        return well(item)

    services = {name: {"http": [f"https://{name}.example/"]} for name in [*names, "b"]}
    watched = lookout(stack(services), facts_of, SECONDS)
    application = Application(watched)
    with serving(application.answer, relief=application.work) as running:
        try:
            clients = [Client(running.port) for _ in names]
            for name, client in zip(names, clients, strict=True):
                client.send(f"GET /probe?target=https://{name}.example/ HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert [client.answer()[0] for client in clients] == [200] * len(names)
            status, _, body = ask(running.port, "/probe?target=https://b.example/")
            assert (status, samples(body)["probe_success"]) == (200, 1)
        finally:
            gate.set()
            for client in clients:
                client.__exit__()


def test_env_files_that_hang_do_not_hold_the_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, inside = threading.Event(), threading.Event()
    watched = lookout(stack(DATABASE), well, SECONDS)
    application = Application(watched)

    def hanging(*_: object) -> None:
        inside.set()
        assert gate.wait(LONG)

    with serving(application.answer, relief=application.work) as running:
        assert ask(running.port, "/metrics/postgres")[0] == 200
        monkeypatch.setattr(looking, "SECRETS_SECONDS", 0.0)
        monkeypatch.setattr(looking, "Secrets", hanging)
        try:
            for _ in range(3):
                assert samples(ask(running.port, "/metrics/postgres")[2])["pg_up service=db"] == 1
            assert inside.is_set()
            assert ask(running.port, "/-/healthy")[0] == 200
        finally:
            gate.set()


def test_the_last_thread_that_reads_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no further thread is to be had, looks are left to those that end in time."""
    monkeypatch.setattr(server.Server, "_more", more_but_once(server.Server._more))
    hanging = Hanging()
    with serving(plain, relief=hanging.relief) as running:
        assert ask(running.port, "/hangs")[2] == b"plain\n"
        assert ask(running.port, "/quick")[2] in (b"plain\n", b"first\n")


def more_but_once(more: Callable[[server.Server], None]) -> Callable[[server.Server], None]:
    """Return what makes a thread the first time, fails the second time, and makes threads after that."""
    calls: list[int] = []

    def made(self: server.Server) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("can't start new thread")
        more(self)

    return made
