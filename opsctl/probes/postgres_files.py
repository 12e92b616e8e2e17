"""Where a PostgreSQL on this machine keeps its data: known also while it is down."""

from __future__ import annotations

import re
from pathlib import Path

from opsctl.probes.postgres_sockets import LOCAL

CLUSTERS = Path("/etc/postgresql")
"""Where Debian keeps the configuration of each cluster: VERSION/NAME/postgresql.conf."""
MAX_CLUSTERS = 20
MAX_BYTES = 256 * 1024
_SETTING = re.compile(r"^\s*(port|data_directory)\s*(?:=|\s)\s*(?:'([^'\n]*)'|([^\s#']+))", re.MULTILINE)


def data_directory(host: str, port: str, clusters: Path = CLUSTERS) -> str:
    """Return the data folder of the cluster that listens on a port of this machine; empty if not known."""
    if host not in LOCAL and not host.startswith("/"):
        return ""
    try:
        for file in sorted(clusters.glob("*/*/postgresql.conf"))[:MAX_CLUSTERS]:
            with file.open("rb") as handle:
                settings = placement(handle.read(MAX_BYTES).decode("utf-8", "replace"))
            if settings.get("port", "5432") == (port or "5432"):
                return settings.get("data_directory", "")[:300]
    except OSError:
        return ""
    return ""


def placement(text: str) -> dict[str, str]:
    """Return port and data folder as a postgresql.conf names them; the last line of each counts. Pure."""
    return {match[1]: match[2] or match[3] or "" for match in _SETTING.finditer(text)}
