"""A PgBouncer of one's own before a PostgreSQL: sessions of the server are shared by its clients."""

from __future__ import annotations

import shutil

from tests.servers.base import Server, free_port, listens, unprivileged_user
from tests.servers.postgres import PostgresServer


def available() -> bool:
    """Return whether a PgBouncer can be started here."""
    return shutil.which("pgbouncer") is not None or shutil.which("pgbouncer", path="/usr/sbin") is not None


class PgBouncer(Server):
    """Pools the sessions of a server's own role, one transaction at a time; everybody is trusted."""

    def __init__(self, postgres: PostgresServer) -> None:
        super().__init__("pgbouncer", unprivileged_user())
        self.port, self._postgres = free_port(), postgres

    def argv(self) -> list[str]:
        users, config = self.folder / "users", self.folder / "pgbouncer.ini"
        users.write_text(f'"{self._postgres.role}" ""\n')
        config.write_text(
            f"[databases]\n* = host=127.0.0.1 port={self._postgres.port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\n"
            f"auth_type = trust\nauth_file = {users}\npool_mode = transaction\n"
            "unix_socket_dir =\ndefault_pool_size = 4\n"
        )
        return [shutil.which("pgbouncer") or "/usr/sbin/pgbouncer", str(config)]

    def ready(self) -> bool:
        return listens(self.port)
