"""A private nginx: prefix, configuration, pid file, logs and temporary folders of its own."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

from tests.servers.base import Server, free_port, listens, wait_until

if TYPE_CHECKING:
    from pathlib import Path


class NginxServer(Server):
    """nginx on a free loopback port.

    Args:
        upstreams: location -> URL that it is passed to (`{"/api/": "http://127.0.0.1:8000"}`).
        fastcgi: location -> socket of PHP-FPM; the script is `static_root`/index.php.
        static_root: what `/` serves; made with a small index.html where not given.
        proxy_timeout: seconds for connecting to and reading from an upstream.
        worker_connections: of its one worker.
        cache: turn proxy_cache on, in `cache_path`.
        limit_rate: requests a second for each location (`limit_req`); none by default.
        access_log: where requests are logged; `logs/access.log` by default.
        http_extra: lines for the http block; `server_extra`: for the server block.
        main_extra: lines for the top of the file.
    """

    def __init__(
        self,
        upstreams: dict[str, str] | None = None,
        fastcgi: dict[str, str] | None = None,
        static_root: Path | None = None,
        port: int | None = None,
        proxy_timeout: float = 30,
        worker_connections: int = 256,
        cache: bool = False,
        limit_rate: float | None = None,
        access_log: Path | None = None,
        http_extra: str = "",
        server_extra: str = "",
        main_extra: str = "",
    ) -> None:
        super().__init__("nginx")
        self.port = port or free_port()
        self.upstreams, self.fastcgi = dict(upstreams or {}), dict(fastcgi or {})
        self.proxy_timeout, self.worker_connections = proxy_timeout, worker_connections
        self.cache, self.limit_rate = cache, limit_rate
        self.http_extra, self.server_extra, self.main_extra = http_extra, server_extra, main_extra
        self.config = self.folder / "nginx.conf"
        self.pid_file = self.folder / "nginx.pid"
        self.access_log = access_log or self.folder / "logs" / "access.log"
        self.error_log = self.folder / "logs" / "error.log"
        self.cache_path = self.folder / "cache"
        self.static_root = static_root or self.folder / "static"
        (self.folder / "logs").mkdir()
        if static_root is None:
            self.static_root.mkdir()
            (self.static_root / "index.html").write_text("<!doctype html><title>home</title>home\n")

    def text(self) -> str:
        """Return the configuration."""
        temporary = "\n".join(
            f"    {name}_temp_path {self.folder}/tmp-{name};"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        http = self.http_extra
        locations = self.server_extra
        if self.cache:
            http += f"\n    proxy_cache_path {self.cache_path} keys_zone=pages:1m inactive=10m;"
            locations += "\n        proxy_cache pages; proxy_cache_valid 200 10m;"
        if self.limit_rate is not None:
            http += f"\n    limit_req_zone $binary_remote_addr zone=each:1m rate={self.limit_rate:g}r/s;"
            locations += "\n        limit_req_status 429;"
        limit = "limit_req zone=each;" if self.limit_rate is not None else ""
        for location, url in self.upstreams.items():
            locations += (
                f"\n        location {location} {{ proxy_pass {url}; proxy_set_header Host $host; {limit}"
                f" proxy_connect_timeout {self.proxy_timeout:g}s;"
                f" proxy_read_timeout {self.proxy_timeout:g}s; }}"
            )
        for location, socket in self.fastcgi.items():
            locations += (
                f"\n        location {location} {{ fastcgi_pass unix:{socket};"
                f" include /etc/nginx/fastcgi_params;"
                f" fastcgi_param SCRIPT_FILENAME {self.static_root}/index.php;"
                f" fastcgi_read_timeout {self.proxy_timeout:g}s; }}"
            )
        user = "user nobody nogroup;" if os.geteuid() == 0 else ""
        return f"""{user}
{self.main_extra}
worker_processes 1;
pid {self.pid_file};
error_log {self.error_log} warn;
events {{ worker_connections {self.worker_connections}; }}
http {{
    include /etc/nginx/mime.types;
{temporary}
    access_log {self.access_log};
{http}
    server {{
        listen 127.0.0.1:{self.port};
        root {self.static_root};
        location = /nginx_status {{ stub_status; access_log off; allow 127.0.0.1; deny all; }}
{locations}
    }}
}}
"""

    def argv(self) -> list[str]:
        return [
            *("nginx", "-p", str(self.folder), "-c", str(self.config), "-e", str(self.error_log)),
            *("-g", "daemon off;"),
        ]

    def start(self, seconds: float = 20) -> None:
        self.config.write_text(self.text())
        super().start(seconds)

    def ready(self) -> bool:
        return listens(self.port) and self.pid_file.exists()

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def listen(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def status_url(self) -> str:
        return self.url("/nginx_status")

    def stack_spec(self, **more: Any) -> dict[str, Any]:
        """Return what a stack file says of it under `nginx:`."""
        return {
            "config": str(self.config),
            "pid_file": str(self.pid_file),
            "listen": self.listen,
            "status_url": self.status_url,
            "access_log": str(self.access_log),
            "error_log": str(self.error_log),
            **more,
        }

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        found = subprocess.run(
            ["ps", "--ppid", str(self.pid), "-o", "pid="], capture_output=True, text=True, check=False
        )
        return [int(word) for word in found.stdout.split()]

    def reload(self) -> None:
        """Write the configuration, HUP the master and wait until new workers have taken over."""
        self.config.write_text(self.text())
        before = set(self.workers())
        os.kill(self.pid, signal.SIGHUP)
        wait_until(lambda: bool(set(self.workers()) - before), "new nginx workers", log=self.error_log)
        wait_until(lambda: not set(self.workers()) & before, "the end of the old workers", log=self.error_log)
