"""A whole server of the lab: a booted systemd with, where asked for, a Docker engine of its own inside.

Everything that a fault can touch lives in here: processes, mounts, networks and control groups
end with the machine. From outside only its folder and its control groups have to be removed.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.lab.image import lab_rootfs, python_packages
from tests.lab.interrupt import shielded
from tests.servers.base import wait_until
from tests.servers.image import base_tar, cache_folder, locked
from tests.servers.systemd import CONTROL_GROUPS, PROJECT, Machine, own_groups, remove_group

APPS = Path(__file__).parent / "apps"
INSIDE_APPS = "/opt/lab/apps"
INSIDE_PACKAGES = "/opt/lab/packages"
IMAGE = "opsctl-lab:base"
CPU_SHARES = {"cpu.shares": "2048", "cpu.weight": "200"}
"""What a machine gets of the processors where others want them too: a server has more than one
process has. Otherwise thirty processes share what a single neighbour gets."""


class Server(Machine):
    """A machine with the stand-in applications on board.

    Args:
        docker: start a Docker engine inside.
        prepared: the engine finds the base image in its folder, and needs not import it.
    """

    def __init__(self, docker: bool = False, prepared: bool = True) -> None:
        root = lab_rootfs()  # takes minutes where it has to be made first
        with shielded():
            super().__init__(root=root)
            self.engine_data: Path | None = None
            self.prepared = prepared
            if docker:
                self.engine_data = Path(tempfile.mkdtemp(prefix="engine-", dir=cache_folder()))
            self._note()
            watch_over()

    @property
    def note(self) -> Path:
        """The file that tells the next run what to remove, should this one be killed."""
        return records() / f"{self.name}.json"

    def _note(self) -> None:
        """Write down what belongs to the machine, and to whom the machine belongs."""
        owner = os.getpid()
        value = {
            "owner": owner,
            "owner_started": started(owner),
            "name": self.name,
            "folders": [str(item) for item in (self.folder, self.engine_data) if item],
            "groups": [str(group) for group in self.groups],
        }
        partial = self.note.with_suffix(".partial")
        partial.write_text(json.dumps(value))
        partial.replace(self.note)

    def make_groups(self) -> list[Path]:
        """Make groups on every hierarchy: the engine inside limits and counts with all of them."""
        groups = {group / self.name for group in own_groups()}
        for hierarchy in CONTROL_GROUPS.iterdir():
            if hierarchy.is_dir() and not any(hierarchy in group.parents for group in groups):
                groups.add(hierarchy / self.name)
        self.groups = sorted(groups)
        self._note()
        for group in self.groups:
            group.mkdir()
            for name in ("cpuset.cpus", "cpuset.mems"):  # an empty set takes no process
                if (group / name).exists():
                    (group / name).write_text((group.parent / name).read_text())
            for name, value in CPU_SHARES.items():
                if (group / name).exists():
                    (group / name).write_text(value)
        return self.groups

    def entering(self) -> list[str]:
        """Return the command that runs what follows it inside, with a share of the machine's own time."""
        groups = [group for group in self.groups if (group / "cpu.shares").exists()]
        enter = "".join(f"echo $$ > {group}/cgroup.procs; " for group in groups)
        return ["sh", "-c", f'{enter}exec "$@"', "sh", *super().entering()]

    def _argv(self) -> list[str]:
        binds = [f"--bind-ro={APPS}:{INSIDE_APPS}", f"--bind-ro={python_packages()}:{INSIDE_PACKAGES}"]
        if self.engine_data is not None:
            binds += [f"--bind={self.engine_data}:/var/lib/docker"]
            binds += [] if self.prepared else [f"--bind-ro={base_tar()}:/opt/lab/base.tar"]
        rights = ["--capability=all", "--system-call-filter=add_key keyctl bpf"]
        return ["env", "SYSTEMD_NSPAWN_API_VFS_WRITABLE=1", *super()._argv(), *binds, *rights]

    def start(self) -> Server:
        """Boot it, and its Docker engine where there is to be one."""
        if self.engine_data is not None and self.prepared:
            source = _prepared_engine()
            for part in source.iterdir():  # layers are never written to: links to them will do
                links = ["--link"] if part.name == "overlay2" else []
                argv = ["cp", "--archive", "--no-target-directory", *links, str(part)]
                subprocess.run([*argv, str(self.engine_data / part.name)], check=True, timeout=120)
        with shielded():  # a child that is just being started is known to nobody yet
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
        """Wait until a shell script inside succeeds; it is tried by one process inside, which costs less."""
        again = (
            f"ends=$(( $(date +%s) + {int(seconds)} ))\n"
            f"until ( {script}\n) >/dev/null 2>&1; do\n"
            "[ $(date +%s) -ge $ends ] && exit 1; sleep 0.1; done"
        )
        if self.run("sh", "-c", again, check=False, seconds=seconds + 60).returncode != 0:
            raise RuntimeError(f"{what or script} not ready after {seconds} s")

    def wait_for(self, ready: Callable[[], bool], what: str, seconds: float = 30) -> None:
        """Wait until something is so."""
        wait_until(ready, what, seconds)

    def names(self, *names: str) -> None:
        """Have names resolve to loopback inside."""
        for name in names:
            self.sh(f"grep -qw {name} /etc/hosts || echo '127.0.0.1 {name}' >> /etc/hosts")

    def stop(self) -> None:
        """Pull the plug; processes that the engine inside left behind are ended with their groups."""
        with shielded():
            thaw(self.groups)
            super().stop()
            kill(self.groups)
            if self.engine_data is not None:
                shutil.rmtree(self.engine_data, ignore_errors=True)
            self.note.unlink(missing_ok=True)

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
                partial = Path(f"{folder}.partial")
                shutil.rmtree(partial, ignore_errors=True)
                argv = ["cp", "--archive", "--no-target-directory", str(maker.engine_data), str(partial)]
                subprocess.run(argv, check=True, timeout=120)
                partial.rename(folder)
            finally:
                maker.stop()
    return folder


