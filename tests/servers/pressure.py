"""Processes that use up memory, cores, files, inside control groups of their own where that matters."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.servers.base import wait_until
from tests.servers.systemd import groups_closed, own_groups, remove_group

MEBIBYTE = 1024 * 1024


def memory_groups() -> Path | None:
    """Return the folder in which memory-limited control groups can be made; None where none can."""
    if os.geteuid() != 0 or groups_closed():
        return None
    for group in own_groups():
        controllers = group / "cgroup.controllers"
        if (group / "memory.limit_in_bytes").exists():
            return group
        if controllers.exists() and "memory" in (group / "cgroup.subtree_control").read_text().split():
            return group
    return None


class LimitedGroup:
    """A control group with a memory limit, named like a unit so that it can stand for one."""

    def __init__(self, name: str, limit: int, swap: bool = False) -> None:
        parent = memory_groups()
        assert parent is not None
        self.folder, self.limit, self.swap = parent / name, limit, swap

    def __enter__(self) -> LimitedGroup:
        self.folder.mkdir()
        new, old = self.folder / "memory.max", self.folder / "memory.limit_in_bytes"
        (new if new.exists() else old).write_text(str(self.limit))
        if not self.swap:
            for name in ("memory.swap.max",):
                with contextlib.suppress(OSError):
                    (self.folder / name).write_text("0")
        return self

    def __exit__(self, *_: object) -> None:
        for pid in (self.folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        remove_group(self.folder)

    def start(self, code: str) -> Worker:
        """Start Python code inside the group."""
        return Worker(code, self.folder)


class Worker:
    """A Python process that does one thing until it is stopped; it prints a line when it is at it."""

    def __init__(self, code: str, group: Path | None = None) -> None:
        enter = f"echo $$ > {group}/cgroup.procs; " if group else ""
        self.output = tempfile.NamedTemporaryFile(prefix="opsctl-worker-", delete=False)  # noqa: SIM115
        self.process = subprocess.Popen(
            ["sh", "-c", f'{enter}exec "$@"', "sh", sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.output,
            start_new_session=True,
        )

    def ready(self) -> Worker:
        """Wait for its first line."""
        path = Path(self.output.name)
        wait_until(lambda: bool(path.read_text()), "worker", 30, path)
        return self

    def wait(self) -> int:
        """Wait for its end and return how it ended."""
        return self.process.wait(30)

    def __enter__(self) -> Worker:
        return self.ready()

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self.output.close()
        Path(self.output.name).unlink(missing_ok=True)


def holding_memory(size: int) -> str:
    """Return code that takes memory and keeps it."""
    return (
        f"import time; held = bytearray({size}); held[::4096] = b'x' * len(held[::4096])\n"
        "print('held', flush=True); time.sleep(120)"
    )


def holding_files(count: int, limit: int) -> str:
    """Return code that opens files and keeps them open, under a limit of its own."""
    return (
        "import os, resource, time\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))\n"
        f"held = [os.open('/dev/null', os.O_RDONLY) for _ in range({count})]\n"
        "print('held', flush=True); time.sleep(120)"
    )


def using_cores(seconds: float = 60) -> str:
    """Return code that keeps a core busy."""
    return (
        f"import time; print('busy', flush=True); ends = time.monotonic() + {seconds}\n"
        "while time.monotonic() < ends: pass"
    )


def touching_memory(size: int, seconds: float = 60) -> str:
    """Return code that touches every page of its memory over and over, with pauses for its neighbours."""
    return (
        f"import time; held = bytearray({size}); ends = time.monotonic() + {seconds}; first = True\n"
        "while time.monotonic() < ends:\n"
        "    for place in range(0, len(held), 4096):\n"
        "        held[place] = (held[place] + 1) % 256\n"
        "        if not first and place % 65536 == 0: time.sleep(0.1)\n"
        "    if first: print('touched', flush=True); first = False"
    )


def writing_steadily(path: Path, bytes_per_second: int) -> str:
    """Return code that makes a file longer without a pause."""
    return (
        f"import time; file = open({str(path)!r}, 'ab', buffering=0); print('writing', flush=True)\n"
        f"while True: file.write(bytes({bytes_per_second} // 50)); time.sleep(0.02)"
    )
