"""The kept connection against servers of its own: plain answers, chunks, a connection that ends, silence."""

from __future__ import annotations

import contextlib
import gc
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from opsctl.probes.kept_http import KeptHttp
from opsctl.probes.short_answer import bound
from tests.unit.in_thread import LONG, served

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
LAST = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"


@contextlib.contextmanager
def running(handler: type[socketserver.BaseRequestHandler]) -> Iterator[str]:
    """Serve; yields the URL."""
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    with served(server) as port:
        yield f"http://127.0.0.1:{port}/status"


@contextlib.contextmanager
def serving(answer: bytes, each: int) -> Iterator[tuple[str, list[int]]]:
    """Give one answer to all, and close a connection after `each` of them; yields URL and connections."""
    made: list[int] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            made.append(1)
            for _ in range(each):
                while (line := self.rfile.readline()) not in (b"\r\n", b""):
                    assert line
                if not line:
                    return
                self.wfile.write(answer)

    with running(Handler) as url:
        yield url, made


def asked(answer: bytes, each: int) -> int:
    """Ask six times; every answer must come. Returns how many connections that took."""
    with serving(answer, each) as (url, made):
        kept = KeptHttp(url)
        for _ in range(6):
            connection, status, body = kept.ask(LONG)
            assert (connection.state, status, body) == ("ok", 200, b"hi")
        kept.close()
        return len(made)


def test_plain_answers_come_over_one_connection() -> None:
    assert asked(PLAIN, 100) == 1


class Counting:
    """Answers with the numbers of connection and question; a connection ends after `each`."""

    def __init__(self, each: int = 100) -> None:
        self.each, self.connections = each, 0
        self.asked = threading.Semaphore(0)
        """Released for each question that has come."""

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Serve; yields the URL."""
        counting = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                counting.connections += 1
                number = counting.connections
                for question in range(1, counting.each + 1):
                    while (line := self.rfile.readline()) not in (b"\r\n", b""):
                        assert line
                    if not line:
                        return
                    counting.asked.release()
                    body = f"{number}.{question}".encode()
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

        with running(Handler) as url:
            yield url


def test_a_question_is_sent_ahead_and_not_again() -> None:
    server = Counting()
    with server.running() as url:
        kept = KeptHttp(url)
        kept.ask_ahead(LONG)  # nobody is there yet
        assert kept.ask(LONG)[2] == b"1.1"
        assert server.asked.acquire(timeout=LONG)
        for number in (b"1.2", b"1.3"):
            kept.ask_ahead(LONG)
            assert server.asked.acquire(timeout=LONG), "it has come before it is asked for the answer"
            assert kept.ask(LONG)[2] == number
        assert kept.ask(LONG)[2] == b"1.4"
        kept.close()


def test_an_answer_that_nobody_took_is_not_given_to_the_next_who_asks() -> None:
    server = Counting()
    with server.running() as url:
        kept = KeptHttp(url)
        assert kept.ask(LONG)[2] == b"1.1"
        kept.ask_ahead(LONG)
        kept.ask_ahead(LONG)
        assert kept.ask(LONG)[2] == b"2.1"
        kept.close()


def test_silence_after_a_question_that_was_sent_ahead_ends_in_time() -> None:
    over = threading.Event()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(PLAIN)
            over.wait(LONG)

    with running(Handler) as url:
        kept = KeptHttp(url)
        for ahead in (0.2, LONG):  # the time of who asks counts
            assert kept.ask(LONG)[1] == 200
            kept.ask_ahead(ahead)
            began = time.monotonic()
            assert kept.ask(0.2)[0].state == "timeout"
            assert time.monotonic() - began < LONG / 2
        kept.close()
        over.set()


def test_a_question_sent_ahead_to_a_server_that_has_closed_is_sent_anew() -> None:
    server = Counting(each=1)
    with server.running() as url:
        kept = KeptHttp(url)
        for number in (b"1.1", b"2.1", b"3.1"):
            kept.ask_ahead(LONG)
            assert kept.ask(LONG)[2] == number
        kept.close()


def test_chunks_are_read_as_well_over_a_second_connection() -> None:
    assert asked(CHUNKS, 100) == 2


def test_a_connection_that_the_server_ends_is_replaced() -> None:
    assert asked(LAST, 2) == 6
    assert asked(PLAIN, 2) == 3


def test_a_wait_of_no_time_is_not_for_ever() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        bound(ours, 1e-9)
        with pytest.raises(BlockingIOError):
            ours.recv(1)


def test_a_port_that_is_none_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="ort"):
        KeptHttp("http://127.0.0.1:99999/status")
    gc.collect()
    assert capsys.readouterr().err == ""


def test_silence_ends_in_time_and_the_next_question_has_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        kept = KeptHttp(f"http://127.0.0.1:{silent.getsockname()[1]}/status")
        for seconds in (0.4, 0.1, 0.2):
            connection, status, _ = kept.ask(seconds)
            assert (connection.state, status) == ("timeout", 0)
        kept.close()
    with serving(PLAIN, 100) as (url, made):
        kept = KeptHttp(url)
        for seconds in (0.5, LONG, LONG, 0.5):
            assert kept.ask(seconds)[1] == 200
        kept.close()
        assert len(made) == 1


def test_nobody_there_and_no_answer_are_told_apart() -> None:
    with serving(PLAIN, 1) as (url, _):
        pass
    assert KeptHttp(url).ask(LONG)[0].state == "refused"
    with serving(b"HTTP/1.1 200 OK\r\n", 1) as (url, _):
        connection, status, body = KeptHttp(url).ask(LONG)
    assert (connection.state, status, body) != ("ok", 200, b"hi")
    assert connection.state != "ok"
