"""Where a PostgreSQL of this machine has its sockets: read from /proc/net/unix."""

from __future__ import annotations

import contextlib
from pathlib import Path

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
