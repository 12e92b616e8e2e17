"""What answers at an address where a server of another protocol should be.

A server that never says a word looks hung; often it is another program on the same port. Some speak
first (SSH, SMTP, MySQL), and the others are asked what a web server would answer. A process that
is known to be the right one is never asked: it is merely slow, and the question would stand in its log.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from typing import TYPE_CHECKING

from opsctl.probes.addresses import is_here
from opsctl.probes.listeners import listeners

if TYPE_CHECKING:
    from collections.abc import Collection

    from opsctl.probes.base import ProbeContext

FORWARDERS = ("docker-proxy", "rootlessport", "ssh", "sshd", "socat", "haproxy", "envoy", "systemd-socket-")
"""Processes that pass a connection on: what they hold the port for is not known."""
BANNER_SECONDS = 0.2
ANSWER_SECONDS = 0.8
MAX_BYTES = 200
MAX_TEXT = 60
_QUESTION = b"HEAD / HTTP/1.0\r\n\r\n"
_NOT_TEXT = re.compile(r"[^\x20-\x7e]+")


def words_of(data: bytes) -> str:
    """Return the first line of an answer, printable and bounded; empty where there is none. Pure."""
    for line in data[:MAX_BYTES].decode("latin-1").splitlines():
        text = _NOT_TEXT.sub(" ", line).strip()
        if text:
            return text[:MAX_TEXT]
    return ""


def who_answers(
    context: ProbeContext, host: str, port: int, names: Collection[str], own: Collection[str] = ()
) -> str:
    """Return "something else answers on ADDRESS: FIRST BYTES"; empty where that is not seen.

    Args:
        context: for its time, its redactor and the list of listening sockets.
        host: where to connect, not a folder of sockets.
        port: where to connect.
        names: of the processes that would be the right ones.
        own: how an answer in the right protocol begins.
    """
    holder = _holder(context, host, port)
    if holder in names or context.left < BANNER_SECONDS:
        return ""
    known = holder and not holder.startswith(FORWARDERS)
    data = _first_bytes(host, port, context.left - 0.05, ask=bool(known))
    said = words_of(data)
    if not said or any(said.startswith(start) for start in own):
        return ""
    by = f" ({holder})" if known else ""
    return f'something else{by} answers on {host}:{port}: "{context.redactor.text(said)}"'


def _holder(context: ProbeContext, host: str, port: int) -> str:
    """Return the name of the process that listens there, as far as it may be seen."""
    if not is_here(host):
        return ""
    try:
        found = context.shared.once("listeners", listeners)
    except OSError:
        return ""
    return next((item.process for item in found if item.port == port and item.process), "")


def _first_bytes(host: str, port: int, seconds: float, ask: bool) -> bytes:
    """Wait for a greeting; where none comes, ask as a browser would, if that may be."""
    ends = time.monotonic() + seconds
    with contextlib.suppress(OSError), socket.create_connection((host, port), min(seconds, 0.3)) as line:
        line.settimeout(max(min(BANNER_SECONDS, ends - time.monotonic()), 0.01))
        with contextlib.suppress(TimeoutError):
            return line.recv(MAX_BYTES)
        if ask and ends > time.monotonic():
            line.settimeout(max(min(ANSWER_SECONDS, ends - time.monotonic()), 0.01))
            line.sendall(_QUESTION)
            return line.recv(MAX_BYTES)
    return b""
