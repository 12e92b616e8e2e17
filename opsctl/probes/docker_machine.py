"""The machine below the containers: processors, memory, and the numbers that tell machines apart."""

from __future__ import annotations

import os
import re
from pathlib import Path

from opsctl.facts.docker_machine import Machine
from opsctl.probes.container_cgroup import read_text

MEMORY = re.compile(r"^MemTotal:\s+(\d{1,15}) kB$", re.M | re.ASCII)


def machine(root: Path = Path("/")) -> Machine:
    """Return what this machine is; what may not be read is absent."""
    return Machine(
        boot_id=identity(read_text(root / "proc/sys/kernel/random/boot_id")),
        machine_id=identity(read_text(root / "etc/machine-id")),
        system_uuid=identity(read_text(root / "sys/class/dmi/id/product_uuid")),
        cores=os.cpu_count(),
        memory=total_memory(read_text(root / "proc/meminfo")),
    )


def identity(text: str | None) -> str:
    """Return a number of letters, digits and dashes; empty for anything else. Pure."""
    word = (text or "").strip()
    return word if re.fullmatch(r"[0-9A-Za-z-]{1,64}", word) else ""


def total_memory(text: str | None) -> int | None:
    """Return the memory of /proc/meminfo in bytes. Pure."""
    found = MEMORY.search(text or "")
    return int(found[1]) * 1024 if found else None
