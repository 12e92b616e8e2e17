"""Listen addresses and failed connections in the words of the facts."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.probes.addresses import beyond_loopback, is_here
from opsctl.probes.base import Shared
from opsctl.probes.connection import connection_state
from opsctl.probes.listeners import listen_addresses

STATES = {
    "refused",
    "timeout",
    "name-unresolved",
    "unreachable",
    "closed",
    "protocol",
    "missing",
    "no-permission",
}


@pytest.mark.parametrize(
    ("address", "beyond"),
    [
        ("0.0.0.0", True),
        ("::", True),
        ("*", True),
        ("", True),
        ("10.0.0.5", True),
        ("db.internal", True),
        ("127.0.0.1", False),
        ("127.8.8.8", False),
        ("::1", False),
        ("[::1]", False),
        ("::ffff:127.0.0.1", False),
        ("localhost", False),
        ("/run/redis.sock", False),
    ],
)
def test_who_can_reach_an_address(address: str, beyond: bool) -> None:
    assert beyond_loopback(address) is beyond


def test_where_a_port_of_this_machine_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert listen_addresses(Shared(), "127.0.0.1", port) == ["127.0.0.1"]
        assert listen_addresses(Shared(), "localhost", port) == ["127.0.0.1"]
        assert listen_addresses(Shared(), "203.0.113.7", port) is None
    assert listen_addresses(Shared(), "127.0.0.1", port) == []


@pytest.mark.parametrize("host", ["203.0.113.7", "2001:db8::1", "some.name", "224.0.0.1", ""])
def test_addresses_of_other_machines(host: str) -> None:
    assert not is_here(host)


def wrapped(inner: BaseException) -> BaseException:
    """Return an error of a library around the system's own."""
    outer = RuntimeError("the library's words")
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "refused"),
        (wrapped(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")), "refused"),
        (TimeoutError("timed out"), "timeout"),
        (socket.gaierror(-2, "Name or service not known"), "name-unresolved"),
        (ssl.SSLError(1, "wrong version number"), "tls"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "closed"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "unreachable"),
        (PermissionError(errno.EACCES, "Permission denied"), "no-permission"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), "missing"),
        (RuntimeError("could not translate host name"), "name-unresolved"),
        (RuntimeError("what is this"), "protocol"),
    ],
)
def test_the_state_of_a_failed_connection(error: BaseException, state: str) -> None:
    assert connection_state(error) == state


def test_what_was_hidden_on_purpose_is_not_looked_at() -> None:
    error = RuntimeError("timed out")
    error.__context__ = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    assert connection_state(error) == "refused"
    error.__suppress_context__ = True  # raise … from None
    assert connection_state(error) == "timeout"


@given(st.text())
def test_any_words_have_a_state(words: str) -> None:
    assert connection_state(RuntimeError(words)) in STATES


@given(st.text(max_size=60))
def test_any_address_is_judged(address: str) -> None:
    assert beyond_loopback(address) in (True, False)
