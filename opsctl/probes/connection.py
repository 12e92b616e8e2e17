"""Putting a failed connection into the words of `Connection`."""

from __future__ import annotations

import errno
import socket
import ssl

_BY_ERRNO = {
    errno.ECONNREFUSED: "refused",
    errno.ETIMEDOUT: "timeout",
    errno.EHOSTUNREACH: "unreachable",
    errno.EHOSTDOWN: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.ENETDOWN: "unreachable",
    errno.EADDRNOTAVAIL: "unreachable",
    errno.ECONNRESET: "closed",
    errno.ECONNABORTED: "closed",
    errno.EPIPE: "closed",
    errno.EACCES: "no-permission",
    errno.EPERM: "no-permission",
    errno.ENOENT: "missing",
    errno.ENOTDIR: "missing",
    errno.EAGAIN: "timeout",  # a Unix socket whose queue is full: nobody accepts
}

_BY_WORDS = (
    ("name or service not known", "name-unresolved"),
    ("temporary failure in name resolution", "name-unresolved"),
    ("no address associated with hostname", "name-unresolved"),
    ("nodename nor servname", "name-unresolved"),
    ("failed to resolve", "name-unresolved"),
    ("could not translate host name", "name-unresolved"),
    ("connection refused", "refused"),
    ("timed out", "timeout"),
    ("timeout", "timeout"),
    ("no route to host", "unreachable"),
    ("network is unreachable", "unreachable"),
    ("no such file or directory", "missing"),
    ("permission denied", "no-permission"),
    ("connection reset", "closed"),
    ("closed", "closed"),
    ("broken pipe", "closed"),
)


def connection_state(error: BaseException) -> str:
    """Return the `Connection.state` of an error, looking through what it was raised from."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, socket.gaierror):
            return "name-unresolved"
        if isinstance(cause, ssl.SSLError):
            return "tls"
        if isinstance(cause, TimeoutError):
            return "timeout"
        if isinstance(cause, OSError) and cause.errno in _BY_ERRNO:
            return _BY_ERRNO[cause.errno]
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    words = str(error).lower()
    return next((state for part, state in _BY_WORDS if part in words), "protocol")
