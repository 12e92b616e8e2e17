"""What the exporter's tests share: a server on a free loopback port, and asking it byte by byte."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from exporters.looking import Lookout
from exporters.relief import Work
from exporters.requests import Answer, Request
from exporters.server import Guard, Server
from opsctl.facts.base import Facts
from opsctl.model import Reading
from opsctl.stack import reader
from opsctl.stack.stack import Stack
from opsctl.stack.targets import Assignment

LONG = 60.0


def stack(services: dict[str, Any], **more: Any) -> Stack:
    """Return a stack of these services."""
    text = yaml.safe_dump({"name": "shop", "services": services, **more})
    return reader.parse(text.encode(), "shop.yml", Path("/"))


def lookout(
    found: Stack, facts_of: Callable[[Assignment], Facts | None], probe_seconds: float = LONG
) -> Lookout:
    """Return a lookout whose probes are a function: no server is asked."""

    def looker(_stack: Stack, item: Assignment, *_: Any) -> Reading:
        facts = facts_of(item)
        return Reading(target=item.target, taken_at=datetime.now(UTC), duration_seconds=0.01, facts=facts)

    return Lookout(found, looker, probe_seconds)


@contextlib.contextmanager
def serving(
    application: Callable[[Request], Answer],
    guard: Guard | None = None,
    relief: Callable[[Request], Work | None] | None = None,
    before_waiting: Callable[[], None] | None = None,
) -> Iterator[Server]:
    """Serve on a free port in a thread of its own."""
    server = Server(("127.0.0.1", 0), application, guard, relief=relief, before_waiting=before_waiting)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(LONG)
        assert not thread.is_alive()


class Client:
    """A kept connection that sends exactly what it is told to."""

    def __init__(self, port: int, wrap: Callable[[socket.socket], socket.socket] | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=LONG)
        if wrap is not None:
            self.socket = wrap(self.socket)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, head_only: bool = False) -> tuple[int, dict[str, str], bytes]:
        """Read one answer; status 0 where the other side closed."""
        first = self.file.readline().decode("latin-1")
        if not first:
            return 0, {}, b""
        version, status, _ = first.split(" ", 2)
        assert version == "HTTP/1.1"
        headers: dict[str, str] = {}
        while (line := self.file.readline().decode("latin-1").rstrip("\r\n")) != "":
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        body = b"" if head_only else self.file.read(int(headers["content-length"]))
        return int(status), headers, body

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Ask for a path; `accept_encoding="gzip"` is a header."""
        lines = [f"{method} {path} HTTP/1.1", "Host: test"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode())
        return self.answer(head_only=method == "HEAD")

    def closed(self) -> bool:
        """Wait for the other side to close; return whether it did without another byte."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Ask once, over a connection of its own."""
    with Client(port) as client:
        return client.ask(path, method, **headers)
