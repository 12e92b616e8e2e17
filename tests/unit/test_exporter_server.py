"""The exporter's HTTP server on loopback: kept connections, limits, slow and rude clients."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading

import pytest

from exporters import connections, server
from exporters.requests import Answer, BadRequest, Request, line
from tests.servers.base import wait_until
from tests.unit.exporter import LONG, Client, ask, serving

PAGE = b"up 1\n" * 4000


def application(request: Request) -> Answer:
    if request.path == "/fault":
        raise RuntimeError("broken")
    if request.path == "/bad":
        raise BadRequest(400, "no")
    if request.method not in ("GET", "HEAD"):
        return line(405, "GET and HEAD are answered here", Allow="GET, HEAD")
    return Answer(200, PAGE, "text/plain; version=0.0.4; charset=utf-8")


def test_many_requests_over_one_connection() -> None:
    with serving(application) as running, Client(running.port) as client:
        for _ in range(20):
            status, headers, body = client.ask("/")
            assert (status, body) == (200, PAGE)
            assert headers["content-type"].startswith("text/plain; version=0.0.4")
        status, headers, body = client.ask("/", accept_encoding="gzip")
        assert gzip.decompress(body) == PAGE
        assert headers["content-encoding"] == "gzip"
        status, headers, body = client.ask("/", "HEAD")
        assert (status, headers["content-length"], body) == (200, str(len(PAGE)), b"")
        assert client.ask("/", "DELETE")[0] == 405
        assert client.ask("/bad")[::2] == (400, b"no\n")
        assert client.ask("/")[0] == 200
        assert running.connections() == 1


def test_each_thread_is_called_before_it_waits() -> None:
    """What is read ahead there is of the time just before the request, not of hours ago."""
    here = threading.local()

    def before() -> None:
        here.ready = True

    def answer(_request: Request) -> Answer:
        ready, here.ready = getattr(here, "ready", False), False
        return line(200, str(ready))

    with serving(answer, before_waiting=before) as running:
        for _ in range(3):
            with Client(running.port) as client:
                for _ in range(20):
                    assert client.ask("/")[2] == b"True\n"


def test_requests_that_are_sent_together_are_answered_in_order() -> None:
    def echo(request: Request) -> Answer:
        return line(200, request.path)

    with serving(echo) as running, Client(running.port) as client:
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(30)))
        assert [client.answer()[2] for _ in range(30)] == [b"/%d\n" % number for number in range(30)]


def test_a_request_in_single_bytes_is_answered() -> None:
    with serving(application) as running, Client(running.port) as client:
        for byte in b"GET / HTTP/1.1\r\nHost: a\r\n\r\n":
            client.send(bytes([byte]))
        assert client.answer()[2] == PAGE


def test_close_is_done_as_asked() -> None:
    with serving(application) as running, Client(running.port) as client:
        _, headers, _ = client.ask("/", connection="close")
        assert headers["connection"] == "close"
        assert client.closed()


def test_a_fault_is_one_line_and_costs_nobody_the_connection(capfd: pytest.CaptureFixture[str]) -> None:
    with serving(application) as running, Client(running.port) as client:
        status, _, body = client.ask("/fault")
        assert status == 500
        assert b"broken" not in body
        assert client.ask("/")[0] == 200
    assert capfd.readouterr().err.count("broken") == 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000, 431),
        (b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 1000, 413),
    ],
)
def test_what_is_no_request_is_answered_and_shut_out(sent: bytes, status: int) -> None:
    with serving(application) as running:
        with Client(running.port) as client:
            client.send(sent)
            found, headers, body = client.answer()
            assert (found, headers["connection"]) == (status, "close")
            assert body.count(b"\n") == 1
            assert client.closed()
        assert ask(running.port, "/")[0] == 200


def test_a_slow_client_is_let_go_and_nobody_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 2.0)
    monkeypatch.setattr(server, "SWEEP_SECONDS", 0.05)

    def answered(port: int) -> bool:  # a machine that stands still may make us slow as well
        with contextlib.suppress(ConnectionError):
            return ask(port, "/")[0] == 200
        return False

    with serving(application) as running:
        slow = [Client(running.port) for _ in range(40)]  # more than there are threads
        try:
            for client in slow:
                client.send(b"GET / HTTP/1.1\r\nX: ")
            wait_until(lambda: answered(running.port), "answered", LONG)
            assert all(client.closed() for client in slow)
            wait_until(lambda: running.connections() == 0, "all let go", LONG)
        finally:
            for client in slow:
                client.__exit__()


def test_an_idle_client_is_let_go_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.2)
    monkeypatch.setattr(server, "SWEEP_SECONDS", 0.05)
    with serving(application) as running, Client(running.port) as client:
        assert client.ask("/")[0] == 200
        assert client.closed()


def test_a_client_that_does_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SEND_SECONDS", 0.5)
    huge = b"x" * 64 * 1024 * 1024
    with serving(lambda _request: Answer(200, huge)) as running, Client(running.port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: running.connections() == 1, "connected", LONG)
        wait_until(lambda: running.connections() == 0, "let go", LONG)


def test_who_has_just_come_does_not_make_room_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor where the thread that answered the other one goes on only after it has come."""
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 2)
    has_come = threading.Event()
    rest = connections.Connection.rest

    def rest_late(connection: connections.Connection) -> None:
        assert has_come.wait(LONG)
        rest(connection)

    monkeypatch.setattr(connections.Connection, "rest", rest_late)

    def both_wait() -> bool:
        here = list(running._connections.values())
        return len(here) == 2 and all(item.watched for item in here)

    with serving(application) as running, Client(running.port) as old:
        assert old.ask("/")[0] == 200
        with Client(running.port) as new:
            wait_until(lambda: running.connections() == 2, "it has come", LONG)
            has_come.set()
            wait_until(both_wait, "both are here", LONG)
            with Client(running.port) as third:
                assert third.ask("/")[0] == 200
                assert new.ask("/")[0] == 200
                assert old.closed()


