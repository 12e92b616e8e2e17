"""A whole server of the lab: a booted systemd with, where asked for, a Docker engine of its own inside.

Everything that a fault can touch lives in here: processes, mounts, networks and control groups
end with the machine. From outside only its folder and its control groups have to be removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.lab.image import lab_rootfs, python_packages
from tests.servers.base import wait_until
from tests.servers.image import base_tar, cache_folder, locked
from tests.servers.systemd import CONTROL_GROUPS, Machine, own_groups

APPS = Path(__file__).parent / "apps"
INSIDE_APPS = "/opt/lab/apps"
INSIDE_PACKAGES = "/opt/lab/packages"
IMAGE = "opsctl-lab:base"


class Server(Machine):
    """A machine with the stand-in applications on board.

    Args:
        docker: start a Docker engine inside.
        prepared: the engine finds the base image in its folder, and needs not import it.
    """

    def __init__(self, docker: bool = False, prepared: bool = True) -> None:
        super().__init__(root=lab_rootfs())
        self.engine_data: Path | None = None
        self.prepared = prepared
        if docker:
            self.engine_data = Path(tempfile.mkdtemp(prefix="engine-", dir=cache_folder()))

    def make_groups(self) -> list[Path]:
        """Make groups on every hierarchy: the engine inside limits and counts with all of them."""
        groups = {group / self.name for group in own_groups()}
        for hierarchy in CONTROL_GROUPS.iterdir():
            if hierarchy.is_dir() and not any(hierarchy in group.parents for group in groups):
                groups.add(hierarchy / self.name)
        for group in groups:
            group.mkdir()
            for name in ("cpuset.cpus", "cpuset.mems"):  # an empty set takes no process
                if (group / name).exists():
                    (group / name).write_text((group.parent / name).read_text())
        return sorted(groups)

    def _argv(self) -> list[str]:
        with_parent = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        binds = [f"--bind-ro={APPS}:{INSIDE_APPS}", f"--bind-ro={python_packages()}:{INSIDE_PACKAGES}"]
        if self.engine_data is not None:
            binds += [f"--bind={self.engine_data}:/var/lib/docker"]
            binds += [] if self.prepared else [f"--bind-ro={base_tar()}:/opt/lab/base.tar"]
        rights = ["--capability=all", "--system-call-filter=add_key keyctl bpf"]
        return ["env", "SYSTEMD_NSPAWN_API_VFS_WRITABLE=1", *with_parent, *super()._argv(), *binds, *rights]

    def start(self) -> Server:
        """Boot it, and its Docker engine where there is to be one."""
        if self.engine_data is not None and self.prepared:
            source = _prepared_engine()
            for part in source.iterdir():  # layers are never written to: links to them will do
                links = ["--link"] if part.name == "overlay2" else []
                argv = ["cp", "--archive", "--no-target-directory", *links, str(part)]
                subprocess.run([*argv, str(self.engine_data / part.name)], check=True, timeout=120)
        super().start()
        if self.engine_data is not None:
            remount = "for group in /sys/fs/cgroup/*; do mount -o remount,bind,rw $group || exit 1; done"
            self.sh(remount)
            self.write("/etc/docker/daemon.json", json.dumps({"log-level": "warn"}))
            self.run("systemctl", "start", "docker")
        return self

    def sh(self, script: str, check: bool = True, seconds: float = 60) -> str:
        """Run a shell script inside and return what it printed."""
        return self.run("sh", "-c", script, check=check, seconds=seconds).stdout

    def docker(self, *arguments: str, check: bool = True, seconds: float = 90) -> str:
        """Run the docker client inside."""
        return self.run("docker", *arguments, check=check, seconds=seconds).stdout

    def wait(self, script: str, what: str = "", seconds: float = 30) -> None:
        """Wait until a shell script inside succeeds."""

        def ready() -> bool:
            return self.run("sh", "-c", script, check=False).returncode == 0

        wait_until(ready, what or script, seconds)

    def wait_for(self, ready: Callable[[], bool], what: str, seconds: float = 30) -> None:
        """Wait until something is so."""
        wait_until(ready, what, seconds)

    def names(self, *names: str) -> None:
        """Have names resolve to loopback inside."""
        for name in names:
            self.sh(f"grep -qw {name} /etc/hosts || echo '127.0.0.1 {name}' >> /etc/hosts")

    def stop(self) -> None:
        """Pull the plug; processes that the engine inside left behind are ended with their groups."""
        self._kill_groups()
        super().stop()
        if self.engine_data is not None:
            shutil.rmtree(self.engine_data, ignore_errors=True)

    def _kill_groups(self) -> None:
        """Kill what lives in the machine's groups, frozen or not, innermost supervisor last."""
        own = [group for group in self.groups if "freezer" in group.parts]
        for group in own:
            for state in group.rglob("freezer.state"):
                with contextlib.suppress(OSError):
                    state.write_text("THAWED")
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.leader or self.process.pid, signal.SIGKILL)

    def diagnosis(
        self, path: str, *options: str, user: str = "", seconds: float = 40
    ) -> tuple[dict[str, Any], float]:
        """Return what `opsctl diagnose --output json` says of the stack file at `path`, and its wall time."""
        began = time.monotonic()
        argv = ["python3", "-m", "opsctl", "diagnose", "--stack", path, "--output", "json", *options]
        if user:
            argv = ["setpriv", f"--reuid={user}", "--regid=nogroup", "--clear-groups", *argv]
        result = self.run(*argv, check=False, seconds=seconds)
        wall = time.monotonic() - began
        if not result.stdout.startswith("{"):
            raise RuntimeError(f"no JSON: {result.stdout[-1000:]}{result.stderr[-2000:]}")
        value: dict[str, Any] = json.loads(result.stdout)
        return value, wall


def _prepared_engine() -> Path:
    """Return the data folder of an engine that has the base image and nothing else; made once."""
    folder = cache_folder() / f"engine-with-{lab_rootfs().name.removeprefix('labfs-')}"
    if folder.is_dir():
        return folder
    with locked("engine"):
        if not folder.is_dir():
            maker = Server(docker=True, prepared=False)
            try:
                maker.start()
                maker.docker("import", "/opt/lab/base.tar", IMAGE)
                maker.run("systemctl", "stop", "docker.socket", "docker", "containerd")
                assert maker.engine_data is not None
                argv = [
                    "cp",
                    "--archive",
                    "--no-target-directory",
                    str(maker.engine_data),
                    f"{folder}.partial",
                ]
                subprocess.run(argv, check=True, timeout=120)
                Path(f"{folder}.partial").rename(folder)
            finally:
                maker.stop()
    return folder


def leftovers() -> list[str]:
    """Return what machines of the lab have left on this host: processes, mounts, groups, folders."""
    found: list[str] = []
    listing = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    found += [line.strip()[:150] for line in listing.splitlines() if "systemd-nspawn --directory" in line]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found += [line.split()[4] for line in mounts if "/opsctl-" in line.split()[4]]
    for hierarchy in CONTROL_GROUPS.iterdir():
        found += [str(group) for group in hierarchy.rglob("opsctl-*") if group.is_dir()]
    return found
