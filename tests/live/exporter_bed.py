"""What the soak of the exporter is made on: one exporter, and one real server of every kind below it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.servers import stale
from tests.servers.base import wait_until
from tests.servers.docker import Project, running_engine
from tests.servers.nginx import NginxServer
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer
from tests.servers.systemd import Machine

CANARIES = {
    "DB_PASSWORD": "Canary-db-5e0c1f-heron",
    "REDIS_PASSWORD": "Canary-redis-9a77d2-wren",
    "OTHER_SECRET": "Canary-other-31bb08-finch",
}
"""What must be on no page, in no log and on no command line."""
TOKEN_IN_URL = "Canary-url-c4481e-swift"
UNIT = "soak-worker"
RESERVED = 3
"""Slots of PostgreSQL that are kept for superusers."""


@dataclass
class Use:
    """What the exporter holds on to, here and in its targets."""

    descriptors: int
    threads: int
    resident_mib: float
    backends: int
    redis_clients: int

    def words(self) -> str:
        return (
            f"{self.descriptors} descriptors, {self.threads} threads, {self.resident_mib:.1f} MiB, "
            f"{self.backends} PostgreSQL backends, {self.redis_clients} Redis clients"
        )


class Bed:
    """Servers, stack file and exporter; made by `bed`."""

    def __init__(self, folder: Path, machine: Machine, project: Project) -> None:
        self.folder, self.machine, self.project = folder, machine, project
        self.postgres = PostgresServer(
            settings={"max_connections": "12", "superuser_reserved_connections": str(RESERVED)},
            password=CANARIES["DB_PASSWORD"],
        )
        self.redis = RedisServer(password=CANARIES["REDIS_PASSWORD"])
        self.nginx, self.site = NginxServer(), NginxServer()
        self.log_file = folder / "app.log"
        self.stale_folder, self._stale_pid = folder / "stale", folder / "stale.pid"
        self.stderr = folder / "exporter.stderr"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def servers(self) -> list[Any]:
        return [self.postgres, self.redis, self.nginx, self.site]

    @property
    def page_url(self) -> str:
        return self.site.url("/")

    @property
    def paths(self) -> list[str]:
        """Every path that is scraped."""
        kinds = ("node", "postgres", "redis", "nginx", "container", "systemd", "logs", "data", "findings")
        tcp = f"/probe?module=tcp&target=127.0.0.1:{self.site.port}"
        return [
            *(f"/metrics/{kind}" for kind in kinds),
            *(f"/probe?module=http&target={self.page_url}", tcp),
            "/metrics",
        ]

    def has_up(self, path: str) -> bool:
        """Return whether a page says of something that it is up."""
        without = ("/metrics/node", "/metrics/data", "/metrics/findings", "/metrics")
        return path not in without

    def stack(self) -> dict[str, Any]:
        """Return the stack file."""
        postgres = {"dsn": self.postgres.dsn, "password_env": "DB_PASSWORD"}
        query = {"name": "orders", "query": "select count(*) from orders", "warning": 1000}
        nginx = self.nginx.stack_spec()
        return {
            "name": "soak",
            "compose": {
                "project": self.project.name,
                "file": str(self.project.file),
                "docker_host": self.project.engine.host,
            },
            "host": {"filesystems": ["/", str(self.stale_folder)]},
            "services": {
                "db": {"postgres": postgres, "data": [query]},
                "cache": {"redis": {"url": self.redis.url, "password_env": "REDIS_PASSWORD"}},
                "proxy": {"nginx": nginx},
                "site": {"http": [self.page_url, self.site.url(f"/?token={TOKEN_IN_URL}")]},
                "worker": {"container": "worker"},
                "unit": {"unit": f"{UNIT}.service"},
                "app": {
                    "logs": {"path": str(self.log_file)},
                    "env": {"file": str(self.folder / ".env"), "secret": ["OTHER_SECRET"]},
                },
            },
        }

    def write(self) -> None:
        """Write the stack file and its secrets."""
        (self.folder / "opsctl.yml").write_text(yaml.safe_dump(self.stack(), sort_keys=False))
        lines = "".join(f"{name}={value}\n" for name, value in CANARIES.items())
        (self.folder / ".env").write_text(lines)
        (self.folder / ".env").chmod(0o600)

    def log(self, words: str) -> None:
        """Have the application log an error."""
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        with self.log_file.open("a") as file:
            file.write(f"{moment} ERROR app: {words}; OTHER_SECRET={CANARIES['OTHER_SECRET']}\n")

    def prepare(self) -> None:
        """Start every server and fill it with what is looked at; the log gives secrets away."""
        self.log(f"cannot connect to postgresql://app:{CANARIES['DB_PASSWORD']}@db/app: timed out")
        for server in self.servers:
            server.start()
        self.prepare_database()
        self.machine.unit(f"{UNIT}.service", "[Service]\nExecStart=/bin/sleep infinity\n")
        self.machine.run("systemctl", "start", UNIT)
        self.project.up()

    def prepare_database(self) -> None:
        self.postgres.sql("create table orders (id int); insert into orders values (1)", "app")
        self.postgres.sql("grant select on orders to app; grant pg_monitor to app", "app")
        self.postgres.sql(f"create role filler login password '{CANARIES['DB_PASSWORD']}'")

    # -- the exporter -------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the exporter in a mount namespace of its own, where the file system to freeze is.

        Its systemctl is told that systemd runs here and asks that of the machine.
        """
        self.stale_folder.mkdir(exist_ok=True)
        inside = Path("/proc", str(self.machine.leader), "root")  # the machine's files
        bus = f"unix:path={inside / 'run/dbus/system_bus_socket'}"
        python = sys.executable
        systemd = "mkdir -p /run/systemd && mount -t tmpfs none /run/systemd && mkdir /run/systemd/system"
        mounting = f'{systemd} && {python} -m tests.servers.stale "$1" "$2" && shift 2 && exec "$@"'
        argv = ["unshare", "--mount", "sh", "-c", mounting, "sh"]
        argv += [str(self.stale_folder), str(self._stale_pid), python, "-m", "opsctl", "exporter"]
        argv += ["--stack", str(self.folder / "opsctl.yml"), "--listen", "127.0.0.1:0"]
        with self.stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                cwd=Path(__file__).parents[2],
                env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": bus, "SYSTEMCTL_FORCE_BUS": "1"},
            )
        wait_until(self._listening, "the exporter", 60, self.stderr)

    def _listening(self) -> bool:
        found = re.search(r"://127\.0\.0\.1:(\d+)/", self.stderr.read_text())
        self.port = int(found[1]) if found else 0
        return bool(self.port)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def command_lines(self) -> list[str]:
        """Return the command lines of the exporter and of whatever it has started."""
        import psutil

        process = psutil.Process(self.pid)
        return [" ".join(one.cmdline()) for one in (process, *process.children(recursive=True))]

    @property
    def stale_pid(self) -> int:
        return int(self._stale_pid.read_text())

    def end(self) -> tuple[int, str]:
        """Stop the exporter; return its exit code and what it has said."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(60)
        self._process = None
        return code, self.stderr.read_text()

    def use(self) -> Use:
        """Return what the exporter holds on to now."""
        process = Path(f"/proc/{self.pid}")
        status = (process / "status").read_text()
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]
        with self.redis.client() as client:
            clients = len(client.client_list()) - 1
        ours = "select count(*) from pg_stat_activity where usename = 'app'"
        return Use(
            held_descriptors(self.pid),
            len(list((process / "task").iterdir())),
            int(resident) / 1024,
            self.postgres.sql(ours)[0][0],
            clients,
        )

    def remove(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)
        with contextlib.suppress(OSError, ValueError):
            os.kill(self.stale_pid, signal.SIGKILL)
        for server in self.servers:
            with contextlib.suppress(OSError):
                server.remove()


@contextlib.contextmanager
def bed(start: bool = True) -> Iterator[Bed]:
    """Give a bed, everything running; without `start` the exporter runs and its targets do not.

    Raises:
        LabUnavailable: no Docker engine can be had here.
    """
    folder = Path(tempfile.mkdtemp(prefix="opsctl-soak-"))
    worker = {"worker": {"command": ["sleep", "infinity"], "environment": {**CANARIES}}}
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        engine = stack.enter_context(running_engine())
        project = stack.enter_context(Project(engine, worker))
        machine = stack.enter_context(Machine())
        made = Bed(folder, machine, project)
        stack.callback(made.remove)
        made.write()
        if start:
            made.prepare()
        made.start()
        yield made


def unavailable() -> str:
    """Return in one line why there can be no bed here; empty where there can."""
    from tests.servers import docker, systemd

    return stale.unavailable() or docker.unavailable() or systemd.unavailable()


def held_descriptors(pid: int) -> int:
    """Return how many files and sockets a process holds open.

    The kernel's counts of each thread that has looked are left aside, as long as they are no more than
    there are threads.
    """
    found = counts = 0
    for item in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            is_counts = item.readlink().name == "schedstat"
            counts, found = counts + is_counts, found + (not is_counts)
    return found + max(counts - len(list(Path(f"/proc/{pid}/task").iterdir())), 0)
