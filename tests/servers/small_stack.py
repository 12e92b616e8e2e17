"""A small whole stack: nginx in front of an API that uses PostgreSQL and Redis, all private.

Used by the demo, the benchmarks and the tests of whole diagnoses.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import yaml

from opsctl.stack import reader
from opsctl.stack.stack import Stack
from tests.servers.api import ApiServer
from tests.servers.nginx import NginxServer
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

MACHINE = (
    "host/cpu-saturated",
    "host/io-pressure",
    "host/memory-exhausted",
    "host/memory-pressure",
    "host/open-files-exhausted",
    "host/swap-thrashing",
)
"""Not judged here: what the machine does beside the stack (other tests, for one) is not the stack's fault."""
DATABASE_PASSWORD = "demo-only-database-password"


class SmallStack:
    """`with SmallStack() as small:` four servers, and `small.file`, the stack file that names them."""

    def __init__(self, name: str = "demo") -> None:
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix=f"opsctl-{name}-stack-"))
        self.file = self.folder / "opsctl.yml"
        self.log_file = self.folder / "api.log"
        self.postgres = PostgresServer(
            settings={"max_connections": "20", "statement_timeout": "0"}, password=DATABASE_PASSWORD
        )
        self.redis = RedisServer()
        self.api = ApiServer(self.postgres.url, self.redis.url)
        self.nginx = NginxServer(upstreams={"/api/": f"{self.api.url('/')}"}, proxy_timeout=2)

    @property
    def servers(self) -> list[Any]:
        return [self.postgres, self.redis, self.api, self.nginx]

    def spec(self) -> dict[str, Any]:
        """Return the stack file's content."""
        return {
            "name": self.name,
            "flow": "systemd",
            "thresholds": {slug: {"warning": None, "critical": None} for slug in MACHINE},
            "services": {
                "db": {"postgres": {"dsn": self.postgres.dsn, "password_env": "DB_PASSWORD"}},
                "redis": {"redis": self.redis.url},
                "backend": {
                    "http": [self.api.url("/health"), self.api.url("/items")],
                    "logs": {"path": str(self.api.log), "format": "uvicorn"},
                    "depends_on": ["db", "redis"],
                },
                "nginx": {
                    "nginx": self.nginx.stack_spec(),
                    "http": [self.nginx.url("/"), self.nginx.url("/api/health")],
                    "depends_on": ["backend"],
                },
            },
        }

    def stack(self) -> Stack:
        """Return the stack file, read."""
        return reader.load(self.file)

    def __enter__(self) -> SmallStack:
        try:
            for server in self.servers:
                server.start()
        except BaseException:
            self.remove()
            raise
        self.file.write_text(yaml.safe_dump(self.spec(), sort_keys=False))
        (self.folder / ".env").write_text(f"DB_PASSWORD={DATABASE_PASSWORD}\n")
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Stop everything and delete every folder."""
        for server in reversed(self.servers):
            with contextlib.suppress(OSError):
                server.remove()
        shutil.rmtree(self.folder, ignore_errors=True)
