"""A Redis on this machine that does not answer: which process it is, and what that is doing.

Tells a frozen process from one that works on a command. Names and states only; arguments of other
processes are compared and never kept.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opsctl.probes.addresses import is_here
from opsctl.probes.listeners import Listener, listeners, unix_listeners
from opsctl.probes.redis_parsing import process_state

if TYPE_CHECKING:
    from opsctl.probes.base import ProbeContext

NAMES = ("redis-server", "redis-sentinel", "valkey-server", "keydb-server")
_SAMPLES = 5
_BETWEEN_SECONDS = 0.02


def process_values(context: ProbeContext, url: str) -> dict[str, Any]:
    """Return `process_id`, `process_state` and `process_waits_in` of the server, as far as they are seen."""
    try:
        pid = _process_id(context, url)
    except OSError:
        return {}
    if pid is None:
        return {}
    states = []
    for _ in range(_SAMPLES):
        states.append(process_state(_read(f"/proc/{pid}/stat")))
        time.sleep(_BETWEEN_SECONDS)
    state = max(states, key=states.count)  # the state of most moments
    waits = _read(f"/proc/{pid}/wchan").strip("\0 \n")
    return {"process_id": pid, "process_state": state, "process_waits_in": "" if waits == "0" else waits[:60]}


def _process_id(context: ProbeContext, url: str) -> int | None:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        found = context.shared.once("unix-listeners", unix_listeners)
        matching = [item for item in found if item.address == parts.path]
    else:
        if not is_here(parts.hostname or "127.0.0.1"):
            return None
        found = context.shared.once("listeners", listeners)
        matching = [item for item in found if item.port == (parts.port or 6379)]
    pids: set[int | None] = {item.pid for item in matching if item.pid is not None and item.process in NAMES}
    if not pids and matching and all(item.pid is None for item in matching):
        pids = _by_title(matching)
    return pids.pop() if len(pids) == 1 else None


def _by_title(matching: list[Listener]) -> set[int | None]:
    """Find another user's server without root: Redis writes its address into its process title."""
    found: set[int | None] = set()
    users, ports = {item.uid for item in matching}, {item.port for item in matching}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or _read(f"{folder}/comm").strip() not in NAMES:
            continue
        title = _read(f"{folder}/cmdline").strip("\0 ")
        with contextlib.suppress(OSError):
            if folder.stat().st_uid in users and any(title.endswith(f":{port}") for port in ports if port):
                found.add(int(folder.name))
    return found


def _read(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.read(4096).decode("utf-8", "replace")
    except OSError:
        return ""
