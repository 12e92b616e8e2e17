"""Reading /proc/net: what listens, and who holds it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from opsctl.probes.listeners import (
    listeners,
    parse_cgroup,
    parse_tcp,
    parse_unix,
    unix_listeners,
)

DATA = Path(__file__).parent / "data" / "network"


def test_only_listening_sockets_are_returned() -> None:
    found = parse_tcp((DATA / "proc_net_tcp.txt").read_text())
    assert [(item.address, item.port, item.uid, item.inode) for item in found] == [
        ("127.0.0.1", 5432, 112, 21001),
        ("0.0.0.0", 80, 0, 21002),
    ]
    assert [item.beyond_loopback for item in found] == [False, True]


def test_ipv6_addresses_and_mapped_ones() -> None:
    found = parse_tcp((DATA / "proc_net_tcp6.txt").read_text())
    assert [(item.address, item.port, item.beyond_loopback) for item in found] == [
        ("::", 6379, True),
        ("::1", 8000, False),
        ("127.0.0.1", 8001, False),
    ]


def test_unix_sockets_that_accept_and_have_a_path() -> None:
    found = parse_unix((DATA / "proc_net_unix.txt").read_text())
    assert [item.address for item in found] == ["/run/php/php8.2-fpm.sock", "@/tmp/abstract socket"]
    assert not any(item.beyond_loopback for item in found)


def test_units_and_containers_come_from_the_control_group() -> None:
    container = "a" * 64
    assert parse_cgroup("0::/system.slice/nginx.service\n") == ("nginx.service", "")
    assert parse_cgroup(f"0::/system.slice/docker-{container}.scope\n") == ("", container)
    assert parse_cgroup(f"0::/docker/{container}\n") == ("", container)
    nested = "0::/user.slice/user-0.slice/user@0.service/app.slice/bot.service\n"
    assert parse_cgroup(nested) == ("bot.service", "")
    assert parse_cgroup("0::/\n") == ("", "")


def test_a_socket_of_our_own_is_found_with_its_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        mine = [item for item in listeners() if item.port == port]
    assert [(item.address, item.pid) for item in mine] == [("127.0.0.1", os.getpid())]
    assert mine[0].process
    assert mine[0].executable.startswith("/")


def test_a_unix_socket_of_our_own_is_found(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        assert [item.pid for item in unix_listeners() if item.address == path] == [os.getpid()]


@given(st.text())
def test_no_text_makes_the_parsers_raise(text: str) -> None:
    parse_tcp("header\n" + text)
    parse_unix("header\n" + text)
    parse_cgroup(text)


@given(st.text("0123456789ABCDEF", max_size=40), st.text("0123456789ABCDEF", max_size=8))
def test_no_address_makes_the_parser_raise(address: str, port: str) -> None:
    parse_tcp(f"header\n 0: {address}:{port} 0:0 0A 0:0 0:0 0 0 0 1 1\n")
