"""A private PHP-FPM with the outline of a Laravel application: .env, storage, an index.php."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import threading
from pathlib import Path

from opsctl.probes.php_fastcgi import Answer, ask
from tests.servers.base import Server, wait_until

INDEX = r"""<?php
$log = __DIR__ . '/../storage/logs/laravel.log';
if (isset($_GET['sleep'])) {
    touch(__DIR__ . '/../storage/app/busy-' . getmypid());
    sleep((int) $_GET['sleep']);
}
if (isset($_GET['error'])) {
    file_put_contents($log, sprintf("[%s] production.ERROR: %s {\"exception\":\"[object]\"}\n#0 {main}\n",
        gmdate('Y-m-d H:i:s'), $_GET['error']), FILE_APPEND);
    http_response_code(500);
}
echo 'admin';
"""
FOLDERS = ("storage/app", "storage/framework/cache", "storage/framework/sessions", "storage/framework/views")
KEY = "base64:" + base64.b64encode(bytes(range(32))).decode()


def binary() -> str | None:
    """Return the newest PHP-FPM of this machine."""
    found = sorted(path for path in Path("/usr/sbin").glob("php-fpm*") if os.access(path, os.X_OK))
    return str(found[-1]) if found else shutil.which("php-fpm")


class PhpServer(Server):
    """PHP-FPM with a pool of `children` static workers on a socket of its own."""

    def __init__(self, children: int = 2) -> None:
        super().__init__("php")
        self.children = children
        self.socket = self.folder / "fpm.sock"
        self.root = self.folder / "admin"
        self.fpm_log = self.folder / "fpm.log"
        self.laravel_log = self.root / "storage" / "logs" / "laravel.log"
        self.status_path = "/fpm-status"
        for name in (*FOLDERS, "storage/logs", "bootstrap/cache", "public"):
            (self.root / name).mkdir(parents=True)
        (self.root / "public" / "index.php").write_text(INDEX)
        self.environment_file()
        if os.geteuid() == 0:
            for path in (self.root, *self.root.rglob("*")):
                shutil.chown(path, "nobody", "nogroup")

    def environment_file(self, key: str = KEY, debug: bool = False, environment: str = "production") -> None:
        """Write the application's .env."""
        (self.root / ".env").write_text(
            f"APP_ENV={environment}\nAPP_KEY={key}\nAPP_DEBUG={'true' if debug else 'false'}\n"
        )

    def argv(self) -> list[str]:
        program = binary()
        assert program, "apt-get install php-fpm"
        config = self.folder / "fpm.conf"
        account = "user = nobody\ngroup = nogroup" if os.geteuid() == 0 else ""
        config.write_text(f"""[global]
pid = {self.folder}/fpm.pid
error_log = {self.fpm_log}
daemonize = no
[admin]
{account}
listen = {self.socket}
listen.mode = 0666
pm = static
pm.max_children = {self.children}
pm.status_path = {self.status_path}
""")
        return [program, "--nodaemonize", "--fpm-config", str(config)]

    def ready(self) -> bool:
        try:
            return self.get(self.status_path).status == 200
        except OSError:
            return False

    def get(self, path: str = "", query: str = "", seconds: float = 20) -> Answer:
        """Ask the pool for its status page, or for the application where no path is given."""
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(seconds)
            stream.connect(str(self.socket))
            return ask(stream, path or str(self.root / "public" / "index.php"), query, seconds)

    def occupy(self, seconds: int, requests: int) -> list[threading.Thread]:
        """Send requests that keep a worker for some seconds each; returns when workers have them."""

        def visit() -> None:
            try:
                self.get(query=f"sleep={seconds}", seconds=60)
            except Exception:  # the test may stop the pool meanwhile
                return

        threads = [threading.Thread(target=visit, daemon=True) for _ in range(requests)]
        for thread in threads:
            thread.start()
        busy = self.root / "storage" / "app"
        wanted = min(requests, self.children)
        wait_until(lambda: len(list(busy.glob("busy-*"))) >= wanted, "busy workers", log=self.fpm_log)
        return threads
