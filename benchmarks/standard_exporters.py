"""The five exporters that Debian packages, each as it comes, beside one private set of servers."""

from __future__ import annotations

import contextlib
import shutil
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import yaml

from tests.servers.base import Server, free_port, listens
from tests.servers.nginx import NginxServer
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("node", "postgres", "redis", "nginx", "blackbox")
PASSWORD = "benchmark-only-password"


def missing() -> list[str]:
    """Return the packages that are not installed."""
    packages = [f"prometheus-{name}-exporter" for name in NAMES]
    return [package for package in packages if shutil.which(package) is None]


TABLES, KEYS = 50, 1000
"""What is in the servers: an empty one is not what anybody runs."""


class Targets:
    """PostgreSQL, Redis and an nginx with stub_status and a page; nothing else runs against them.

    The one database has `TABLES` with an index each: the standard exporter sees no other database's.
    """

    def __init__(self) -> None:
        self.postgres = PostgresServer(password=PASSWORD)
        self.redis = RedisServer()
        self.nginx = NginxServer()

    def __enter__(self) -> Targets:
        try:
            for server in (self.postgres, self.redis, self.nginx):
                server.start()
        except BaseException:
            self.remove()
            raise
        self.postgres.sql(f'grant pg_monitor to "{self.postgres.role}"')
        self._fill()
        return self

    def _fill(self) -> None:
        self.postgres.sql(
            f"do $$ begin for i in 1..{TABLES} loop"
            " execute format('create table t%s (id int primary key)', i); end loop; end $$",
            self.postgres.database,
        )
        with self.redis.client() as client:
            client.mset({f"key{number}": number for number in range(KEYS)})

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Stop them all and delete their folders."""
        for server in (self.postgres, self.redis, self.nginx):
            with contextlib.suppress(OSError):
                server.remove()

    @property
    def page(self) -> str:
        """The page that is probed."""
        return self.nginx.url("/")

    def services(self) -> dict[str, Any]:
        """Return the services of a stack file."""
        return {
            "db": self.postgres.stack_spec(),
            "cache": {"redis": self.redis.url},
            "web": {
                "nginx": {"listen": self.nginx.listen, "status_url": self.nginx.status_url},
                "http": [self.page],
            },
        }


class StandardExporter(Server):
    """One of Debian's exporters on a free loopback port."""

    def __init__(self, kind: str, targets: Targets) -> None:
        super().__init__(f"{kind}-exporter")
        self.kind, self._targets, self.port = kind, targets, free_port()

    def argv(self) -> list[str]:
        """Return its command line."""
        listen = f"127.0.0.1:{self.port}"
        program = f"prometheus-{self.kind}-exporter"
        if self.kind == "redis":
            return [program, "-redis.addr", self._targets.redis.url, "-web.listen-address", listen]
        if self.kind == "nginx":
            status = self._targets.nginx.status_url
            return [program, "-nginx.scrape-uri", status, "-web.listen-address", listen]
        argv = [program, f"--web.listen-address={listen}"]
        return [*argv, f"--config.file={self._modules()}"] if self.kind == "blackbox" else argv

    def environment(self) -> dict[str, str]:
        """Return what is added to its environment."""
        if self.kind != "postgres":
            return {}
        return {"DATA_SOURCE_NAME": f"{self._targets.postgres.url}?sslmode=disable"}

    def ready(self) -> bool:
        """Return whether it takes connections."""
        return listens(self.port)

    @property
    def path(self) -> str:
        """What Prometheus asks it for."""
        if self.kind != "blackbox":
            return "/metrics"
        return "/probe?" + urlencode({"target": self._targets.page, "module": "http_2xx"})

    def _modules(self) -> Path:
        path = self.folder / "blackbox.yml"
        path.write_text("modules: {http_2xx: {prober: http, http: {preferred_ip_protocol: ip4}}}\n")
        return path


class OwnExporter(Server):
    """`opsctl exporter` for a stack of these services."""

    def __init__(self, services: dict[str, Any], **more: Any) -> None:
        super().__init__("opsctl-exporter")
        self.port = free_port()
        self._stack = self.folder / "stack.yml"
        self._stack.write_text(yaml.safe_dump({"name": "bench", "services": services, **more}))

    def argv(self) -> list[str]:
        """Return its command line."""
        argv = [sys.executable, "-m", "opsctl", "exporter", "--stack", str(self._stack)]
        return [*argv, "--listen", f"127.0.0.1:{self.port}"]

    def ready(self) -> bool:
        """Return whether it takes connections."""
        return listens(self.port)


@contextlib.contextmanager
def standard_exporters(targets: Targets) -> Iterator[dict[str, StandardExporter]]:
    """Run all five; they end with the block."""
    with contextlib.ExitStack() as stack:
        found: dict[str, StandardExporter] = {}
        for name in NAMES:
            found[name] = StandardExporter(name, targets)
            stack.callback(found[name].remove)
            found[name].start()
        yield found
