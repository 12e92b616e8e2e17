"""A private redis-server: loopback only, a folder of its own, nothing of /etc/redis."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from tests.servers.base import Server, free_port, unprivileged_user

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class RedisServer(Server):
    """`RedisServer(maxmemory="3mb", appendonly="yes")`: keywords are directives, `_` for `-`.

    The password and everything else goes into a configuration file, not onto the command line.
    """

    def __init__(
        self,
        *,
        port: int | None = None,
        password: str | None = None,
        options: Mapping[str, str | int] | None = None,
        name: str = "redis",
        **more: str | int,
    ) -> None:
        super().__init__(name, unprivileged_user())
        self.port = port or free_port()
        self.password = password
        self.data = self.folder / "data"
        self.data.mkdir()
        self.data.chmod(0o755)
        self._own(self.data)
        directives: dict[str, str | int] = {
            "bind": "127.0.0.1",
            "port": self.port,
            "dir": str(self.data),
            "daemonize": "no",
            "save": '""',
            "logfile": '""',
        }
        if password is not None:
            directives["requirepass"] = password
        directives |= {key.replace("_", "-"): value for key, value in (options or {}).items()}
        directives |= {key.replace("_", "-"): value for key, value in more.items()}
        self.directives = directives

    @property
    def url(self) -> str:
        """The URL as a stack file holds it: without the password."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def config_file(self) -> Path:
        return self.folder / "redis.conf"

    def argv(self) -> list[str]:
        lines = [f"{key} {value}" for key, value in self.directives.items()]
        self.config_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.config_file.chmod(0o600)
        self._own(self.config_file)
        return ["redis-server", str(self.config_file)]

    def client(self, **options: Any) -> Any:
        """Return a client; close it, or use it as a context manager."""
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        settings: dict[str, Any] = {
            "password": self.password,
            "decode_responses": True,
            "socket_timeout": 10,
            "retry": Retry(NoBackoff(), 0),  # a fault shows at once
        }
        return redis.Redis(host="127.0.0.1", port=self.port, **(settings | options))

    def ready(self) -> bool:
        """Return whether it answers at all: `loading` and `NOAUTH` are answers too."""
        import redis

        with contextlib.suppress(redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError):
            with self.client(socket_timeout=2) as client:
                try:
                    client.ping()
                except redis.exceptions.BusyLoadingError:
                    return True
                except redis.exceptions.ResponseError:
                    return True
            return True
        return False

    def _own(self, path: Path) -> None:
        if self.user:
            import shutil

            shutil.chown(path, self.user)
