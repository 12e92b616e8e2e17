"""The kernel's own log and clock, read without changing either."""

from __future__ import annotations

import ctypes
import functools
import os
import stat
import time
from typing import TYPE_CHECKING

from opsctl import system
from opsctl.facts.host import ProcessFiles
from opsctl.probes import host_parsing as parsing
from opsctl.probes.base import ProbeError
from opsctl.probes.host_files import text

if TYPE_CHECKING:
    from opsctl.probes.host_parsing import KernelKill

WINDOW_SECONDS = 600.0
"""Kills older than this are history, not the present."""
MAX_RECORDS = 20_000
MAX_PROCESSES = 5
FEW_FILES = 16
"""A process with fewer files open is near no limit worth having."""
CLOCK_DAEMONS = ("chronyd", "systemd-timesyn", "ntpd", "openntpd", "ntpsec")
"""Names as in /proc/PID/comm, which holds 15 characters."""


def recent_kills(seconds_left: float) -> list[KernelKill]:
    """Return the kills of the last ten minutes, with unix times, from /dev/kmsg or the journal.

    Raises:
        ProbeError: neither may be read.
    """
    now = time.time()
    try:
        lines = _from_device(now)
    except OSError as error:
        lines = _from_journal(seconds_left, error.strerror or str(error))
    return parsing.oom_kills([line for line in lines if now - line[0] <= WINDOW_SECONDS])


def _from_device(now: float) -> list[tuple[float, str]]:
    """Read /dev/kmsg to its end; its clock counts from the start of the machine."""
    handle = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISCHR(os.fstat(handle).st_mode) or os.fstat(handle).st_rdev != os.makedev(1, 11):
            raise OSError(0, "/dev/kmsg is not the kernel's log")
        started = now - time.clock_gettime(time.CLOCK_MONOTONIC)
        lines: list[tuple[float, str]] = []
        for _ in range(MAX_RECORDS):
            try:
                record = os.read(handle, 8192)
            except BlockingIOError:
                break
            except BrokenPipeError:  # the buffer went round: the next read is the oldest record left
                continue
            line = parsing.kernel_record(record.decode("utf-8", "replace"))
            if line is not None:
                lines.append((started + line[0], line[1]))
        return lines
    finally:
        os.close(handle)


def _from_journal(seconds_left: float, reason: str) -> list[tuple[float, str]]:
    minutes = f"-{WINDOW_SECONDS / 60:.0f}min"
    result = system.run(
        ["journalctl", "-k", "-q", "--no-pager", "-o", "short-unix", "-n", "2000", "--since", minutes],
        timeout=min(seconds_left * 0.6, 1.5),
    )
    lines = [line for line in map(parsing.journal_short_unix, result.stdout.splitlines()) if line]
    if not result.ok or not lines:
        raise ProbeError(
            "permission", f"the kernel's log cannot be read: {reason}", "run as root, or join group adm"
        )
    return lines


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2)."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time", ctypes.c_long * 2),
        ("tick", ctypes.c_long),
        ("ppsfreq", ctypes.c_long),
        ("jitter", ctypes.c_long),
        ("shift", ctypes.c_int),
        ("stabil", ctypes.c_long),
        ("jitcnt", ctypes.c_long),
        ("calcnt", ctypes.c_long),
        ("errcnt", ctypes.c_long),
        ("stbcnt", ctypes.c_long),
        ("tai", ctypes.c_int),
        ("reserved", ctypes.c_int * 11),
    ]


_UNSYNCHRONISED = 0x0040
_NANOSECONDS = 0x2000


@functools.cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def clock_state() -> _Timex:
    """Return what adjtimex(2) says; with `modes` 0 it only reads.

    Raises:
        OSError: the call is not allowed here.
    """
    state = _Timex()
    if _library().adjtimex(ctypes.byref(state)) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return state


def clock() -> dict[str, float | bool]:
    """Return whether the clock is synchronised, how far it is off, and by how much it may be.

    Raises:
        OSError: the call is not allowed here.
    """
    state = clock_state()
    unit = 1e9 if state.status & _NANOSECONDS else 1e6
    return {
        "clock_synchronised": not state.status & _UNSYNCHRONISED,
        "clock_offset_seconds": state.offset / unit,
        "clock_max_error_seconds": state.maxerror / 1e6,
    }


def clock_daemon() -> str:
    """Return the name of the running program that keeps the clock right, or an empty string."""
    for folder in _every_process():
        name = text(f"{folder}/comm").strip()
        if name in CLOCK_DAEMONS:
            return "systemd-timesyncd" if name == "systemd-timesyn" else name
    return ""


def living_since(unit: str) -> float | None:
    """Return the unix time at which the oldest living process of a unit started; None without one."""
    oldest: float | None = None
    now, uptime = time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)
    for folder in _every_process():
        if not any(unit in line.split("/") for line in text(f"{folder}/cgroup").splitlines()):
            continue
        fields = text(f"{folder}/stat").rpartition(")")[2].split()
        try:
            started = now - uptime + int(fields[19]) / os.sysconf("SC_CLK_TCK")
        except (ValueError, IndexError):  # ended meanwhile
            continue
        oldest = started if oldest is None else min(oldest, started)
    return oldest


def files_of_processes(seconds: float, services: dict[str, str] | None = None) -> list[ProcessFiles]:
    """Return the processes that hold more than half of the files that they may open, the worst first.

    `services` names the service of each unit of the stack.

    Without root only one's own processes can be counted. Stops after `seconds`.
    """
    ends = time.monotonic() + seconds
    found: list[ProcessFiles] = []
    for folder in _every_process():
        if time.monotonic() > ends:
            break
        try:
            count = _open_files(folder)
        except OSError:  # ended meanwhile, or another user's
            continue
        if count < FEW_FILES:
            continue
        most = parsing.open_files_limit(text(f"{folder}/limits"))
        if most and count * 2 > most:
            found.append(
                ProcessFiles(
                    process=text(f"{folder}/comm").strip()[:64],
                    pid=folder.rpartition("/")[2],
                    files_open=count,
                    files_most=most,
                    service=parsing.service_of(text(f"{folder}/cgroup"), services or {}),
                )
            )
    return sorted(found, key=lambda item: -item.files_open / item.files_most)[:MAX_PROCESSES]


def _open_files(folder: str) -> int:
    """Count a process's files: since Linux 6.2 the folder's size says it, before it must be listed.

    Making a Path costs more than the question, and there are hundreds of processes.
    """
    return os.stat(f"{folder}/fd").st_size or len(os.listdir(f"{folder}/fd"))  # noqa: PTH116, PTH208


def _every_process() -> list[str]:
    """Return each process's folder in /proc."""
    try:
        return [f"/proc/{name}" for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208
    except OSError:
        return []
