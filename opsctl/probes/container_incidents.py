"""Which containers lost a process for want of memory, and which ended, in the last ten minutes.

The engine forgets `OOMKilled` when it restarts a container, and the control group's counter goes
with the container's old group. The kernel's log and the engine's own event list remember.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from dataclasses import dataclass, field

from opsctl.probes.docker_api import ApiError, DockerApi

WINDOW_SECONDS = 600.0
"""How long ago something may have happened and still be reported as current."""
MAX_RECORDS = 20_000
MAX_EVENT_BYTES = 4 * 1024 * 1024

_IDENTITY = re.compile(r"\boom_memcg=\S*?([0-9a-f]{64})")
_TASK = re.compile(r"\btask=([^,\s]{1,40})")
_PID = re.compile(r"\bpid=(\d{1,10})")


@dataclass(frozen=True, slots=True)
class Kill:
    """One process killed for memory."""

    at: float
    process: str = ""
    source: str = ""


@dataclass
class Incidents:
    """What happened to each container (by full id) within the window."""

    kills: dict[str, Kill] = field(default_factory=dict)
    deaths: dict[str, list[float]] = field(default_factory=dict)
    exit_codes: dict[str, int] = field(default_factory=dict)
    kernel_log_read: bool = False
    events_read: bool = False


def recent(engine: DockerApi, now: float) -> Incidents:
    """Return what the kernel's log and the engine's events tell; what cannot be read is left out."""
    found = Incidents()
    with contextlib.suppress(ApiError):
        query = {
            "since": int(now - WINDOW_SECONDS),
            "until": int(now) + 1,
            "filters": json.dumps({"type": ["container"], "event": ["oom", "die"]}),
        }
        add_events(found, engine.get("/events", query, MAX_EVENT_BYTES).decode("utf-8", "replace"))
        found.events_read = True
    records = _kernel_records()
    if records is not None:
        found.kernel_log_read = True
        booted = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
        for record in records:
            add_kernel_record(found, record, booted, now - WINDOW_SECONDS)
    return found


def add_events(found: Incidents, text: str) -> None:
    """Add the engine's events, one JSON object a line. Pure but for `found`."""
    for line in text.splitlines():
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(event, dict):
            continue
        identity, at = event.get("id"), event.get("timeNano")
        if not isinstance(identity, str) or not isinstance(at, int):
            continue
        if event.get("Action") == "oom":
            _note(found, identity, Kill(at / 1e9, source="docker events --filter event=oom"))
        elif event.get("Action") == "die":
            found.deaths.setdefault(identity, []).append(at / 1e9)
            actor = event.get("Actor")
            attributes = actor.get("Attributes") if isinstance(actor, dict) else None
            code = attributes.get("exitCode") if isinstance(attributes, dict) else None
            if isinstance(code, str) and code.isdecimal() and len(code) < 6:
                found.exit_codes[identity] = int(code)


def add_kernel_record(found: Incidents, record: str, booted: float, since: float) -> None:
    """Add one record of /dev/kmsg (`priority,number,microseconds,flags;text`). Pure but for `found`."""
    head, semicolon, text = record.partition(";")
    if not semicolon or "oom_memcg=" not in text:
        return
    identity, parts = _IDENTITY.search(text), head.split(",")
    if identity is None or len(parts) < 3 or not parts[2].isdecimal() or len(parts[2]) > 18:
        return
    at = booted + int(parts[2]) / 1e6
    if at < since:
        return
    task, pid = _TASK.search(text), _PID.search(text)
    process = f"{task[1]} (pid {pid[1]})" if task and pid else task[1] if task else ""
    _note(found, identity[1], Kill(at, process, "dmesg | grep oom-kill"))


def _note(found: Incidents, identity: str, kill: Kill) -> None:
    """Keep the latest kill; of two records of the same one, the kernel's, which names the process."""
    known = found.kills.get(identity)
    if known is None or kill.at > known.at + 2 or (kill.process and not known.process):
        found.kills[identity] = kill


def _kernel_records() -> list[str] | None:
    """Return the kernel's log, None where it may not be read."""
    try:
        descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    records: list[str] = []
    try:
        for _ in range(MAX_RECORDS):
            try:
                data = os.read(descriptor, 8192)
            except BrokenPipeError:  # overwritten while we read: go on with the next
                continue
            except BlockingIOError:
                break
            if b"oom_memcg=" in data:
                records.append(data.decode("utf-8", "replace"))
    except OSError:
        return records if records else None
    finally:
        os.close(descriptor)
    return records
