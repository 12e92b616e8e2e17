"""Redis: frozen, full, refusing, read-only, out of connections."""

from __future__ import annotations

from collections.abc import Iterator

from tests.lab.faults.base import fault
from tests.lab.stacks.base import System


def redis(lab: System, command: str, check: bool = True) -> str:
    """Run redis-cli where Redis runs."""
    if "cache" in lab.units:
        return lab.sh(f"redis-cli {command}", check=check)
    return lab.inside("cache", f"redis-cli {command}", check=check)  # type: ignore[attr-defined,no-any-return]


ALL = ("rostferrum", "freemarket", "flurai")


@fault("rostferrum", expect=[("redis/hung", "cache")], shows=[("http/status", "api")], hangs=True)
def cache_frozen(lab: System) -> Iterator[None]:
    lab.sh("pkill -STOP -x redis-server")
    lab.see_load()
    yield
    lab.sh("pkill -CONT -x redis-server")


@fault(*ALL, expect=[("redis/memory-full", "cache")], shows=[("http/status", "api")])
def cache_full(lab: System) -> Iterator[None]:
    """The limit is reached and nothing may be evicted: writes are refused."""
    redis(lab, "config set maxmemory-policy noeviction")
    redis(lab, "eval \"for i=1,200 do redis.call('set','fill:'..i,string.rep('x',10000)) end\" 0")
    redis(lab, "config set maxmemory 1500000")
    lab.see_load()
    yield
    redis(lab, "config set maxmemory 0")
    redis(lab, "eval \"for i=1,200 do redis.call('del','fill:'..i) end\" 0")


@fault(*ALL, expect=[("redis/auth-failed", "cache")], shows=[("http/status", "api")])
def cache_wants_a_password(lab: System) -> Iterator[None]:
    redis(lab, "config set requirepass changed")
    redis(lab, "--no-auth-warning -a changed client kill type normal skipme yes")
    lab.see_load()
    yield
    redis(lab, "--no-auth-warning -a changed config set requirepass ''")


@fault(*ALL, expect=[("redis/read-only", "cache")], shows=[("http/status", "api")])
def cache_became_a_replica(lab: System) -> Iterator[None]:
    """Somebody pointed it at a primary that is not there."""
    redis(lab, "replicaof 127.0.0.1 6390")
    lab.sh("sleep 2")
    lab.see_load()
    yield
    redis(lab, "replicaof no one")


@fault("rostferrum", expect=[("redis/save-failing", "cache")], shows=[("http/status", "api")])
def cache_cannot_save(lab: System) -> Iterator[None]:
    """Its folder belongs to somebody else, and with a failed save it stops taking writes."""
    lab.sh("redis-cli config set save '3600 1'; chown root: /var/lib/redis; chmod 555 /var/lib/redis")
    lab.sh("redis-cli bgsave; sleep 1.5")
    lab.see_load()
    yield
    lab.sh("chown redis: /var/lib/redis; chmod 750 /var/lib/redis; redis-cli bgsave; sleep 1")


@fault("rostferrum", expect=[("redis/clients-exhausted", "cache")], shows=[("http/status", "api")])
def cache_out_of_connections(lab: System) -> Iterator[None]:
    lab.server.write(
        "/etc/lab/clients.py",
        "import socket,time\nheld=[]\nfor n in range(60):\n"
        "    held.append(socket.create_connection(('127.0.0.1', 6379)))\ntime.sleep(120)\n",
    )
    lab.sh(f"systemctl stop {lab.units['backend']}; redis-cli config set maxclients 40")
    lab.sh("systemd-run -q --unit=lab-clients python3 /etc/lab/clients.py; sleep 1")
    lab.sh(f"systemctl start {lab.units['backend']}; sleep 2")
    lab.see_load()
    yield
    lab.sh("systemctl stop lab-clients; sleep 0.3; redis-cli config set maxclients 10000")
