"""systemd units that are meant to run here: the well-known ones and those written on this machine.

Only folders are read: enabled units are links in `*.wants`, so no systemctl has to answer.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from opsctl.discovery.found import Discovered, FoundService

BOOTED = Path("/run/systemd/system")
LOCAL = Path("/etc/systemd/system")
WANTS = (LOCAL, Path("/run/systemd/generator"), Path("/run/systemd/system"))
MAX_UNIT_BYTES = 64 * 1024

_KNOWN: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"postgresql@.+\.service"), "postgres"),
    (re.compile(r"(redis|valkey)(-server)?(@.+)?\.service"), "redis"),
    (re.compile(r"(nginx|openresty)\.service"), "nginx"),
    (re.compile(r"php[\d.]*-fpm\.service"), "php"),
    (re.compile(r"(apache2|httpd|caddy|haproxy)\.service"), "http"),
    (re.compile(r"(pgbouncer|prometheus|prometheus-alertmanager|alertmanager|grafana-server)\.service"), ""),
)
_APPLICATION = re.compile(
    r"uvicorn|gunicorn|hypercorn|daphne|waitress|node|php|java|ruby|python|aiogram|\bbot\b"
)


def role_of(unit: str) -> str | None:
    """Return the role of a well-known unit, empty for known without one, None for unknown. Pure."""
    return next((role for pattern, role in _KNOWN if pattern.fullmatch(unit)), None)


def enabled(_seconds: float = 0) -> Discovered:
    """Return the services of the enabled units."""
    if not BOOTED.is_dir():
        return Discovered()
    found: dict[str, FoundService] = {}
    for unit in sorted(_wanted_units(WANTS)):
        role = role_of(unit)
        if role is None:
            role = _local_role(LOCAL / unit)
        if role is not None:
            found[unit] = FoundService(name=service_name(unit), role=role, unit=unit)
    return Discovered(services=list(found.values()))


def service_name(unit: str) -> str:
    """Return what people call a unit's service: postgresql@15-main.service is postgresql. Pure."""
    name = unit.removesuffix(".service")
    known = {"postgres": "postgresql", "redis": "redis", "php": "php-fpm"}.get(role_of(unit) or "")
    return known or name.partition("@")[0] or name


def _wanted_units(folders: tuple[Path, ...]) -> set[str]:
    units: set[str] = set()
    for folder in folders:
        with contextlib.suppress(OSError):
            for wants in folder.glob("*.wants"):
                units.update(entry.name for entry in wants.iterdir() if entry.name.endswith(".service"))
    return units


def _local_role(path: Path) -> str | None:
    """Return `application` for a unit file that was written on this machine and starts a service."""
    try:
        if path.is_symlink() or not path.is_file():
            return None
        with path.open("rb") as file:
            text = file.read(MAX_UNIT_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
    return application_role(text)


def application_role(text: str) -> str | None:
    """Return `application` where a unit file starts a program that stays. Pure."""
    if re.search(r"^\s*Type\s*=\s*oneshot", text, re.M):
        return None
    command = re.search(r"^\s*ExecStart\s*=\s*(\S.*)$", text, re.M)
    return "application" if command and _APPLICATION.search(command.group(1)) else None
