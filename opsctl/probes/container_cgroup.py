"""Reads a container's control group, version 1 or 2: memory, kills for memory, CPU throttling.

The files are world-readable, cost microseconds, and know what the engine forgets.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path("/sys/fs/cgroup")
MAX_BYTES = 64 * 1024


@dataclass(frozen=True)
class ControlGroup:
    """The folders of one container's control group."""

    memory: Path | None = None
    cpu: Path | None = None
    unified: bool = False


def parse_membership(text: str) -> dict[str, str]:
    """Return controller -> path of `/proc/PID/cgroup`; the unified hierarchy has the key ''. Pure."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        parts = line.split(":", 2)
        if len(parts) != 3 or not parts[2].startswith("/") or "/../" in f"{parts[2]}/":
            continue
        for controller in parts[1].split(","):
            found[controller] = parts[2]
    return found


def parse_pairs(text: str) -> dict[str, int]:
    """Return the numbers of a `name value` file: memory.stat, memory.events, cpu.stat. Pure."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        name, _, value = line.strip().partition(" ")
        if name and value.isascii() and value.isdecimal() and len(value) < 20:
            found[name] = int(value)
    return found


def parse_number(text: str) -> int | None:
    """Return the number of a one-number file; `max` means no limit: None. Pure."""
    word = text.strip()
    return int(word) if word.isascii() and word.isdecimal() and len(word) < 20 else None


def control_group(pid: int, identity: str, root: Path = ROOT) -> ControlGroup | None:
    """Return the control group of a container's main process, None where it is not to be seen.

    The group must bear the container's id: a process of the same number on another machine's
    engine, or a recycled number, is not mistaken for it.
    """
    text = read_text(Path(f"/proc/{pid}/cgroup"))
    if pid <= 0 or text is None:
        return None
    paths = parse_membership(text)
    memory, cpu = paths.get("memory"), paths.get("cpu")
    if memory and identity in memory:
        return ControlGroup(
            memory=folder_of(root / "memory", memory, identity),
            cpu=folder_of(root / "cpu", cpu or "", identity)
            or folder_of(root / "cpu,cpuacct", cpu or "", identity),
        )
    unified = paths.get("", "")
    if identity in unified:
        folder = folder_of(root, unified, identity) or folder_of(root / "unified", unified, identity)
        return ControlGroup(memory=folder, cpu=folder, unified=True) if folder else None
    return None


def folder_of(base: Path, path: str, identity: str) -> Path | None:
    """Return the container's own folder, also where its process has made groups of its own below it."""
    parts = path.strip("/").split("/")
    for index, part in enumerate(parts):
        if identity in part:
            folder = base.joinpath(*parts[: index + 1])
            return folder if folder.is_dir() else None
    return None


class Files:
    """What is read of control groups in one look: a file that several figures stand in is read once."""

    def __init__(self) -> None:
        self._pairs: dict[Path, dict[str, int]] = {}

    def number(self, path: Path) -> int | None:
        """Return the number of a one-number file; None where it cannot be read, or means no limit."""
        return parse_number(read_text(path) or "")

    def pairs(self, path: Path) -> dict[str, int]:
        """Return the numbers of a `name value` file; none where it cannot be read."""
        known = self._pairs.get(path)
        if known is None:
            known = self._pairs[path] = parse_pairs(read_text(path) or "")
        return known


def memory_values(group: ControlGroup, files: Files | None = None) -> dict[str, Any]:
    """Return the fields of `Instance` about memory that could be read."""
    if group.memory is None:
        return {}
    files = files or Files()
    names = (
        ("memory.current", "memory.events")
        if group.unified
        else ("memory.usage_in_bytes", "memory.oom_control")
    )
    usage = files.number(group.memory / names[0])
    kills = files.pairs(group.memory / names[1]).get("oom_kill")
    stat = files.pairs(group.memory / "memory.stat")
    idle = stat.get("inactive_file" if group.unified else "total_inactive_file")
    working = max(usage - idle, 0) if usage is not None and idle is not None else None
    return {"memory_usage": usage, "memory_working_set": working, "oom_kills": kills}


def cpu_values(group: ControlGroup, files: Files | None = None) -> tuple[int, int] | None:
    """Return (periods, throttled periods), None where they cannot be read."""
    stat = (files or Files()).pairs(group.cpu / "cpu.stat") if group.cpu else {}
    if "nr_periods" not in stat or "nr_throttled" not in stat:
        return None
    return stat["nr_periods"], stat["nr_throttled"]


def throttled_ratio(before: tuple[int, int], after: tuple[int, int]) -> float | None:
    """Return the share of the periods between two samples in which the container had to wait. Pure."""
    periods, throttled = after[0] - before[0], after[1] - before[1]
    if periods < 0 or throttled < 0:
        return None
    return min(throttled / periods, 1.0) if periods else 0.0


def read_text(path: Path) -> str | None:
    """Return the beginning of a small file, None where it cannot be read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:  # a file of a control group is shown whole at the first read, or in pieces of a page
        pieces, size = [], 0
        while size < MAX_BYTES and (piece := os.read(handle, MAX_BYTES)):
            pieces.append(piece)
            size += len(piece)
    except OSError:
        return None
    finally:
        os.close(handle)
    return b"".join(pieces)[:MAX_BYTES].decode("utf-8", "replace")
