"""The shipped stack files as the lab uses them: the same files, other addresses.

Only hosts, ports and paths may differ. A second stack file would drift from the one that is shipped.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from opsctl.stack.reader import SHIPPED

ADDRESSES = frozenset(
    {"dsn", "url", "connect", "ca_file", "api_url", "path", "file", "env_file", "listen", "config", "fpm"}
    | {"root", "log", "pid_file", "access_log", "error_log", "certificate_file", "key_file", "docker_host"}
    | {"migrations_path", "cache_path", "data_directory", "prometheus", "alertmanager", "unit"}
)


def shipped(name: str, overrides: dict[str, str] | None = None, off: Iterable[str] = ()) -> str:
    """Return a shipped stack file as YAML with some of its addresses replaced.

    Args:
        name: of the file, without .yml.
        overrides: `services.bot.telegram.api_url` -> value; list items go by number, `*` is each of them.
        off: checks whose limits are switched off.

    Raises:
        ValueError: the path leads nowhere, or to something that is no address.
    """
    value = yaml.safe_load((SHIPPED / f"{name}.yml").read_text())
    for path, new in (overrides or {}).items():
        parts = path.split(".")
        if parts[-1] not in ADDRESSES:
            raise ValueError(f"{path} is no host, port or path; the lab changes nothing else")
        for holder in _holders(value, parts[:-1], path):
            holder[parts[-1]] = new
    for slug in off:
        value.setdefault("thresholds", {})[slug] = {"warning": None, "critical": None}
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)


def _holders(value: Any, parts: list[str], path: str) -> list[dict[str, Any]]:
    if not parts:
        if not isinstance(value, dict):
            raise ValueError(f"{path} leads to no mapping")
        return [value]
    first, rest = parts[0], parts[1:]
    if first == "*" and isinstance(value, list):
        return [holder for item in value for holder in _holders(item, rest, path)]
    if isinstance(value, list) and first.isdigit() and int(first) < len(value):
        return _holders(value[int(first)], rest, path)
    if isinstance(value, dict) and first in value:
        return _holders(value[first], rest, path)
    raise ValueError(f"{path} leads nowhere (at {first!r})")
