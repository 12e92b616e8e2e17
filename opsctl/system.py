"""The only place that starts a process: bounded in time and output, its whole group killed after."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass

MAX_OUTPUT = 4 * 1024 * 1024

_running: set[subprocess.Popen[bytes]] = set()
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended. `missing` and `timed_out` are answers too, not exceptions."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    missing: bool = False
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        """True where the command ran and ended with 0."""
        return self.code == 0 and not self.missing and not self.timed_out


def run(argv: list[str], timeout: float, stdin: str = "") -> Result:
    """Run a command in the C locale and UTC, without a shell.

    Args:
        argv: the program and its arguments; never a secret among them.
        timeout: seconds after which its process group is killed.
        stdin: text for its standard input.
    """
    started = time.monotonic()
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC", "SYSTEMD_PAGER": "", "PAGER": ""}
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
        return Result(127, "", f"{argv[0]}: {error.strerror}", time.monotonic() - started, missing=True)
    except OSError as error:
        return Result(126, "", f"{argv[0]}: {error.strerror}", time.monotonic() - started)
    with _lock:
        _running.add(process)
    timed_out = False
    try:
        out, err = process.communicate(stdin.encode() if stdin else None, timeout=max(timeout, 0.01))
    except subprocess.TimeoutExpired:
        timed_out = True
        _kill(process)
        try:
            out, err = process.communicate(timeout=0.2)
        except subprocess.TimeoutExpired:  # in uninterruptible sleep: leave it to init
            out, err = b"", b""
    finally:
        with _lock:
            _running.discard(process)
    return Result(
        -1 if process.returncode is None else process.returncode,
        out[:MAX_OUTPUT].decode("utf-8", "replace"),
        err[:MAX_OUTPUT].decode("utf-8", "replace"),
        time.monotonic() - started,
        timed_out=timed_out,
    )


def kill_all() -> None:
    """Kill what is still running; called when the deadline has passed and on Ctrl-C."""
    with _lock:
        left = list(_running)
    for process in left:
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
