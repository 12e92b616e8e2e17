"""A machine with a real systemd: the lab's root file system, booted by systemd-nspawn, entered by nsenter.

Each machine has control groups of its own on every hierarchy, so that several can run at once,
and an overlay in memory over the shared root file system, so that nothing is left behind.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.servers.base import wait_until
from tests.servers.image import LabUnavailable, base_rootfs

PROJECT = Path(__file__).resolve().parents[2]
CONTROL_GROUPS = Path("/sys/fs/cgroup")
INSIDE_PACKAGES = "/opt/opsctl-packages"
INSIDE_PROJECT = "/opt/opsctl-project"
"""The checkout under a name that no unit hides, as `PrivateTmp=` and `ProtectHome=` may hide its own."""


def unavailable() -> str:
    """Return in one line why no machine can be booted here; empty where one can."""
    if os.geteuid() != 0:
        return "booting a systemd machine needs root"
    for program, package in (("systemd-nspawn", "systemd-container"), ("nsenter", "util-linux")):
        if shutil.which(program) is None:
            return f"{program} is not installed (apt-get install {package})"
    if closed := groups_closed():
        return closed
    try:
        base_rootfs()
    except LabUnavailable as error:
        return str(error)
    return ""


class Machine:
    """One booted machine.

    Args:
        network: "private" for a loopback of its own, "host" to share this machine's.
        binds: further folders to see inside, as `--bind=` wants them.
        root: the root file system to boot; the base one by default.
    """

    def __init__(
        self, network: str = "private", binds: tuple[str, ...] = (), root: Path | None = None
    ) -> None:
        self.name = f"opsctl-{secrets.token_hex(4)}"
        self.network, self.binds, self.root = network, binds, root
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.log = self.folder / "console.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.leader = 0
        self.groups: list[Path] = []

    def start(self) -> Machine:
        """Boot it and wait until systemd has started everything."""
        self.groups = self.make_groups()
        enter = "".join(f"echo $$ > {group}/cgroup.procs; " for group in self.groups)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["sh", "-c", f'{enter} exec "$@"', "sh", *self._argv()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._booted, self.name, 60, self.log)
        return self

    def make_groups(self) -> list[Path]:
        """Make the control groups that the machine lives in."""
        return _make_groups(self.name)

    def _argv(self) -> list[str]:
        packages = Path(str(importlib.util.find_spec("msgspec").origin)).parents[1]  # type: ignore[union-attr]
        binds = [f"--bind-ro={PROJECT}", f"--bind-ro={PROJECT}:{INSIDE_PROJECT}"]
        binds += [f"--bind-ro={packages}:{INSIDE_PACKAGES}", "--bind=/dev/kmsg"]
        return [
            "systemd-nspawn",
            f"--directory={self.root or base_rootfs()}",
            "--volatile=overlay",
            "--boot",
            "--register=no",
            "--keep-unit",
            "--console=pipe",
            f"--machine={self.name}",
            *(["--private-network"] if self.network == "private" else []),
            *binds,
            *(f"--bind={bind}" for bind in self.binds),
        ]

    def _booted(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended:\n{self.log.read_text(errors='replace')[-2000:]}")
        if not self.leader:
            self.leader = _init_below(self.process.pid) if self.process else 0
            if not self.leader:
                return False
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def run(self, *argv: str, check: bool = True, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command inside and return how it ended."""
        result = subprocess.run(
            self.command(*argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if check and result.returncode != 0:
            raise RuntimeError(
                f"{' '.join(argv)} ended with {result.returncode}\n{result.stdout}{result.stderr}"
            )
        return result

    def command(self, *argv: str) -> list[str]:
        """Return what runs a command inside, for whoever wants to start it in a way of their own."""
        return [*self.entering(), "env", "-i", *_environment(), *argv]

    def entering(self) -> list[str]:
        """Return the command that runs what follows it inside."""
        return ["nsenter", f"--target={self.leader}", "--all"]

    def write(self, path: str, text: str) -> None:
        """Write a file inside, its folders made where missing."""
        subprocess.run(
            [
                "nsenter",
                f"--target={self.leader}",
                "--all",
                "sh",
                "-c",
                'mkdir -p "${1%/*}"; cat > "$1"',
                "sh",
                path,
            ],
            input=text.encode(),
            check=True,
            timeout=30,
        )

    def unit(self, name: str, text: str) -> None:
        """Install a unit file and have systemd read it."""
        self.write(f"/etc/systemd/system/{name}", text)
        self.run("systemctl", "daemon-reload")

    def show(self, unit: str, name: str) -> str:
        """Return one property of a unit."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).stdout.strip()

    def opsctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run opsctl inside, from this checkout."""
        return self.run("python3", "-m", "opsctl", *arguments, check=False)

    def diagnose(self, stack: str) -> dict[str, Any]:
        """Return what `opsctl diagnose --output json` says inside of a stack, given as text."""
        path = f"/etc/opsctl/{secrets.token_hex(4)}.yml"
        self.write(path, stack)
        result = self.opsctl("diagnose", "--stack", path, "--output", "json")
        if not result.stdout.startswith("{"):
            raise RuntimeError(f"no JSON: {result.stdout}{result.stderr}")
        value: dict[str, Any] = json.loads(result.stdout)
        return value

    @contextlib.contextmanager
    def memory_limit(self, unit: str, limit: int) -> Iterator[None]:
        """Hold a running unit to a memory limit, as `MemoryMax=` does on control groups v2.

        On v1 the memory controller cannot be handed into the machine, so it is limited from outside.
        """
        outside = next((group for group in self.groups if (group / "memory.limit_in_bytes").exists()), None)
        if outside is None:
            yield
            return
        group = outside / "system.slice" / unit
        group.mkdir(parents=True)
        (group / "memory.limit_in_bytes").write_text(str(limit))
        inside = self.show(unit, "MainPID")
        (group / "cgroup.procs").write_text(str(self._outer_pid(inside)))
        try:
            yield
        finally:
            remove_group(group)

    def _outer_pid(self, inside: str) -> int:
        """Return the process id on this side of one that the machine calls `inside`."""
        for status in Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):
                text = status.read_text()
                ours = self.name in (status.parent / "cgroup").read_text()
                if ours and any(
                    line.startswith("NSpid:") and line.split()[-1] == inside for line in text.splitlines()
                ):
                    return int(status.parent.name)
        raise RuntimeError(f"no process {inside} in {self.name}")

    def stop(self) -> None:
        """Pull the plug and remove what was made; harmless where it does not run."""
        if self.process is not None:
            for pid in [self.leader] if self.leader else self._processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(15)
            for pid in self._processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process = None
        for group in self.groups:
            remove_group(group)
        self.groups = []
        shutil.rmtree(self.folder, ignore_errors=True)

    def _processes(self) -> list[int]:
        """Return every process in the machine's own control groups."""
        files = [file for group in self.groups for file in group.rglob("cgroup.procs")]
        return sorted({int(pid) for file in files for pid in file.read_text().split()})

    def __enter__(self) -> Machine:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()


def _environment() -> list[str]:
    return [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL=C.UTF-8",
        f"PYTHONPATH={PROJECT}:{INSIDE_PACKAGES}",
        "PYTHONPYCACHEPREFIX=/var/cache/python",  # the checkout is mounted read-only
        "HOME=/root",
    ]


def _init_below(pid: int) -> int:
    """Return the process that is number 1 of the machine below a supervisor, 0 while there is none.

    The supervisor starts a first child that only prepares things; that one is not it.
    """
    try:
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            status = Path(f"/proc/{child}/status").read_text()
            numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
            if (
                len(numbers) > 1
                and numbers[-1] == "1"
                and Path(f"/proc/{child}/comm").read_text() == "systemd\n"
            ):
                return int(child)
    except (OSError, StopIteration):
        return 0
    return 0


def own_groups() -> list[Path]:
    """Return the control groups of this process on the hierarchies that matter here."""
    result: list[Path] = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, names, path = line.split(":", 2)
        if number == "0":
            base = CONTROL_GROUPS / "unified"
            base = base if base.is_dir() else CONTROL_GROUPS
        elif names in ("memory", "name=systemd"):
            base = CONTROL_GROUPS / names.removeprefix("name=")
        else:
            continue
        result.append(base / path.lstrip("/"))
    return [group for group in result if group.is_dir()]


def groups_closed() -> str:
    """Return in one line why no control group can be made here; empty where one can."""
    groups = own_groups()
    if not groups:
        return "no control groups are mounted here"
    closed = [str(group) for group in groups if not os.access(group, os.W_OK)]
    return f"control groups cannot be made in {closed[0]} (mounted read-only, or no right)" if closed else ""


def _make_groups(name: str) -> list[Path]:
    groups = [group / name for group in own_groups()]
    for group in groups:
        group.mkdir()
    return groups


def remove_group(group: Path) -> None:
    """Remove a control group with all below it; the kernel may need a moment after the last process."""
    ends = time.monotonic() + 10
    while group.is_dir():
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        if time.monotonic() > ends:
            raise RuntimeError(f"{group} is still in use")
        time.sleep(0.02)
