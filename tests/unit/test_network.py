"""Ports, names, firewalls: what the texts say."""

from __future__ import annotations

import socket
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.checks import checks_for
from opsctl.checks.base import CheckContext, Limits
from opsctl.engine import collect
from opsctl.facts.network import NamedPort, NetworkFacts, PortConflict
from opsctl.model import HOST_SERVICE, Target
from opsctl.probes.listeners import Listener
from opsctl.probes.network import (
    named_ports,
    names_of_urls,
    owners_of_ports,
    published_ports,
    units_running,
)
from opsctl.probes.network_parsing import iptables_filters_input, nftables_filters_input, ports_in_use
from opsctl.stack.specs import HostSpec, HttpSpec, ServiceSpec, StackSpec, TlsSpec
from opsctl.stack.stack import Stack

NFT_DROP = """table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		tcp dport 22 accept
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
	}
}
"""
NFT_DOCKER = """table ip filter {
	chain DOCKER {
		iifname "docker0" drop
	}
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
	}
	chain INPUT {
		type filter hook input priority filter; policy accept;
	}
}
"""


def test_an_input_chain_that_drops_is_a_firewall() -> None:
    assert nftables_filters_input(NFT_DROP)
    assert not nftables_filters_input(NFT_DOCKER)
    assert not nftables_filters_input("")


def test_iptables_rules() -> None:
    assert iptables_filters_input("-P INPUT DROP\n-A INPUT -i lo -j ACCEPT\n")
    assert iptables_filters_input("-P INPUT ACCEPT\n-A INPUT -p tcp --dport 5432 -j DROP\n")
    assert not iptables_filters_input("-P INPUT ACCEPT\n-A INPUT -j ACCEPT\n")


@pytest.mark.parametrize(
    ("line", "port"),
    [
        ("listen tcp4 0.0.0.0:8000: bind: address already in use", 8000),
        ("Bind for 0.0.0.0:5432 failed: port is already allocated", 5432),
        ("nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)", 80),
        ("error while attempting to bind on address ('127.0.0.1', 8000): address already in use", 8000),
        ('could not bind IPv4 address "127.0.0.1": Address already in use, port 5433', 5433),
        ("OSError: [Errno 98] Address already in use", 0),
        ("Error: listen EADDRINUSE: address already in use :::3000", 3000),
    ],
)
def test_servers_say_which_port_is_taken(line: str, port: int) -> None:
    assert [found for found, _ in ports_in_use(f"fine\n{line}\n")] == [port]


@given(st.text())
def test_no_text_makes_the_parsers_raise(text: str) -> None:
    nftables_filters_input(text)
    iptables_filters_input(text)
    assert all(0 <= port < 65536 for port, _ in ports_in_use(text))


def test_named_ports_with_their_holders() -> None:
    sockets = [
        Listener(
            address="127.0.0.1", port=5432, pid=7, process="postgres", unit="postgresql@15-main.service"
        ),
        Listener(address="::", port=6379, pid=8, process="docker-proxy"),
    ]
    spec = HostSpec(closed_ports=[5432, 6379], open_ports=[80])
    found = {item.port: item for item in named_ports(spec, sockets)}
    assert (found["5432"].listening, found["5432"].exposed) == (True, False)
    assert (found["6379"].exposed, found["6379"].holder) == (True, "docker-proxy (pid 8)")
    assert found["80"].listening is False
    assert named_ports(spec, None)[0].listening is None


def test_ports_that_docker_publishes_without_a_socket() -> None:
    containers: list[dict[str, Any]] = [
        {"Names": ["/shop_db_1"], "Ports": [{"IP": "0.0.0.0", "PublicPort": 5432, "Type": "tcp"}]},
        {"Id": "abc", "Ports": [{"PrivatePort": 80, "Type": "tcp"}, {"PublicPort": 53, "Type": "udp"}]},
        {},
    ]
    assert published_ports(containers) == [
        Listener(address="0.0.0.0", port=5432, process="container shop_db_1")
    ]


def test_a_resolver_that_says_nothing_does_not_hold_up_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    # a resolver that never answers cannot be had for this process alone
    released = threading.Event()

    def never(*_: object, **__: object) -> Any:
        released.wait(30)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", never)
    spec = StackSpec(name="t", services={}, host=HostSpec(names=["a.example", "b.example"]))
    stack = Stack(spec=spec, origin="test", directory=Path("/"))
    began = time.monotonic()
    snapshot = collect(stack, deadline=2, wanted=lambda target: target.kind == "network")
    released.set()
    facts = snapshot.readings[0].facts
    assert isinstance(facts, NetworkFacts)
    assert [item.resolves for item in facts.names] == [False, False]
    assert "no answer" in facts.names[0].error
    assert time.monotonic() - began < 10


def test_a_conflict_and_a_closed_port_are_of_the_service_whose_port_it_is() -> None:
    facts = NetworkFacts(
        conflicts=[PortConflict(service="web", port="80", holder="apache2")],
        ports=[
            NamedPort(port="80", wanted="open", listening=False, service="web"),
            NamedPort(port="81", wanted="open", listening=False),
        ],
    )
    target = Target(kind="network", service=HOST_SERVICE)
    found: dict[str, list[str]] = {}
    for check in checks_for("network"):
        context = CheckContext(check, target, check.limits or Limits(), datetime(2026, 11, 21, tzinfo=UTC))
        found[check.slug] = [item.target for item in check.function(facts, context) if item.status.failing]
    assert found["network/port-conflict"] == ["web"]
    assert found["network/port-closed"] == ["web", HOST_SERVICE]


def test_a_port_that_two_services_name_is_nobodys() -> None:
    services = {
        "web": ServiceSpec(http=[HttpSpec(url="http://127.0.0.1:80/")]),
        "api": ServiceSpec(
            http=[HttpSpec(url="http://127.0.0.1:80/api"), HttpSpec(url="http://127.0.0.1:8000")]
        ),
    }
    assert owners_of_ports(StackSpec(name="s", services=services)) == {8000: "api"}


def test_names_of_pages_and_certificates_are_looked_up_once() -> None:
    web = ServiceSpec(
        http=[
            HttpSpec(url="https://shop.example/"),
            HttpSpec(url="https://shop.example/cart"),
            HttpSpec(url="http://127.0.0.1:8000/health"),
            HttpSpec(url="http://[::1]:8000/"),
            HttpSpec(url="http://localhost/"),
            HttpSpec(url="http://inner.example/", connect="127.0.0.1:80"),
        ],
        tls=[TlsSpec(name="api.example:8443"), TlsSpec(name="shop.example")],
    )
    assert names_of_urls(StackSpec(name="t", services={"web": web})) == ["shop.example", "api.example"]


def test_a_unit_between_two_restarts_does_not_run() -> None:
    output = (
        "NRestarts=0\nActiveState=active\n\nNRestarts=4\nActiveState=active\n\n"
        "NRestarts=0\nActiveState=failed\n\nActiveState=active\n"
    )
    assert units_running(output) == [True, False, False, True]
    assert units_running("") == []


def test_an_exposed_port_is_of_the_service_whose_port_it_is() -> None:
    port = NamedPort(
        port="6379", wanted="closed", listening=True, exposed=True, addresses=["0.0.0.0"], service="cache"
    )
    check = next(item for item in checks_for("network") if item.slug == "network/port-exposed")
    target = Target(kind="network", service=HOST_SERVICE)
    context = CheckContext(check, target, Limits(), datetime.now(UTC))
    assert [item.target for item in check.function(NetworkFacts(ports=[port]), context)] == ["cache"]
