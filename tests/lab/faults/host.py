"""The machine: disks that are full, read-only or filling, memory, files, cores, the firewall's table.

What several machines share when they run on one kernel is left out: see `left_out.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.lab.changes import FORGOTTEN, drop_in, fill, small_disk
from tests.lab.faults.base import fault
from tests.lab.faults.network import helper
from tests.lab.stacks import parts
from tests.lab.stacks.base import ComposeSystem, System

ON_SYSTEMD = ("rostferrum", "iiko-base")
FAILS = "http/status|http/timeout|http/refused|http/body|http/slow"
DATABASE = "/var/lib/postgresql"
CACHE = "/var/lib/redis"
WEB_LOGS = "/var/log/nginx"


@contextlib.contextmanager
def database_disk(lab: System, megabytes: int = 192) -> Iterator[None]:
    """Have the database on a small disk of its own."""
    unit = lab.units["db"]
    with small_disk(lab, DATABASE, megabytes, f"systemctl stop {unit}", f"systemctl start {unit}"):
        lab.wait_healthy()
        yield


@contextlib.contextmanager
def cache_disk(lab: System, inodes: int = 0) -> Iterator[None]:
    """Have the cache on a small disk of its own, and every change saved at once."""
    around = ("systemctl stop redis-server", "systemctl start redis-server")
    with small_disk(lab, CACHE, 8, *around, inodes=inodes):
        lab.wait_healthy()
        lab.sh("redis-cli config set save '3600 1'")
        yield


def save(lab: System) -> None:
    """Have the cache save, and wait until it knows how that went."""
    lab.sh("redis-cli bgsave")
    lab.wait("redis-cli info persistence | grep -q rdb_bgsave_in_progress:0")


@fault(*ON_SYSTEMD, expect=[("host/disk-full", "host")], shows=[(FAILS, "api")], innocent=["systemd/*"])
def database_disk_full(lab: System) -> Iterator[None]:
    """A forgotten dump fills the disk; PostgreSQL cannot write its log, and goes down with a panic."""
    database = lab.database_url.rpartition("/")[2]
    with database_disk(lab):
        parts.psql(lab, f"-c 'create table filler (n int)' -c 'insert into filler values (1)' {database}")
        fill(lab, DATABASE)
        for _ in range(8):  # each takes a new file of its log, until there is no room for one
            one = "-c 'insert into filler values (1)' -c 'select pg_switch_wal()'"
            parts.psql(lab, f"{one} {database}", check=False)
        lab.see_load()
        yield
        lab.sh(f"rm -f {DATABASE}/{FORGOTTEN}; systemctl reset-failed {lab.units['db']}", check=False)
        lab.sh(f"systemctl restart {lab.units['db']}")
        parts.psql(lab, f"-c 'drop table filler' {database}")


@fault(
    "rostferrum", expect=[("host/disk-full", "host")], shows=[("redis/save-failing", "cache"), (FAILS, "api")]
)
def cache_disk_full(lab: System) -> Iterator[None]:
    """Redis cannot save, and stops taking writes."""
    with cache_disk(lab):
        fill(lab, CACHE)
        save(lab)
        lab.see_load()
        yield


@fault(
    "rostferrum",
    expect=[("host/inodes-full", "host")],
    shows=[("redis/save-failing", "cache"), (FAILS, "api")],
)
def cache_disk_without_inodes(lab: System) -> Iterator[None]:
    """There is room, and not one more file can be made: not the one that Redis saves into either."""
    with cache_disk(lab, inodes=64):
        lab.sh(f"cd {CACHE}; for n in $(seq 100); do : > $n.session || break; done 2>/dev/null", check=False)
        save(lab)
        lab.see_load()
        yield
        lab.sh(f"rm -f {CACHE}/*.session")


@fault(
    "iiko-base",
    expect=[("host/inodes-full", "host")],
    shows=[("http/status", "site")],
    innocent=["postgres/*", "php/*"],
)
def sessions_use_up_the_inodes(lab: System) -> Iterator[None]:
    """The administration keeps a file for every visitor and never removes one."""
    folder = "/var/www/iiko-base/frontend"
    around = ("systemctl stop php8.2-fpm", "systemctl start php8.2-fpm")
    with small_disk(lab, folder, 8, *around, inodes=96):
        lab.wait_healthy()
        # a visitor whose file is there already would be served
        many = "touch $(seq 200) 2>/dev/null; mv lab taken 2>/dev/null"
        lab.sh(f"cd {folder}/storage/framework/sessions && {{ {many}; }}", check=False)
        lab.see_load()
        yield


@fault(
    "rostferrum",
    "iiko-base",
    "wishlins",
    expect=[("host/disk-full", "host")],
    shows=[("nginx/log-unwritable", "proxy")],
    innocent=["http/*"],
)
def web_log_folder_full(lab: System) -> Iterator[None]:
    """The logs have a small file system of their own, in memory; nginx serves on and writes no log."""
    lab.sh(
        f"""set -e
        mount -t tmpfs -o size=512k,mode=755 tmpfs {WEB_LOGS}
        nginx -s reopen
        sleep 0.5"""
    )
    lab.see_load()
    lab.sh(f"head -c 2M /dev/zero > {WEB_LOGS}/old.log", check=False)
    lab.see_load()
    yield
    lab.sh(f"umount -l {WEB_LOGS}; nginx -s reopen")


@fault(*ON_SYSTEMD, expect=[("host/read-only-filesystem", "host")], shows=[(FAILS, "api")])
def database_disk_read_only(lab: System) -> Iterator[None]:
    """The kernel, or somebody, mounted it so; PostgreSQL was restarted and cannot start."""
    unit = lab.units["db"]
    with database_disk(lab):
        lab.sh(f"systemctl stop {unit}; mount -o remount,ro {DATABASE}; systemctl start {unit}", check=False)
        lab.see_load()
        yield
        lab.sh(f"mount -o remount,rw {DATABASE}")


@fault(
    "rostferrum",
    expect=[("host/read-only-filesystem", "host")],
    shows=[("redis/save-failing", "cache"), (FAILS, "api")],
)
def cache_disk_read_only(lab: System) -> Iterator[None]:
    with cache_disk(lab):
        lab.sh(f"mount -o remount,ro {CACHE}")
        save(lab)
        lab.see_load()
        yield


@fault(*ON_SYSTEMD, expect=[("host/disk-filling", "host")], innocent=["host/disk-full"])
def export_fills_the_disk(lab: System) -> Iterator[None]:
    """A job writes without pause: the disk is full within the hour."""
    lab.sh("mkdir -p /srv/exports")
    with small_disk(lab, "/srv/exports", 6000):
        lab.sh("fallocate -l 5000M /srv/exports/2025.csv")
        write = "for n in $(seq 900); do head -c 200K /dev/zero >> /srv/exports/2026.csv; sleep 0.1; done"
        with helper(lab, "lab-export", f"sh -c '{write}'"):
            lab.wait("[ -s /srv/exports/2026.csv ]")
            yield


@fault("wishlins", expect=[("host/disk-full", "host")], shows=[(FAILS, "api")], innocent=["container/*"])
def database_volume_full(lab: ComposeSystem) -> Iterator[None]:
    """The volume of the database lies on a disk of its own, and that is full."""
    folder = "/var/lib/docker/volumes/wishlins_postgres_data/_data"
    around = (f"docker stop -t 5 {lab.id('db')}", f"docker start {lab.id('db')}")
    with small_disk(lab, folder, 192, *around):
        lab.wait_healthy()
        sql = "setpriv --reuid=postgres --regid=postgres --init-groups psql -q -h /run/postgresql wishlins"
        lab.inside("db", f"{sql} -c 'create table filler (n int)' -c 'insert into filler values (1)'")
        fill(lab, folder)
        one = "-c 'insert into filler values (1)' -c 'select pg_switch_wal()'"
        for _ in range(8):
            lab.inside("db", f"{sql} {one}", check=False)
        lab.see_load()
        yield
        lab.sh(f"rm -f {folder}/{FORGOTTEN}")


# -- memory -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def machine_of(lab: System, megabytes: int) -> Iterator[None]:
    """Hold the whole machine to so much memory more than it uses now, as a smaller one would have."""
    group = next(
        each
        for each in lab.server.groups
        if (each / "memory.limit_in_bytes").exists() or (each / "memory.max").exists()
    )
    limit, used = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    if not (group / limit).exists():
        limit, used = ("memory.max", "memory.current")
    before = (group / limit).read_text()
    most = int((group / used).read_text()) + megabytes * 1024 * 1024
    (group / limit).write_text(str(most))
    try:
        yield
    finally:
        (group / limit).write_text("-1" if limit == "memory.limit_in_bytes" else before)


HOG = """\
import pathlib, time
root = pathlib.Path("/sys/fs/cgroup")
one = root / "memory" / "memory.limit_in_bytes"
two = root / "memory.max"
limit, used, stat, cache = (
    (one, one.with_name("memory.usage_in_bytes"), one.with_name("memory.stat"), "total_inactive_file")
    if one.exists()
    else (two, root / "memory.current", root / "memory.stat", "inactive_file")
)
held = []
for _ in range(400):
    droppable = dict(line.split() for line in stat.read_text().splitlines())[cache]
    if int(used.read_text()) - int(droppable) > 0.978 * int(limit.read_text()):
        break
    held.append(bytearray(b"x" * 2_000_000))
    time.sleep(0.005)