# -- what a run that was killed has left -------------------------------------------------------------


def records() -> Path:
    """Return the folder with a note on each machine that was not removed yet."""
    folder = cache_folder() / "machines"
    folder.mkdir(exist_ok=True)
    return folder


def started(pid: int) -> str:
    """Return when a process began, so that its number given to another is noticed; empty where none is."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return f"{boot} {stat[19]}" if stat[0] not in "ZX" else ""
    return ""


_guards: dict[int, subprocess.Popen[bytes]] = {}
"""By process: what removes its machines should it be killed."""


def watch_over() -> None:
    """Have a process of its own wait for the end of this one and remove what is then still there.

    It holds one end of a pipe that nobody writes to; the other end closes with this process, however
    that ends. A supervisor's death alone does not end its machine.
    """
    owner = os.getpid()
    if owner in _guards:
        return
    here, there = os.pipe()
    script = 'cat > /dev/null; sleep 1; exec "$@"'
    _guards[owner] = subprocess.Popen(
        ["sh", "-c", script, "sh", sys.executable, "-m", "tests.lab", "--sweep"],
        stdin=here,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=PROJECT,
        start_new_session=True,
    )
    os.close(here)
    atexit.register(_dismiss, owner, there)


def _dismiss(owner: int, pipe: int) -> None:
    """End the guard where everything was removed in an orderly way."""
    if owner == os.getpid() and not machines_of(owner):
        guard = _guards.pop(owner)
        guard.kill()
        guard.wait()
        os.close(pipe)


def thaw(groups: list[Path]) -> None:
    """Have frozen processes run again: the frozen do not die."""
    for group in groups:
        for folder in below(group):
            with contextlib.suppress(OSError):
                if (folder / "freezer.state").exists():
                    (folder / "freezer.state").write_text("THAWED")


def kill(groups: list[Path]) -> None:
    """End every process in the groups, and remove the groups."""
    ends = time.monotonic() + 15
    while time.monotonic() < ends:
        pids = processes(groups)
        if not pids:
            break
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    for group in groups:
        remove_group(group)


def below(group: Path) -> list[Path]:
    """Return a control group and all below it; what vanishes meanwhile is left out."""
    return [Path(folder) for folder, _, _ in os.walk(group)]


def processes(groups: list[Path]) -> list[int]:
    """Return every process in the groups and below them."""
    found: set[int] = set()
    for group in groups:
        for folder in below(group):
            with contextlib.suppress(OSError):
                found.update(int(pid) for pid in (folder / "cgroup.procs").read_text().split())
    return sorted(found - {0})


def sweep() -> list[str]:
    """Remove the machines of runs that are dead; return their names."""
    removed = []
    with locked("machines"):
        for file in sorted(records().glob("opsctl-*.json")):
            note = json.loads(file.read_text())
            if note["owner_started"] and started(note["owner"]) == note["owner_started"]:
                continue
            groups = [Path(item) for item in note["groups"]]
            thaw(groups)
            kill(groups)
            for mount in reversed([item for item in mounts() if item.startswith(tuple(note["folders"]))]):
                subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
            for folder in note["folders"]:
                shutil.rmtree(folder, ignore_errors=True)
            file.unlink(missing_ok=True)
            removed.append(note["name"])
    return removed


def mounts() -> list[str]:
    """Return where things are mounted, in the order of mounting."""
    return [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]


def machines_of(owner: int) -> list[dict[str, Any]]:
    """Return the notes on the machines of a process."""
    notes = []
    for file in records().glob("opsctl-*.json"):
        with contextlib.suppress(OSError):
            notes.append(json.loads(file.read_text()))
    return [note for note in notes if note["owner"] == owner]


def leftovers(notes: list[dict[str, Any]]) -> list[str]:
    """Return what is there of machines that should be gone: processes, groups, mounts, folders, notes."""
    found: list[str] = []
    for note in notes:
        groups = [Path(item) for item in note["groups"]]
        found += [f"process {pid}" for pid in processes(groups)]
        listing = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True)
        wanted = (f"--machine={note['name']}", *note["folders"])
        found += [
            f"process {line.strip()[:150]}"
            for line in listing.stdout.splitlines()
            if any(text in line for text in wanted)
        ]
        for hierarchy in CONTROL_GROUPS.iterdir():
            found += [str(group) for group in below(hierarchy) if group.name == note["name"]]
        found += [mount for mount in mounts() if mount.startswith(tuple(note["folders"]))]
        found += [folder for folder in note["folders"] if Path(folder).exists()]
        found += [str(file) for file in records().glob(f"{note['name']}.json")]
    return found