def test_threads_and_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 20)
    gate = threading.Event()
    inside = threading.Semaphore(0)

    def waits(_request: Request) -> Answer:
        inside.release()
        assert gate.wait(LONG)
        return line(200, "done")

    def answering() -> int:
        return sum(thread.name.startswith("answer-") for thread in threading.enumerate())

    before = answering()
    with serving(waits) as running:
        clients = [Client(running.port) for _ in range(20)]
        try:
            for client in clients:
                client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            for _ in range(server.THREADS):
                assert inside.acquire(timeout=LONG)
            assert answering() - before <= server.THREADS + 1  # one reads
            gate.set()
            assert [client.answer()[0] for client in clients] == [200] * 20
            with Client(running.port) as one_more:  # the one that is idle longest makes room
                assert one_more.ask("/")[0] == 200
                assert running.connections() <= 20
        finally:
            for client in clients:
                client.__exit__()


def test_a_client_that_goes_away_harms_nobody() -> None:
    with serving(application) as running:
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", running.port), timeout=LONG) as gone:
                gone.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset, not closed
        assert ask(running.port, "/")[0] == 200
        wait_until(lambda: running.connections() == 0, "forgotten", LONG)


def test_clients_that_come_and_go_all_get_their_own_answers(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Threads that read side by side never answer the wrong client, not even where numbers are used again."""
    monkeypatch.setattr(server, "SWEEP_SECONDS", 0.001)
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.01)

    def echo(request: Request) -> Answer:
        return line(200, request.path)

    wrong: list[str] = []

    def visit(port: int, who: int) -> None:
        for turn in range(15):
            with Client(port) as client:
                for number in range(turn % 4 + 1):
                    path = f"/{who}-{turn}-{number}"
                    with contextlib.suppress(OSError):  # it was idle too long
                        status, _, body = client.ask(path)
                        if status and body != f"{path}\n".encode():
                            wrong.append(f"{path}: {status} {body!r}")

    with serving(echo) as running:
        visitors = [threading.Thread(target=visit, args=(running.port, who)) for who in range(12)]
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join(LONG)
        assert wrong == []
        wait_until(lambda: running.connections() == 0, "all let go", LONG)
        assert ask(running.port, "/after")[2] == b"/after\n"
    assert "fault" not in capfd.readouterr().err


def test_an_answer_under_way_is_finished_before_the_end() -> None:
    inside, gate = threading.Event(), threading.Event()
    huge = b"x" * 3_000_000

    def slow(_request: Request) -> Answer:
        inside.set()
        assert gate.wait(LONG)
        return Answer(200, huge)

    with serving(slow) as running:
        client = Client(running.port)
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert inside.wait(LONG)
        running.stop()
        gate.set()
        assert client.answer()[2] == huge
        client.__exit__()
