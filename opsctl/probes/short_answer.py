"""One short answer over a plain connection, without a general HTTP client.

http.client parses headers with the e-mail package, which costs more than all else of a look at a
status page. What is not the plain case (chunks, no length, HTTP/1.0) is left to it.
"""

from __future__ import annotations

import http.client
import re
import socket
import struct
import time

MOST_HEAD = 16 * 1024
_PLAIN = re.compile(rb"HTTP/1\.1 ([2-5]\d\d)[ \r]")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*(?:\r|$)", re.IGNORECASE)
_CODED = re.compile(rb"\r\ntransfer-encoding[ \t]*:", re.IGNORECASE)
_LAST = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)


class NotPlain(Exception):
    """The answer is not of the plain kind; the connection is of no more use."""


def short_answer(stream: socket.socket, ends: float, most: int) -> tuple[int, bytes, bool]:
    """Return the answer to a GET request: status, body, and whether the connection may be used again.

    Args:
        stream: the request was sent over it, and nothing of an earlier answer is left in it; it has a
            time-out of its own until the first byte.
        ends: until when, in seconds of the monotonic clock.
        most: bytes of the body at most.

    Raises:
        NotPlain: the answer has no length, or is longer than `most`.
        OSError: the connection broke or the time is over; `RemoteDisconnected` before the first byte.
    """
    try:
        data = _part(stream, b"")  # most answers come whole
    except BlockingIOError:  # what the kernel calls a time-out of its own
        raise TimeoutError("timed out") from None
    while (end := data.find(b"\r\n\r\n")) < 0:
        if len(data) > MOST_HEAD:
            raise NotPlain
        data += _hurried_part(stream, ends, data)
    head, body = data[:end], data[end + 4 :]
    status, length = _PLAIN.match(head), _LENGTH.findall(head)
    if status is None or len(length) != 1 or int(length[0]) > most or _CODED.search(head):
        raise NotPlain
    while len(body) < int(length[0]):
        body += _hurried_part(stream, ends, data)
    if len(body) > int(length[0]):
        raise NotPlain
    return int(status.group(1)), body, _LAST.search(head) is None


def _part(stream: socket.socket, before: bytes) -> bytes:
    part = stream.recv(65536)
    if part:
        return part
    if before:
        raise ConnectionResetError("the answer was cut")
    raise http.client.RemoteDisconnected("Remote end closed connection without response")


def _hurried_part(stream: socket.socket, ends: float, before: bytes) -> bytes:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    stream.settimeout(left)
    return _part(stream, before)


def bound(stream: socket.socket, seconds: float) -> None:
    """Have the kernel end every wait of a socket after so long; Python's way takes a system call more each.

    Raises:
        OSError: the socket is of no use any more.
    """
    value = struct.pack("ll", *divmod(max(int(seconds * 1e6), 1000), 1_000_000))  # 0 were for ever
    stream.settimeout(None)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        stream.setsockopt(socket.SOL_SOCKET, option, value)