pathlib.Path("/run/lab-hog").write_text("done")
time.sleep(120)
"""


@fault(*ON_SYSTEMD, expect=[("host/memory-exhausted", "host")], innocent=["postgres/*", "systemd/*"])
def memory_of_the_machine_used_up(lab: System) -> Iterator[None]:
    """The machine is a small one, and a report holds what is left of its memory."""
    lab.server.write("/etc/lab/hog.py", HOG)
    lab.sh("rm -f /run/lab-hog")
    with machine_of(lab, 300), helper(lab, "lab-hog", "python3 /etc/lab/hog.py"):
        lab.wait("[ -e /run/lab-hog ]", "memory used up", seconds=60)
        yield


WORKER = """\
#!/bin/sh
# the application, and a worker beside it that makes reports when asked
{start} &
while sleep 0.3; do
    [ -e /run/lab-reports/wanted ] || continue
    python3 -c 'x = bytearray(b"x" * 600_000_000)'
    rm -f /run/lab-reports/wanted
done
"""


@fault("rostferrum", expect=[("host/oom-kills", "host")], innocent=["systemd/*", "http/*"])
def worker_of_a_unit_killed_for_memory(lab: System) -> Iterator[None]:
    """Its report does not fit into the unit's memory limit; the application itself lives on."""
    unit = lab.units["backend"]
    start = lab.sh(f"grep ^ExecStart= /etc/systemd/system/{unit}.service").strip().partition("=")[2]
    lab.sh("mkdir -p /run/lab-reports; chown www-data: /run/lab-reports")
    lab.server.write("/etc/lab/worker.sh", WORKER.format(start=start))
    settings = "[Service]\nExecStart=\nExecStart=/bin/sh /etc/lab/worker.sh\nOOMPolicy=continue\n"
    with drop_in(lab, "backend", settings):
        lab.wait_healthy()
        lab.forget()
        lab.sh("sleep 1.5")  # a kill in the first second of a unit may be that of the processes before it
        with lab.server.memory_limit(f"{unit}.service", 200_000_000):
            try:
                lab.sh("touch /run/lab-reports/wanted")
                lab.wait("! [ -e /run/lab-reports/wanted ]", seconds=90)
                yield
            finally:
                lab.sh(f"systemctl stop {unit}")


