"""The network of one machine: ports that are open or closed or taken, names, the firewall."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.lab.changes import edited
from tests.lab.faults.base import fault
from tests.lab.faults.redis import redis
from tests.lab.stacks.base import ComposeSystem, System

FAILS = "http/status|http/timeout|http/refused|http/body"
SITE = "/etc/nginx/sites-enabled/site"

TUNNEL = """\
import socket, threading

def pump(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    finally:
        a.close(), b.close()

server = socket.create_server(("10.77.0.1", 5432))
while True:
    client, _ = server.accept()
    database = socket.create_connection(("127.0.0.1", 5432))
    for pair in ((client, database), (database, client)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""


@contextlib.contextmanager
def helper(lab: System, name: str, argv: str) -> Iterator[None]:
    """Run a program that is no part of the system as a unit of its own."""
    lab.sh(f"systemctl reset-failed {name} 2>/dev/null; systemd-run -q --unit={name} {argv}")
    try:
        yield
    finally:
        lab.sh(f"systemctl stop {name} 2>/dev/null; systemctl reset-failed {name} 2>/dev/null", check=False)


@fault("rostferrum", "iiko-base", expect=[("network/port-exposed", "db")], innocent=["postgres/*"])
def tunnel_to_the_database_left_open(lab: System) -> Iterator[None]:
    """PostgreSQL itself listens on loopback only; a forgotten tunnel hands it to the outer address."""
    lab.sh(
        "ip link add outer type veth peer name outer-end;"
        "ip address add 10.77.0.1/24 dev outer; ip link set outer up"
    )
    lab.server.write("/etc/lab/tunnel.py", TUNNEL)
    with helper(lab, "lab-tunnel", "python3 /etc/lab/tunnel.py"):
        lab.wait("ss -ltn | grep -q 10.77.0.1:5432")
        yield
    lab.sh("ip link delete outer")


@fault("freemarket", expect=[("network/port-exposed", "db")])
def database_published_to_everybody(lab: ComposeSystem) -> Iterator[None]:
    """The compose file lost the loopback address; Docker's ports go round the firewall."""
    with edited(lab, lab.file, "127.0.0.1:5432:5432", "5432:5432"):
        lab.recreate("db")
        lab.wait_healthy()
        lab.forget()
        yield
    lab.recreate("db")


@fault("rostferrum", expect=[("redis/exposed", "cache")], shows=[("network/port-exposed", "cache")])
def cache_listens_everywhere(lab: System) -> Iterator[None]:
    """Without a password and without its protected mode: whoever reaches it owns the machine."""
    redis(lab, "config set protected-mode no")
    redis(lab, "config set bind '* -::*'")
    yield
    redis(lab, "config set bind '127.0.0.1 -::1'")
    redis(lab, "config set protected-mode yes")


@fault("wishlins", expect=[("network/port-closed", "host")], innocent=["http/*", "nginx/*", "systemd/*"])
def ssh_is_down(lab: System) -> Iterator[None]:
    """The stack is well, and nobody can log in any more."""
    lab.sh("systemctl stop ssh.socket ssh", check=False)
    lab.wait("! ss -ltn | grep -q ':22 '")
    yield
    lab.sh("systemctl start ssh")


@fault("iiko-base", expect=[("network/port-closed", "host")], innocent=["http/*", "nginx/*", "tls/*"])
def plain_port_no_longer_served(lab: System) -> Iterator[None]:
    """The redirect from http is gone with its server block; old links and the certificate's renewal fail."""
    with edited(lab, SITE, "server { listen 80 default_server; return 301 https://$host$request_uri; }", ""):
        lab.sh("systemctl restart nginx")
        lab.wait("! ss -ltn | grep -q ':80 '")
        lab.wait_healthy()
        lab.forget()
        yield
    lab.sh("systemctl restart nginx")


@fault(
    "rostferrum",
    "iiko-base",
    expect=[("network/port-conflict", "backend")],
    shows=[("systemd/crash-looping", "backend"), ("http/status", "api")],
)
def another_process_took_the_applications_port(lab: System) -> Iterator[None]:
    """Somebody tried something on port 8000 by hand; the application was restarted and cannot have it."""
    unit = lab.units["backend"]
    lab.sh(f"systemctl stop {unit}")
    with helper(lab, "lab-taker", "python3 -m http.server 8000 --bind 127.0.0.1 --directory /mnt"):
        lab.wait("ss -ltn | grep -q 127.0.0.1:8000")
        lab.sh(f"systemctl start {unit}", check=False)
        lab.wait(f"[ $(systemctl show -P NRestarts {unit}) -ge 5 ]", seconds=120)
        lab.see_load()
        yield
    lab.sh(f"systemctl reset-failed {unit}; systemctl restart {unit}", check=False)


@fault(
    "wishlins",
    "iiko-base",
    expect=[("network/port-conflict", "proxy")],
    shows=[("systemd/failed|systemd/inactive", "proxy"), (FAILS, "site")],
)
def another_server_took_the_web_port(lab: System) -> Iterator[None]:
    """A second web server was installed and came up first after the restart."""
    lab.sh("systemctl stop nginx")
    with helper(lab, "lab-taker", "python3 -m http.server 443 --directory /mnt"):
        lab.wait("ss -ltn | grep -q ':443 '")
        lab.sh("systemctl start nginx", check=False)
        yield
    lab.sh("systemctl reset-failed nginx; systemctl restart nginx", check=False)


@fault(
    "freemarket",
    expect=[("network/port-conflict", "proxy")],
    shows=[("container/exited", "proxy"), (FAILS, "site")],
)
def the_hosts_own_nginx_took_the_port(lab: ComposeSystem) -> Iterator[None]:
    """A package brought a web server of its own; the container could not be started again."""
    lab.sh(f"docker stop -t 2 {lab.id('proxy')}")
    with helper(lab, "lab-taker", "python3 -m http.server 443 --directory /mnt"):
        lab.wait("ss -ltn | grep -q ':443 '")
        lab.sh(f"docker start {lab.id('proxy')}", check=False)
        yield
    lab.sh(f"docker start {lab.id('proxy')}")


@fault(
    "rostferrum",
    "freemarket",
    "wishlins",
    expect=[("network/name-unresolved", "host")],
    shows=[("http/name-unresolved", "site"), ("http/name-unresolved", "api")],
    innocent=["tls/*", "nginx/*"],
)
def own_name_does_not_resolve(lab: System) -> Iterator[None]:
    """The line in /etc/hosts is gone, and the name servers know nothing of it."""
    name = {"rostferrum": "rostferrum.ru", "freemarket": "freemarket.com", "wishlins": "your-domain.com"}
    with edited(lab, "/etc/hosts", name[lab.name], f"old.{name[lab.name]}"):
        yield


@fault("wishlins", "freemarket", expect=[("network/firewall-inactive", "host")])
def firewall_switched_off(lab: ComposeSystem) -> Iterator[None]:
    """Somebody looked for a fault, let everything in, and forgot it."""
    rules = lab.sh("iptables -S INPUT")
    lab.sh("iptables -F INPUT; iptables -P INPUT ACCEPT")
    yield
    for rule in rules.splitlines():
        lab.sh(f"iptables {rule}")
