"""nginx's processes, from /proc, and its own judgement of its files, without letting it write."""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from opsctl import system
from opsctl.probes.nginx_logs import config_verdict

NOBODY = "65534"
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """The master and its workers."""

    pid: int
    title: str
    workers: tuple[int, ...]
    oldest_worker_started_at: float | None
    worker_uid: int | None
    worker_groups: tuple[int, ...]


def stat_fields(text: str) -> tuple[int, int] | None:
    """Return (parent's pid, start in clock ticks after boot) from /proc/PID/stat. Pure."""
    fields = text.rpartition(")")[2].split()
    if len(fields) < 20 or not fields[1].isdigit() or not fields[19].isdigit():
        return None
    return int(fields[1]), int(fields[19])


def find(pid_file: Path | None) -> Process | None:
    """Return the running nginx that a pid file names; None where there is none.

    Raises:
        PermissionError: the pid file may not be read.
    """
    if pid_file is None:
        return None
    try:
        text = pid_file.read_text("ascii", "replace")[:32].strip()
    except PermissionError:
        raise
    except OSError:
        return None
    return of_master(int(text)) if text.isdigit() else None


def of_master(pid: int) -> Process | None:
    """Return the nginx whose master has this pid; None where that is another program."""
    words = title(pid)
    if "nginx" not in words:
        return None
    workers: list[int] = []
    starts: list[float] = []
    for entry in children(pid):
        fields = stat_fields(_text(Path(f"/proc/{entry}/stat")))
        if fields is None or fields[0] != pid or not is_serving_worker(title(entry)):
            continue
        workers.append(entry)
        starts.append(_boot_time() + fields[1] / _CLOCK_TICKS)
    uid, groups = identity(workers[0]) if workers else (None, ())
    return Process(pid, words, tuple(workers), min(starts, default=None), uid, groups)


def is_serving_worker(title: str) -> bool:
    """Return whether a process title is a worker's; old ones that drain after a reload are none. Pure."""
    return "worker process" in title and "shutting down" not in title


def title(pid: int) -> str:
    """Return a process's command line, empty where there is none."""
    return _text(Path(f"/proc/{pid}/cmdline")).replace("\0", " ").strip()


def children(pid: int) -> list[int]:
    """Return the candidates for children of a process; every process where the kernel keeps no list."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    if listed.exists():
        return [int(word) for word in _text(listed).split()]
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")[:4096]
    except OSError:
        return ""


def _boot_time() -> float:
    """Return when the machine started, to a hundredth of a second (btime has whole seconds)."""
    return time.time() - float(_text(Path("/proc/uptime")).split()[0])


def identity(pid: int) -> tuple[int | None, tuple[int, ...]]:
    """Return a process's effective user id and its groups; None where it cannot be seen."""
    status = _text(Path(f"/proc/{pid}/status"))
    uid = re.search(r"^Uid:\s+\d+\s+(\d+)", status, re.M)
    gid = re.search(r"^Gid:\s+\d+\s+(\d+)", status, re.M)
    more = re.search(r"^Groups:[ \t]*([\d ]*)", status, re.M)
    groups = [int(gid.group(1))] if gid else []
    groups += [int(word) for word in (more.group(1).split() if more else [])]
    return (int(uid.group(1)) if uid else None), tuple(groups)


def prefix_of(title: str) -> str:
    """Return the prefix (`-p`) in a master's title, or an empty string. Pure."""
    match = re.search(r" -p ?(\S+)", title)
    return match.group(1) if match else ""


def open_files(pid: int) -> list[str] | None:
    """Return what a process holds open; None without the right to see it."""
    try:
        folder = Path(f"/proc/{pid}/fd")
        return [str(entry.readlink()) for entry in folder.iterdir()]
    except OSError:
        return None


def may_access(path: Path, uid: int, groups: tuple[int, ...], wanted: int, who: str) -> str:
    """Return why an account may not use a file or folder; empty where it may.

    Looks at the mode bits of the path and of every folder above it, not at access lists.

    Args:
        path: the file or folder.
        uid: of the account; root may do anything.
        groups: of the account.
        wanted: bits as in a mode: 4 read, 2 write, 1 enter.
        who: for the words.
    """
    if uid == 0:
        return ""
    try:
        resolved = path.resolve(strict=True)
        for folder in reversed(resolved.parents):
            if not _allowed(folder, uid, groups, 1):
                return f"{folder} may not be entered by {who} (uid {uid})"
        if not _allowed(resolved, uid, groups, wanted):
            return f"{path} may not be {'written' if wanted & 2 else 'read'} by {who} (uid {uid})"
    except OSError as error:
        return f"{path}: {error.strerror}"
    return ""


def _allowed(path: Path, uid: int, groups: tuple[int, ...], wanted: int) -> bool:
    info = path.stat()
    shift = 6 if info.st_uid == uid else 3 if info.st_gid in groups else 0
    return (info.st_mode >> shift) & wanted == wanted


def verdict(config: Path, prefix: str, running: bool, seconds: float) -> tuple[bool | None, str, str]:
    """Return what nginx itself says of its files: (valid, its words, what would let us see).

    `nginx -t` makes a pid file, logs and folders that are missing. So as root it is run as
    nobody with the one right to read everything; without root only where nginx runs, which
    has made them already.
    """
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        return None, "there is no nginx program on this machine", "run it where nginx is installed"
    test = [program, "-t", "-c", str(config), *(["-p", prefix] if prefix else [])]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            return None, "nginx -t could write, and setpriv is not there to prevent it", "install util-linux"
        capability = "-all,+dac_read_search"
        test = [
            *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
            *(f"--inh-caps={capability}", f"--ambient-caps={capability}", "--", *test),
        ]
    elif not running:
        return None, "nginx is not running, and nginx -t would make its pid file", "run as root"
    done = system.run(test, seconds)
    if done.timed_out:
        return None, f"nginx -t did not end in {seconds:.1f} s", "give it longer with --timeout"
    valid, words = config_verdict(done.stderr + done.stdout)
    return valid, words, "" if valid is not None else "run as root"
