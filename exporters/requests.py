"""One HTTP request as bytes to values and an answer as values to bytes. Pure."""

from __future__ import annotations

import functools
import itertools
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MOST_HEAD_BYTES = 16 * 1024
MOST_HEADERS = 100
MOST_KEPT_HEAD = 1024
"""Bytes of a head that is remembered with what it says."""
GZIP_FROM_BYTES = 14_600
"""What TCP sends before it waits for the other side: ten segments of 1,460 bytes (RFC 6928). Below,
packing saves no round trip and costs 0.1 ms on either side."""
PLAIN = "text/plain; charset=utf-8"
REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class BadRequest(Exception):
    """What a client sent is no request that is answered here.

    Args:
        status: the status code of the answer.
        words: what is wrong, in one line.
    """

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


@dataclass(frozen=True)
class Request:
    """A request without a body; names of headers are in lower case."""

    method: str
    path: str
    query: dict[str, list[str]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    keep_alive: bool = True

    def one(self, name: str) -> str:
        """Return a parameter that may be given once; empty where it is not.

        Raises:
            BadRequest: it is given several times.
        """
        values = self.query.get(name, [])
        if len(values) > 1:
            raise BadRequest(400, f"the parameter {name} is given more than once")
        return values[0] if values else ""


@dataclass(frozen=True)
class Answer:
    """What is sent back."""

    status: int
    body: bytes | Iterator[bytes]
    """Whole, or in pieces; of several the first is longer than `GZIP_FROM_BYTES`."""
    content_type: str = PLAIN
    headers: Mapping[str, str] = field(default_factory=dict)


def line(status: int, words: str, **headers: str) -> Answer:
    """Return an answer of one line."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, f"{words}\n".encode("utf-8", "replace"), headers=named)


def parse(head: bytes) -> Request:
    """Read the head of a request, without the empty line at its end; scrapers send the same again and again.

    Raises:
        BadRequest: it is not HTTP/1, too long, or has a body.
    """
    # passwords stay in memory no longer than needed
    return _parsed(head) if len(head) > MOST_KEPT_HEAD or b"authorization" in head.lower() else _known(head)


def _parsed(head: bytes) -> Request:
    """Read the head of a request, without the empty line at its end.

    Raises:
        BadRequest: it is not HTTP/1, too long, or has a body.
    """
    try:
        first, *rest = head.decode("latin-1").split("\r\n")
        method, target, version = first.split(" ")
    except ValueError:
        raise BadRequest(400, "that is no HTTP request") from None
    if not version.startswith("HTTP/") or not method or not set(method) <= _TOKEN:
        raise BadRequest(400, "that is no HTTP request")
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise BadRequest(505, "HTTP/1.1 is spoken here")
    if len(rest) > MOST_HEADERS:
        raise BadRequest(431, f"more than {MOST_HEADERS} headers")
    headers: dict[str, str] = {}
    for text in rest:
        name, colon, value = text.partition(":")
        if not colon or not name or not set(name) <= _TOKEN or "\0" in value:
            raise BadRequest(400, "a header that is none")
        name = name.lower()
        if name == "host" and name in headers:
            raise BadRequest(400, "two Host headers")
        headers[name] = f"{headers[name]},{value.strip()}" if name in headers else value.strip()
    if version == "HTTP/1.1" and "host" not in headers:
        raise BadRequest(400, "no Host header")
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        raise BadRequest(413, "a request with a body is not answered here")
    if not target.startswith(("/", "http://", "https://")):
        raise BadRequest(400, "that is no path")
    connection = headers.get("connection", "").lower()
    keep = "close" not in connection and version == "HTTP/1.1"
    try:
        parts = urlsplit(f"//host{target}" if target.startswith("/") else target)
        query = parse_qs(parts.query, keep_blank_values=True, max_num_fields=20)
    except ValueError:
        raise BadRequest(400, "that is no path") from None
    return Request(method, unquote(parts.path) or "/", query, headers, keep)


_known = functools.lru_cache(maxsize=64)(_parsed)


def accepts_gzip(header: str) -> bool:
    """Return whether an Accept-Encoding header allows gzip."""
    for item in header.lower().split(","):
        name, _, parameters = item.partition(";")
        if name.strip() in ("gzip", "*"):
            weight = parameters.replace(" ", "").removeprefix("q=")
            return weight.strip("0.") != "" or weight == ""
    return False


def gzipped(pieces: Iterable[bytes]) -> bytes:
    """Return the body as gzip; quick rather than small."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b"".join([*map(packer.compress, pieces), packer.flush()])


def encoded(answer: Answer, request: Request | None, more: Mapping[str, str], keep_alive: bool) -> bytes:
    """Return an answer as it goes over the wire; HEAD gets the same head and no body.

    Args:
        answer: what to say.
        request: what was asked; None where it could not be read.
        more: headers that every answer has.
        keep_alive: whether the connection stays open.
    """
    headers = {"Content-Type": answer.content_type, **more, **answer.headers}
    pieces = iter((answer.body,)) if isinstance(answer.body, bytes) else answer.body
    body = next(pieces, b"")
    if len(body) >= GZIP_FROM_BYTES:
        headers["Vary"] = "Accept-Encoding"
        pieces = itertools.chain((body,), pieces)
        if request is not None and accepts_gzip(request.headers.get("accept-encoding", "")):
            body = gzipped(pieces)
            headers["Content-Encoding"] = "gzip"
        else:
            body = b"".join(pieces)
    last = "" if keep_alive else "Connection: close\r\n"
    head = f"{_head(answer.status, tuple(headers.items()))}Content-Length: {len(body)}\r\n{last}\r\n"
    data = head.encode("latin-1", "replace")
    return data if request is not None and request.method == "HEAD" else data + body


@functools.lru_cache(maxsize=64)  # pages have the same again and again
def _head(status: int, headers: tuple[tuple[str, str], ...]) -> str:
    """Return the first line and some headers of an answer."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}"]
    lines += [f"{name}: {_on_one_line(value)}" for name, value in headers]
    return "\r\n".join([*lines, ""])


def _on_one_line(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ")
