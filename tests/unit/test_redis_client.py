"""The connection to a Redis meets programs that are none, or that break off: a clear error, and in time."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from opsctl.probes.connection import connection_state
from opsctl.probes.redis_client import RedisClient
from opsctl.probes.redis_protocol import (
    AuthenticationError,
    ClientsExhausted,
    ErrorReply,
    NoConnection,
    NotRedis,
    TimedOut,
)

PATIENCE = 0.4
ENOUGH = 20.0
"""Far longer than any step may take: what hangs fails here."""


@contextlib.contextmanager
def answering(*acts: Callable[[socket.socket], object]) -> Iterator[str]:
    """Give the URL of a server that does one act with each connection, then closes it."""

    def serve() -> None:
        for act in acts:
            with contextlib.suppress(OSError):
                line, _ = server.accept()
                with line:
                    act(line)

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(ENOUGH)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        server.close()
    thread.join(ENOUGH)
    assert not thread.is_alive()


@contextlib.contextmanager
def client_of(url: str, password: str | None = None, seconds: float = ENOUGH) -> Iterator[RedisClient]:
    client = RedisClient(url, password, seconds)
    try:
        yield client
    finally:
        client.close()


def says(*answers: bytes) -> Callable[[socket.socket], None]:
    """Answer each question with the next of these."""

    def act(line: socket.socket) -> None:
        for answer in answers:
            line.recv(4096)
            line.sendall(answer)

    return act


def drips(line: socket.socket) -> None:
    """Send a text byte by byte: each step is quick, and it never ends."""
    line.sendall(b"$100000\r\n")
    with contextlib.suppress(OSError):
        while True:
            line.sendall(b"x")
            time.sleep(0.02)


def holds(line: socket.socket) -> None:
    """Say nothing until the other side goes."""
    while line.recv(4096):
        pass


def reads_on(line: socket.socket) -> None:
    """Send without end what looks like a text."""
    line.sendall(b"+")
    with contextlib.suppress(OSError):
        while True:
            line.sendall(b"x" * 65536)


@pytest.mark.parametrize("act", [drips, holds])
def test_a_step_ends_at_its_deadline(act: Callable[[socket.socket], None]) -> None:
    with answering(act) as url, client_of(url, seconds=PATIENCE) as client:
        with pytest.raises(TimedOut) as caught:
            client.command("PING")
        assert connection_state(caught.value) == "timeout"


@pytest.mark.parametrize(
    "act", [says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), says(b"\x15\x03\x03\x00\x02\x02F"), reads_on]
)
def test_another_program_is_told_apart(act: Callable[[socket.socket], None]) -> None:
    with answering(act) as url, client_of(url) as client, pytest.raises(NotRedis, match="Protocol Error"):
        client.command("PING")


@pytest.mark.parametrize("answer", [b"", b"+PO", b"$10\r\nabc", b"*2\r\n:1\r\n"])
def test_a_server_that_breaks_off(answer: bytes) -> None:
    with answering(says(answer)) as url, client_of(url) as client:
        with pytest.raises(NoConnection, match="Connection closed by server") as caught:
            client.command("PING")
        assert connection_state(caught.value) == "closed"


def test_what_it_said_before_it_broke_off_is_why() -> None:
    with (
        answering(says(b"-ERR max number of clients reached\r\n")) as url,
        client_of(url) as client,
        pytest.raises(ClientsExhausted, match="max number of clients reached"),
    ):
        client.ask([("PING",), ("INFO",)])


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with client_of(f"redis://127.0.0.1:{port}") as client, pytest.raises(NoConnection) as caught:
        client.command("PING")
    assert str(caught.value) == f"Error 111 connecting to 127.0.0.1:{port}. Connection refused."
    assert connection_state(caught.value) == "refused"


def test_names_and_paths_that_do_not_exist() -> None:
    for url, state in (
        ("redis://no-such-name.invalid:6379", "name-unresolved"),
        ("unix:///nowhere/redis.sock", "missing"),
    ):
        with client_of(url) as client, pytest.raises(NoConnection) as caught:
            client.command("PING")
        assert connection_state(caught.value) == state


def test_a_server_without_users_gets_the_password_alone() -> None:
    heard: list[bytes] = []

    def old(line: socket.socket) -> None:
        for answer in (b"-ERR wrong number of arguments for 'auth' command\r\n", b"+OK\r\n", b"+PONG\r\n"):
            heard.append(line.recv(4096))
            line.sendall(answer)

    with answering(old) as url, client_of(url.replace("//", "//some%40one@"), "secret-1") as client:
        assert client.command("PING") == "PONG"
    assert heard[0] == b"*3\r\n$4\r\nAUTH\r\n$8\r\nsome@one\r\n$8\r\nsecret-1\r\n"
    assert heard[1] == b"*2\r\n$4\r\nAUTH\r\n$8\r\nsecret-1\r\n"


def test_a_login_is_only_good_with_an_ok() -> None:
    with (
        answering(says(b"+WHAT\r\n")) as url,
        client_of(url, "secret-1") as client,
        pytest.raises(AuthenticationError),
    ):
        client.command("PING")


def test_a_connection_that_ended_meanwhile_is_made_anew() -> None:
    with answering(says(b"+first\r\n"), says(b"+second\r\n", b"+third\r\n")) as url, client_of(url) as client:
        assert client.command("PING") == "first"
        time.sleep(0.2)  # the end arrives
        assert client.command("PING") == "second"
        assert client.command("PING") == "third"


def test_an_answer_that_nobody_asked_for_is_never_that_of_the_next_question() -> None:
    with answering(says(b"+first\r\n+more\r\n"), says(b"+second\r\n")) as url, client_of(url) as client:
        assert client.command("PING") == "first"
        assert client.command("PING") == "second"


def test_an_error_is_one_answer_among_others() -> None:
    with answering(says(b"-NOPERM no\r\n:1\r\n", b"-ERR no\r\n")) as url, client_of(url) as client:
        denied, one = client.ask([("INFO",), ("LLEN", "x")])
        assert isinstance(denied, ErrorReply)
        assert one == 1
        with pytest.raises(ErrorReply, match="no"):
            client.command("LLEN", "x")
        assert client.ask([]) == []
