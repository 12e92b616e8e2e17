"""One short answer, over a real socket pair: what is plain, what is not, what breaks."""

from __future__ import annotations

import http.client
import socket
import threading
import time

import pytest

from opsctl.probes.short_answer import NotPlain, short_answer

REQUEST = b"GET /nginx_status HTTP/1.1\r\nHost: a\r\n\r\n"
LONG = 60.0


def asked(
    *parts: bytes, seconds: float = LONG, most: int = 100, end: bool = False
) -> tuple[int, bytes, bool]:
    """Send the parts as the answer, then close where `end` says so."""
    ours, theirs = socket.socketpair()

    def answer() -> None:
        assert theirs.recv(4096) == REQUEST
        for part in parts:
            theirs.sendall(part)
        if end:
            theirs.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=answer)
    with ours, theirs:
        thread.start()
        try:
            ours.sendall(REQUEST)
            return short_answer(ours, time.monotonic() + seconds, most)
        finally:
            thread.join(LONG)


def test_a_plain_answer_in_one_piece_and_in_single_bytes() -> None:
    whole = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 5\r\n\r\nActiv"
    assert asked(whole) == (200, b"Activ", True)
    assert asked(*[bytes([byte]) for byte in whole]) == (200, b"Activ", True)


def test_the_last_answer_of_a_connection_says_so() -> None:
    last = b"HTTP/1.1 404 Not Found\r\ncontent-length:0\r\nConnection: close\r\n\r\n"
    assert asked(last) == (404, b"", False)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nActive",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 40_000,
    ],
)
def test_what_is_not_plain_is_left_to_others(answer: bytes) -> None:
    with pytest.raises(NotPlain):
        asked(answer)


def test_what_breaks_is_told_apart() -> None:
    with pytest.raises(http.client.RemoteDisconnected):
        asked(end=True)
    with pytest.raises(ConnectionResetError, match="cut"):
        asked(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nAct", end=True)
    with pytest.raises(TimeoutError):
        asked(b"HTTP/1.1 200 OK\r\n", seconds=0.2)
