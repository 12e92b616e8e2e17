"""The few words of FastCGI that it takes to ask PHP-FPM for its status page.

Written out because the clients on the package index have not been kept for years.
Specification: FastCGI 1.0, https://fastcgi-archives.github.io/FastCGI_Specification.html
"""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

MAX_ANSWER = 256 * 1024
_BEGIN, _END, _PARAMETERS, _INPUT, _OUTPUT, _ERRORS = 1, 3, 4, 5, 6, 7
_GET_VALUES, _GET_VALUES_RESULT = 9, 10
_RESPONDER = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """What a script or page printed: its CGI headers and body, and what it wrote to stderr."""

    status: int
    body: bytes
    errors: bytes


class FastCgiError(Exception):
    """What answered does not speak FastCGI, or stopped in the middle."""


def record(kind: int, content: bytes, request: int = 1) -> bytes:
    """Return one record; the content must be shorter than 64 KiB."""
    return struct.pack("!BBHHBx", 1, kind, request, len(content), 0) + content


def pairs(values: dict[str, str]) -> bytes:
    """Return name-value pairs with their lengths in front."""
    result = b""
    for name, value in values.items():
        for text in (name.encode(), value.encode()):
            size = len(text)
            result += bytes([size]) if size < 128 else struct.pack("!I", size | 0x80000000)
        result += name.encode() + value.encode()
    return result


def request_bytes(path: str, query: str) -> bytes:
    """Return a whole GET request for a page or script."""
    parameters = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": path,
        "SCRIPT_FILENAME": path,
        "REQUEST_URI": f"{path}?{query}" if query else path,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "opsctl",
        "REMOTE_ADDR": "127.0.0.1",
    }
    begin = record(_BEGIN, struct.pack("!HB5x", _RESPONDER, 0))
    return begin + record(_PARAMETERS, pairs(parameters)) + record(_PARAMETERS, b"") + record(_INPUT, b"")


def ask(stream: socket.socket, path: str, query: str, seconds: float) -> Answer:
    """Ask an open connection for a page.

    Raises:
        OSError: the connection failed; TimeoutError where no answer came in time.
        FastCgiError: the answer is not FastCGI.
    """
    reader = _Reader(stream, time.monotonic() + seconds)
    stream.sendall(request_bytes(path, query))
    parts: dict[int, bytes] = {_OUTPUT: b"", _ERRORS: b""}
    while sum(map(len, parts.values())) < MAX_ANSWER:
        kind, content = reader.record()
        if kind == _END:
            break
        if kind in parts:
            parts[kind] += content
    return parse_output(parts[_OUTPUT], parts[_ERRORS])


def is_alive(stream: socket.socket, seconds: float) -> bool:
    """Return whether a worker answers FCGI_GET_VALUES, which runs no script and leaves no log line.

    Raises:
        OSError: as for `ask`.
        FastCgiError: as for `ask`.
    """
    stream.settimeout(seconds)
    stream.sendall(record(_GET_VALUES, pairs({"FCGI_MPXS_CONNS": ""}), 0))
    kind, _ = _Reader(stream, time.monotonic() + seconds).record()
    return kind == _GET_VALUES_RESULT


def parse_output(output: bytes, errors: bytes) -> Answer:
    """Return CGI output as status, body and errors. Pure; never raises."""
    head, _, body = output.replace(b"\r\n\r\n", b"\n\n", 1).partition(b"\n\n")
    status = 200
    for line in head.splitlines():
        name, _, value = line.partition(b":")
        digits = value.strip()[:3]
        if name.strip().lower() == b"status" and digits.isdigit():
            status = int(digits)
    return Answer(status, body, errors)


class _Reader:
    """Reads records until a deadline."""

    def __init__(self, stream: socket.socket, ends: float) -> None:
        self.stream, self.ends = stream, ends

    def record(self) -> tuple[int, bytes]:
        version, kind, _, length, padding = struct.unpack("!BBHHBx", self._exactly(8))
        if version != 1:
            raise FastCgiError("the answer is not FastCGI")
        return kind, self._exactly(length + padding)[:length]

    def _exactly(self, size: int) -> bytes:
        parts = b""
        while len(parts) < size:
            left = self.ends - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self.stream.settimeout(left)
            piece = self.stream.recv(size - len(parts))
            if not piece:
                raise FastCgiError("the connection was closed in the middle of the answer")
            parts += piece
        return parts
