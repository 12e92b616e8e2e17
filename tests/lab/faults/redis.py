"""Redis: frozen, busy, full, refusing, read-only, out of connections, on another port."""

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
RESTART = "systemctl reset-failed redis-server; systemctl restart redis-server"
"""systemd counts starts, and refuses the fifth within ten seconds."""


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


@fault(
    *ALL,
    expect=[("redis/read-only", "cache")],
    shows=[("http/status", "api"), ("redis/replication-broken", "cache")],
)
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


@fault("rostferrum", expect=[("redis/down", "cache")], shows=[("http/status", "api")])
def cache_listens_on_another_port(lab: System) -> Iterator[None]:
    """Somebody changed the port, and the server was restarted: its unit runs, nobody finds it."""
    lab.sh("sed -i 's/^port 6379/port 6399/' /etc/redis/redis.conf; systemctl restart redis-server")
    lab.see_load()
    yield
    lab.sh(f"sed -i 's/^port 6399/port 6379/' /etc/redis/redis.conf; {RESTART}")


@fault("rostferrum", expect=[("redis/blocked-by-slow-command", "cache")], shows=[("http/status", "api")])
def script_keeps_the_cache_busy(lab: System) -> Iterator[None]:
    """After five seconds of a script Redis tells everybody that it is busy."""
    lab.sh("systemd-run -q --unit=lab-script redis-cli eval 'while true do end' 0; sleep 6")
    lab.see_load()
    yield
    lab.sh("redis-cli script kill; systemctl stop lab-script; redis-cli slowlog reset", check=False)


@fault("rostferrum", expect=[("redis/fragmented", "cache")], innocent=["http/*", "host/*"])
def cache_full_of_holes(lab: System) -> Iterator[None]:
    """Three of four entries are gone, and what is left lies in as many pages as before."""
    for verb in ("'set','hole:'..i,string.rep('x',5000)", "'del',i%4==0 and '' or 'hole:'..i"):
        for first in range(1, 45000, 5000):  # one script for all would keep Redis busy for a second
            redis(lab, f'eval "for i={first},{first + 4999} do redis.call({verb}) end" 0')
    yield
    redis(lab, "flushall")
    lab.sh(RESTART)


@fault("rostferrum", expect=[("redis/loading", "cache")], shows=[("http/status", "api")])
def cache_loads_its_data(lab: System) -> Iterator[None]:
    """It was restarted, and reads a large data set from a slow disk."""
    slow = "key-load-delay 2000\nloading-process-events-interval-bytes 1024"
    redis(lab, "eval \"for i=1,20000 do redis.call('set','load:'..i,string.rep('x',200)) end\" 0")
    lab.sh(
        "redis-cli save; cp -p /etc/redis/redis.conf /tmp/redis.conf;"
        f"printf '{slow}\\n' >> /etc/redis/redis.conf;"
        "systemctl restart --no-block redis-server; sleep 2"
    )
    lab.see_load()
    yield
    redis(lab, "config set key-load-delay 0")
    lab.sh("cp -p /tmp/redis.conf /etc/redis/redis.conf")
    lab.wait("systemctl is-active -q redis-server", "redis")
    redis(lab, "flushall")
    lab.sh(RESTART)


@fault(
    "rostferrum",
    expect=[("redis/append-failing", "cache")],
    shows=[("http/status", "api")],
)
def cache_cannot_append(lab: System) -> Iterator[None]:
    """Its folder has a small file system of its own, and what is written is kept in a log of all writes."""
    folder, settings = "/var/lib/redis", "/etc/redis/redis.conf"
    lab.sh(
        f"set -e; systemctl stop redis-server; cp -p {settings} /tmp/redis.conf;"
        f"printf 'appendonly yes\\nsave \"\"\\nauto-aof-rewrite-percentage 0\\n' >> {settings};"
        f"mount -t tmpfs -o size=1m,mode=750,uid=redis,gid=redis tmpfs {folder}; systemctl start redis-server"
    )
    lab.wait("redis-cli ping | grep -q PONG", "redis")
    redis(lab, "eval \"for i=1,300 do redis.call('set','fill:'..i,string.rep('x',5000)) end\" 0", check=False)
    lab.sh("sleep 1.5")
    lab.see_load()
    yield
    lab.sh(f"systemctl stop redis-server; umount -l {folder}; cp -p /tmp/redis.conf {settings}; {RESTART}")
