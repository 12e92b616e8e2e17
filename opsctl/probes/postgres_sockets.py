"""The sockets of a PostgreSQL on this machine, and asking through them as its own account.

The usual `pg_hba.conf` lets the account `postgres` in through the socket without a password. Root
can become that account for one psql, so the slots kept back for superusers can be reached.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from opsctl import system

LOCAL = ("", "localhost", "127.0.0.1", "::1")


def socket_folders(text: str, port: str) -> list[str]:
    """Return the folders that hold the socket of a port, from the text of /proc/net/unix. Pure."""
    wanted = f"/.s.PGSQL.{port}"
    found = [
        parts[7][: -len(wanted)] or "/"
        for line in text.splitlines()
        if len(parts := line.split(None, 7)) == 8 and parts[7].endswith(wanted)
    ]
    return sorted({folder for folder in found if folder.startswith("/")})


def local_sockets(host: str, port: str) -> list[str]:
    """Return the socket folders of a server on this machine, none for a server elsewhere."""
    if host not in LOCAL and not host.startswith("/"):
        return []
    text = ""
    with contextlib.suppress(OSError):
        text = Path("/proc/net/unix").read_text("utf-8", "replace")
    return socket_folders(text, port)


def ask_as_postgres(
    folder: str, port: str, database: str, query: str, seconds: float
) -> list[dict[str, Any]]:
    """Return a query's rows as the account postgres sees them, none where that is not possible.

    The query must not change anything; it runs in a read-only transaction.
    """
    if os.geteuid() != 0:
        return []
    statement = f"select coalesce(json_agg(answer), '[]') from ({query}) answer"
    settings = f"-c default_transaction_read_only=on -c statement_timeout={int(seconds * 1000)}"
    argv = ["runuser", "-u", "postgres", "--", "env", "PGAPPNAME=opsctl", "PGCONNECT_TIMEOUT=2"]
    argv += [f"PGOPTIONS={settings}", "psql", "-X", "-q", "-A", "-t", "-w"]
    argv += ["-h", folder, "-p", port, "-d", database, "-c", statement]
    result = system.run(argv, timeout=seconds)
    return rows_of(result.stdout) if result.ok else []


def rows_of(text: str) -> list[dict[str, Any]]:
    """Return the rows of one JSON array of objects, none where the text is something else. Pure."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