# -- files, cores, connections ------------------------------------------------------------------------


CLIENTS = """\
import socket, time
held = []
for _ in range(90):
    try:
        held.append(socket.create_connection(("127.0.0.1", 8000), timeout=1))
    except OSError:
        break
open("/run/lab-clients", "w").write(str(len(held)))
time.sleep(120)
"""


@fault(*ON_SYSTEMD, expect=[("host/open-files-exhausted", "backend")], shows=[(FAILS, "api")], hangs=True)
def application_may_open_no_more_files(lab: System) -> Iterator[None]:
    """Its limit is low, and clients that keep their connections use it up: accept() fails."""
    lab.server.write("/etc/lab/clients.py", CLIENTS)
    lab.sh("rm -f /run/lab-clients")
    with drop_in(lab, "backend", "[Service]\nLimitNOFILE=48\n"):
        lab.wait_healthy()
        with helper(lab, "lab-clients", "python3 /etc/lab/clients.py"):
            lab.wait("[ -e /run/lab-clients ]", seconds=120)
            lab.see_load()
            yield


FLOOD = """\
import socket, struct
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
most = int(open("/proc/sys/net/netfilter/nf_conntrack_max").read())
sent = 0
for host in range(2, 250):
    for port in range(2000, 4000):
        try:
            sender.sendto(b"x", (f"127.0.9.{host}", port))
        except OSError:
            pass
        sent += 1
    if int(open("/proc/sys/net/netfilter/nf_conntrack_count").read()) > most * 0.97:
        break
"""
FLUSH = """\
import socket, struct
link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
link.send(struct.pack("=IHHII", 20, (1 << 8) | 2, 5, 1, 0) + struct.pack("=BBH", 0, 0, 0))
print(link.recv(100))
"""


@fault("iiko-base", expect=[("host/conntrack-full", "host")], innocent=["postgres/*", "nginx/*"])
def firewalls_table_of_connections_full(lab: System) -> Iterator[None]:
    """A scan leaves hundreds of thousands of connections behind that the firewall remembers."""
    lab.server.write("/etc/lab/flood.py", FLOOD)
    lab.server.write("/etc/lab/flush.py", FLUSH)
    try:
        lab.sh("python3 /etc/lab/flood.py")
        yield
    finally:
        lab.sh("python3 /etc/lab/flush.py", check=False)


@fault("rostferrum", expect=[("host/cpu-saturated", "host")], innocent=["postgres/*", "systemd/*"])
def batch_job_started_sixty_times(lab: System) -> Iterator[None]:
    """Polite processes (nice 19), but far too many. Needs half a minute until the averages show it."""
    spin = "for n in $(seq 60); do timeout 75 sh -c 'while :; do :; done' & done; wait"
    with helper(lab, "lab-batch", f'-p Nice=19 sh -c "{spin}"'):
        busy = 'awk \'$1 == "some" { split($2, a, "="); split($3, b, "="); exit !(a[2] > 75 && b[2] > 35) }\''
        cores = "$(nproc)"
        load = f"awk -v cores={cores} '{{ exit !($1 > 9 * cores) }}' /proc/loadavg"
        lab.wait(f"{busy} /proc/pressure/cpu && {load}", "a saturated machine", seconds=70)
        yield
