"""One HTTP request with a hard end and a clock on every phase.

The standard library's http.client on a socket of our own: requests costs 290 ms to import here
and urllib3 100 ms against 34 ms, and neither bounds the whole exchange (both count only the
silence between two reads) nor tells name lookup, connect and TLS apart.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import http.client
import io
import queue
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from opsctl import __version__
from opsctl.facts.base import Connection
from opsctl.probes.connection import connection_state

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Buffer

MAX_BODY = 64 * 1024
USER_AGENT = f"opsctl/{__version__}"


@dataclass(frozen=True)
class Route:
    """How to get to a URL: by which address, under which name, trusting whom, how much of it."""

    host: str = ""
    connect: str = ""
    ca_file: Path | None = None
    verify: bool = True
    authorization: str = ""
    max_body: int = MAX_BODY


@dataclass
class Exchange:
    """What one request brought back. `connection.state` is ok where HTTP was answered."""

    connection: Connection
    phase: str = ""
    seconds: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)
    status: int | None = None
    version: int | None = None
    """10 for HTTP/1.0, 11 for HTTP/1.1."""
    tls_version: str = ""
    certificate_end: str = ""
    """In the words of the certificate, where it was verified."""
    headers: dict[str, str] = field(default_factory=dict)
    cookies: list[str] = field(default_factory=list)
    body: bytes = b""


def split_address(text: str, default: int) -> tuple[str, int]:
    """Return host and port of `HOST`, `HOST:PORT` or `[V6]:PORT`; a port that is none takes the default."""
    host, separator, port = text.rpartition(":")
    if not separator or (":" in host and not host.endswith("]")) or not port.isdecimal() or len(port) > 5:
        return text.strip("[]"), default
    return host.strip("[]"), int(port)


def lookup(host: str, port: int, seconds: float) -> list[tuple[int, tuple[str, int]]]:
    """Look a name up, for no longer than `seconds`.

    Raises:
        OSError: there is no such name, or no name server answered in time.
    """
    with contextlib.suppress(OSError, UnicodeError):  # an address is its own answer, and takes no thread
        return _addresses(host, port, socket.AI_NUMERICHOST)
    answers: queue.SimpleQueue[list[tuple[int, tuple[str, int]]] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(_addresses(host, port))
        except (OSError, UnicodeError) as error:
            answers.put(error if isinstance(error, OSError) else socket.gaierror(-2, str(error)))

    # getaddrinfo cannot be told to hurry, and with dead name servers it takes many seconds
    threading.Thread(target=ask, name="lookup", daemon=True).start()
    try:
        found = answers.get(timeout=max(seconds, 0.01))
    except queue.Empty:
        raise socket.gaierror(socket.EAI_AGAIN, f"no name server answered in {seconds:.1f} s") from None
    if isinstance(found, OSError):
        raise found
    return found


def _addresses(host: str, port: int, flags: int = 0) -> list[tuple[int, tuple[str, int]]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(entry[0], (str(entry[4][0]), port)) for entry in found]


def exchange(
    url: str, route: Route, seconds: float, method: str = "GET", cookies: tuple[str, ...] = ()
) -> Exchange:
    """Send one request and read at most `route.max_body` of its answer, all in `seconds`. Never raises."""
    began = time.monotonic()
    result = Exchange(connection=Connection(state="ok"), phase="resolve")
    parts = urlsplit(url)
    try:
        _exchange(parts, route, began + seconds, method, cookies, result)
    except (OSError, http.client.HTTPException, ValueError) as error:
        late = time.monotonic() - began >= seconds - 0.01
        state = connection_state(error)
        if late and state != "name-unresolved":
            state = "timeout"
        elif isinstance(error, http.client.RemoteDisconnected):
            state = "closed"
        detail = "timed out" if state == "timeout" else (str(error) or type(error).__name__)
        result.connection = Connection(
            state=state, detail=detail[:300], address=parts.netloc.rpartition("@")[2]
        )
    result.seconds = time.monotonic() - began
    if result.connection.state == "ok":
        result.connection = Connection(
            state="ok", address=parts.netloc.rpartition("@")[2], seconds=result.seconds
        )
    return result


def _exchange(
    parts: SplitResult, route: Route, ends: float, method: str, cookies: tuple[str, ...], result: Exchange
) -> None:
    secure = parts.scheme == "https"
    own = (parts.hostname or "", parts.port or (443 if secure else 80))
    host, port = split_address(route.connect, own[1]) if route.connect else own
    last = time.monotonic()

    def done(phase: str, following: str) -> None:
        nonlocal last
        now = time.monotonic()
        result.phases[phase] = round(now - last, 6)
        last, result.phase = now, following

    addresses = lookup(host, port, ends - time.monotonic())
    done("resolve", "connect")
    plain = connect_any(addresses, ends)
    stream: socket.socket = plain
    try:
        done("connect", "tls" if secure else "processing")
        if secure:
            name = route.host.partition(":")[0] or parts.hostname or host
            plain.settimeout(_left(ends))  # of the whole handshake
            secured = _tls_context(route).wrap_socket(plain, server_hostname=name)
            stream = secured
            done("tls", "processing")
            result.tls_version = secured.version() or ""
            result.certificate_end = str((secured.getpeercert() or {}).get("notAfter") or "")
        _talk(_Hurried(stream, ends), parts, route, method, cookies, result, done)
    finally:
        with contextlib.suppress(OSError):
            stream.close()
        with contextlib.suppress(OSError):
            plain.close()


_WEAK_FAILURES = ("unreachable", "refused")
"""Failures that say little where another address of the same name fails in another way; the least first."""


def connect_any(addresses: list[tuple[int, tuple[str, int]]], ends: float) -> socket.socket:
    """Connect to the first address that answers, each given its share of the time.

    Raises:
        OSError: none does; "refused" only where no other failure says more.
    """
    weight = -1
    failure: OSError = socket.gaierror(socket.EAI_NODATA, "the name has no address")
    for number, (family, address) in enumerate(addresses):
        left = max(ends - time.monotonic(), 0.01) / (len(addresses) - number)
        stream = socket.socket(family, socket.SOCK_STREAM)
        stream.settimeout(left)
        try:
            stream.connect(address)
        except OSError as error:
            stream.close()
            state = connection_state(error)
            own = _WEAK_FAILURES.index(state) if state in _WEAK_FAILURES else len(_WEAK_FAILURES)
            if own >= weight:
                failure, weight = error, own
            continue
        stream.settimeout(max(ends - time.monotonic(), 0.01))
        return stream
    raise failure


class _Reader(io.RawIOBase):
    """What comes in over a socket until `ends`, however slowly bytes drip in."""

    def __init__(self, stream: socket.socket, ends: float) -> None:
        self._stream, self._ends = stream, ends

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        self._stream.settimeout(_left(self._ends))
        return self._stream.recv_into(buffer)


class _Hurried:
    """A connected socket that has no time after `ends`, as http.client asks for one; others close it."""

    def __init__(self, stream: socket.socket, ends: float) -> None:
        self._stream, self._ends = stream, ends

    def sendall(self, data: bytes) -> None:
        self._stream.settimeout(_left(self._ends))  # of all of it
        self._stream.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._stream, self._ends))

    def close(self) -> None:
        pass


def _left(ends: float) -> float:
    """Return the seconds until `ends`.

    Raises:
        TimeoutError: it is over.
    """
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _tls_context(route: Route) -> ssl.SSLContext:
    changed = route.ca_file.stat().st_mtime_ns if route.ca_file else 0
    return _made_context(str(route.ca_file) if route.ca_file else None, route.verify, changed)


@functools.lru_cache(maxsize=16)  # reading the system's store takes tens of milliseconds
def _made_context(ca_file: str | None, verify: bool, _changed: int) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _talk(
    stream: _Hurried,
    parts: SplitResult,
    route: Route,
    method: str,
    cookies: tuple[str, ...],
    result: Exchange,
    done: object,
) -> None:
    assert callable(done)
    connection = http.client.HTTPConnection(parts.hostname or "")
    connection.sock = stream
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {
        "Host": route.host or parts.netloc.rpartition("@")[2],
        "User-Agent": USER_AGENT,
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    if route.authorization:
        headers["Authorization"] = route.authorization
    if cookies:
        headers["Cookie"] = "; ".join(cookies)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    done("processing", "transfer")
    result.status, result.version = answer.status, answer.version
    result.headers = {name.lower(): value[:500] for name, value in answer.getheaders()}
    result.cookies = [
        value.partition(";")[0][:500] for value in (answer.headers.get_all("Set-Cookie") or [])[:20]
    ]
    pieces: list[bytes] = []
    size = 0
    while size < route.max_body:
        piece = answer.read1(route.max_body - size)
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
    result.body = b"".join(pieces)
    if size < route.max_body and answer.length:
        told = size + answer.length
        raise ConnectionResetError(errno.ECONNRESET, f"the answer was cut after {size} of {told} bytes")
    done("transfer", "")
